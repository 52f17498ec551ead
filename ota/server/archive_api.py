"""The operators' API of what is kept: one release with its history, retiring, the roots, the audit, the objects themselves.

SPEC.md has the contract. Objects are handed out as they lie: whoever fetches them checks them (`tenfold archive verify`).
"""

from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from ota.archive.folder import ArchiveError, MissingError
from ota.server import audit, publish, views
from ota.server.admin_api import MAX_REASON
from ota.server.context import context_of, operator_of
from ota.server.control import UnknownError
from ota.server.errors import ApiError
from ota.store import releases
from ota.store.session import reading

MAX_PAGE = 10_000   # objects in one answer, about 1 MB

router = APIRouter(prefix="/admin")
Operator = Annotated[str, Depends(operator_of)]
Json = dict[str, Any]


class RetireBody(BaseModel):
    """Why a release is retired, and whether devices may be left behind."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=MAX_REASON)
    allow_stranded: bool = False


@router.get("/releases/{manifest}")
def get_release(request: Request, _by: Operator, manifest: str) -> Json:
    with reading(context_of(request).engine) as connection:
        published = releases.get(connection, manifest)
        if published is None:
            raise UnknownError(f"release {manifest[:64]!r} is not published")
        return views.release_view(published) | {"history": releases.history(connection, manifest)}


@router.post("/releases/{manifest}/retire")
def retire_release(request: Request, by: Operator, manifest: str, body: RetireBody) -> Json:
    context = context_of(request)
    done = publish.retire(
        context.engine, manifest, context.clock(), by=by, reason=body.reason, allow_stranded=body.allow_stranded)
    context.desk.refresh(context.clock())
    return get_release(request, by, manifest) | done


@router.get("/roots")
def list_roots(request: Request, _by: Operator) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"roots": releases.chain(connection)}


@router.get("/archive/audit")
def get_audit(request: Request, _by: Operator) -> Json:
    context = context_of(request)
    return audit.audit(context.engine, context.archive, context.clock())


@router.get("/archive/objects")
def list_objects(
    request: Request, _by: Operator, after: str = "", limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1_000,
) -> Json:
    found = list(islice(context_of(request).archive.objects(after), limit))
    return {"objects": [{"name": name, "size_bytes": size} for name, size in found],
            "next": found[-1][0] if len(found) == limit else None}


@router.get("/archive/objects/{name}")
def get_object(request: Request, _by: Operator, name: str) -> Response:
    try:
        data = context_of(request).archive.get(name)
    except MissingError:
        raise
    except ArchiveError as error:
        raise ApiError(500, "archive.damaged", str(error)) from None
    return Response(data, media_type="application/octet-stream")
