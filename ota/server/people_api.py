"""The operators' API about people: tokens, the audit log, approvals, webhooks, and the API itself. SPEC.md has the contract."""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ota.rules.access import Role
from ota.server import control, views
from ota.server.admin_api import CommandBody
from ota.server.context import context_of, person_of
from ota.server.control import UnknownError
from ota.server.people import TOKEN_FORM, Person
from ota.store import audit, outbox, tokens
from ota.store.session import reading, writing

MAX_PAGE = 500              # rows of the audit log in one answer
MAX_TOKEN_S = 400 * 86_400  # a token ends; a year and a month, as certificates of operators do
SECRET_BYTES = 32
Json = dict[str, Any]

router = APIRouter(prefix="/admin")
Caller = Annotated[Person, Depends(person_of)]


class TokenBody(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid")
    role: Role
    models: list[Annotated[str, Field(min_length=1, max_length=16)]] = Field(default=[], max_length=50)
    days: float = Field(gt=0, le=MAX_TOKEN_S / 86_400)
    note: str = Field(default="", max_length=200)


@router.get("/whoami")
def whoami(person: Caller) -> Json:
    return {"name": person.name, "certificate": person.certificate, "role": person.role, "models": list(person.models)}


@router.post("/tokens", status_code=201)
def add_token(request: Request, person: Caller, body: TokenBody) -> Json:
    context = context_of(request)
    ident, secret, now_s = secrets.token_hex(4), secrets.token_urlsafe(SECRET_BYTES), context.clock()
    with writing(context.engine) as connection:
        tokens.add(connection, ident, secret, body.role, body.models, now_s, now_s + body.days * 86_400,
                   by=person.certificate, note=body.note)
        made = tokens.get(connection, ident)
    return {"token": f"{TOKEN_FORM}_{ident}_{secret}"} | (made or {})


@router.get("/tokens")
def list_tokens(request: Request) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"tokens": tokens.all_tokens(connection)}


@router.post("/tokens/{ident}/revoke")
def revoke_token(request: Request, person: Caller, ident: str) -> Json:
    context = context_of(request)
    with writing(context.engine) as connection:
        if not tokens.revoke(connection, ident, context.clock(), by=person.certificate):
            raise UnknownError(f"token {ident[:16]!r} does not exist")
        return tokens.get(connection, ident) or {}


@router.get("/audit")
def list_audit(
    request: Request, before: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100,
) -> Json:
    with reading(context_of(request).engine) as connection:
        rows = audit.page(connection, before, limit)
    return {"rows": rows, "next": rows[-1]["n"] if len(rows) == limit else None}


@router.post("/rollouts/{ident}/approve")
def approve_rollout(request: Request, person: Caller, ident: str, body: CommandBody | None = None) -> Json:
    context = context_of(request)
    reason = "" if body is None else body.reason
    rollout = control.approve(context.engine, ident, context.clock(), by=person.name, people=person.people, reason=reason)
    context.desk.refresh(context.clock())
    with reading(context.engine) as connection:
        return views.rollout_view(connection, rollout, context.clock())


@router.get("/webhooks")
def list_webhooks(request: Request) -> Json:
    context = context_of(request)
    with reading(context.engine) as connection:
        return {"webhooks": [outbox.state(connection, each.url) for each in context.settings.webhooks]}


@router.get("/openapi.json")
def openapi(request: Request) -> Json:
    return dict(request.app.openapi())
