"""The operators' API of what check-ins told, and of what a monitor tells the gates. SPEC.md has the contract.

The monitor's word is about links: how long devices were online and how often they dropped, by the groups that gates count in. Each
second is told at most once: a window begins where the one before ended, or later.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from node.wire.limits import MAX_I31
from ota.server.context import context_of, operator_of
from ota.server.errors import ApiError
from ota.store import devices, watch
from ota.store.session import reading, writing

MAX_PAGE = 500        # devices in one answer
MAX_ROWS = 500        # groups in one word: 40 KB of the 64 that a body may have
AHEAD_S = 60.0        # that a monitor's clock may be ahead of ours

router = APIRouter(prefix="/admin/metrics")
Operator = Annotated[str, Depends(operator_of)]
Json = dict[str, Any]


class LinkRow(BaseModel):
    """What one group of devices went through: of a model, on a release, of a cohort."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(pattern="^[a-z0-9_-]{1,16}$")
    counter: int = Field(ge=0, le=MAX_I31)
    cohort: int = Field(ge=1, le=MAX_I31)
    online_s: int = Field(ge=0, le=2**53)
    drops: int = Field(ge=0, le=2**53)


class LinksBody(BaseModel):
    """A window of Unix seconds, and what happened in it."""

    model_config = ConfigDict(extra="forbid")
    from_s: int = Field(ge=0, le=2**53)
    until_s: int = Field(ge=0, le=2**53)
    rows: list[LinkRow] = Field(max_length=MAX_ROWS)


@router.get("/devices")
def device_metrics(
    request: Request, _by: Operator, after: str = "", limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100,
) -> Json:
    with reading(context_of(request).engine) as connection:
        rows = devices.metrics_page(connection, after, limit)
    return {"devices": rows, "next": rows[-1]["device"] if len(rows) == limit else None}


@router.get("/totals")
def metric_totals(request: Request, _by: Operator) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"totals": devices.totals_by_site(connection)}


@router.get("/links")
def links_known(request: Request, _by: Operator) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"until_s": watch.until_s(connection)}


@router.post("/links", status_code=201)
def add_links(request: Request, _by: Operator, body: LinksBody) -> Json:
    context = context_of(request)
    if not body.from_s < body.until_s <= context.clock() + AHEAD_S:
        raise ApiError(422, "links.window", f"from_s {body.from_s}, until_s {body.until_s}: expected a window before now")
    with writing(context.engine) as connection:
        until_s = watch.until_s(connection)
        if until_s is not None and body.from_s < until_s:
            raise ApiError(409, "links.window", f"from_s {body.from_s}: told up to {until_s} already; begin there")
        watch.add(connection, [each.model_dump() for each in body.rows], body.until_s)
    return {"until_s": body.until_s}


@router.delete("/links")
def end_links(request: Request, _by: Operator) -> Json:
    with writing(context_of(request).engine) as connection:
        watch.end(connection)
    return {"until_s": None}
