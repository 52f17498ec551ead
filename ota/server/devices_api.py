"""The operators' API of devices' labels and histories. SPEC.md has the contract.

Sites and tags are the operators' word on devices. An order concerns devices that have checked in before, all of them or none.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from node.errors import CallerError
from ota.rules import filters, windows
from ota.rules.events import Happened
from ota.rules.values import Labels
from ota.server import views
from ota.server.context import context_of, operator_of
from ota.server.control import UnknownError
from ota.store import configs, history, labels
from ota.store.session import reading, writing

MAX_PAGE = 500         # entries in one answer
MAX_DEVICES = 10_000   # named in one order; a model's may be more
ORDERS = 100           # in one answer

router = APIRouter(prefix="/admin")
Operator = Annotated[str, Depends(operator_of)]
Json = dict[str, Any]


class LabelsBody(BaseModel):
    """What to say of some devices, or of all of a model."""

    model_config = ConfigDict(extra="forbid")
    devices: list[str] = Field(default=[], max_length=MAX_DEVICES)
    model: str | None = None
    tag: list[str] = Field(default=[], max_length=filters.MAX_TAGS)
    untag: list[str] = Field(default=[], max_length=filters.MAX_TAGS)
    site: str | None = None   # "": takes them from theirs


class SiteBody(BaseModel):
    """Where a site is: its IANA time zone."""

    model_config = ConfigDict(extra="forbid")
    zone: str = Field(max_length=64)


@router.post("/labels", status_code=201)
def label(request: Request, by: Operator, body: LabelsBody) -> Json:
    context = context_of(request)
    for key, names in (("tag", body.tag), ("untag", body.untag), ("site", [body.site] if body.site else [])):
        _check(key, names)
    what = " ".join([*(f"+{tag}" for tag in body.tag), *(f"-{tag}" for tag in body.untag),
                     *([] if body.site is None else [f"site={body.site}"])])
    if not what:
        raise CallerError("labels.value", "got nothing, expected tag, untag or site")
    with writing(context.engine) as connection:
        of_model = [] if body.model is None else configs.of_model(connection, body.model)
        changed = _apply(connection, list(dict.fromkeys([*body.devices, *of_model])), body)
        now_s = context.clock()
        history.note(connection, [
            history.Event(device, int(now_s), Happened.LABELLED, 0, f"{by} {what}") for device in changed])
        labels.order(connection, now_s, by=by, what=what, devices=len(changed))
    context.desk.refresh(context.clock())
    return {"changed": len(changed)}


@router.put("/sites/{site}")
def place(request: Request, by: Operator, site: str, body: SiteBody) -> Json:
    context = context_of(request)
    _check("site", [site])
    try:
        windows.zone(body.zone)
    except ValueError as error:
        raise CallerError("labels.zone", str(error)) from None
    with writing(context.engine) as connection:
        labels.set_zone(connection, site, body.zone)
        labels.order(connection, context.clock(), by=by, what=f"site={site} zone={body.zone}", devices=0)
    context.desk.refresh(context.clock())
    return {"site": site, "zone": body.zone}


@router.get("/labels")
def list_labels(request: Request, _by: Operator) -> Json:
    with reading(context_of(request).engine) as connection:
        return views.labels_view(connection, ORDERS)


@router.get("/devices/{device}/history")
def device_history(
    request: Request, _by: Operator, device: str, before: Annotated[int | None, Field(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100,
) -> Json:
    with reading(context_of(request).engine) as connection:
        return views.history_view(connection, device, limit, before)


def _apply(connection: Connection, wanted: Sequence[str], body: LabelsBody) -> list[str]:
    """Change devices' labels, those that are the same together; gives the devices whose labels are others now."""
    known = labels.of_devices(connection, wanted)
    if len(known) < len(wanted) or not wanted:   # all or none: the transaction is rolled back
        raise UnknownError(f"{len(wanted) - len(known)} of {len(wanted)} devices have not checked in yet")
    groups: dict[Labels, list[str]] = {}
    for device, before in known.items():
        groups.setdefault(before, []).append(device)
    changed = []
    for before, devices in groups.items():
        tags = tuple(sorted({*before.tags, *body.tag} - set(body.untag)))
        if len(tags) > filters.MAX_TAGS:
            raise CallerError("labels.value", f"tags: got {len(tags)} on {devices[0]}, expected at most {filters.MAX_TAGS}")
        after = replace(before, site=before.site if body.site is None else body.site, tags=tags)
        if after != before:
            labels.put(connection, devices, after)
            changed += devices
    return changed


def _check(key: str, names: Sequence[str]) -> None:
    for name in names:
        if not filters.NAME.fullmatch(name):
            raise CallerError("labels.value", f"{key}: got {name!r:.60}, expected a-z, 0-9, dot, _ and -, up to 32 characters")
