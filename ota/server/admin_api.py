"""The operators' API: artifacts, releases, roots, rollouts, devices and versions. SPEC.md has the contract.

Thin: each handler names its command or its view. Handlers are plain functions, run on threads; only an upload is not, whose body is
taken as it arrives.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import Connection

from node.wire import signed
from node.wire.manifest import MAX_DELTAS
from ota.rules import configs as config_rules
from ota.rules.events import Happened
from ota.rules.rollout import Event, PolicyError
from ota.rules.values import Policy, Rollout
from ota.server import control, publish, views
from ota.server.context import asks_of, context_of, operator_of
from ota.server.control import UnknownError
from ota.server.errors import ApiError
from ota.store import attempts, configs, devices, history, releases, rollouts
from ota.store.devices import Device
from ota.store.session import reading, writing

ARTIFACTS_PATH = "/admin/artifacts/"
MAX_PAGE = 500   # devices in one answer
MAX_ORDER = 10_000   # devices named in one order; a model's may be more
MAX_REASON = 200   # characters
HISTORY = 100   # orders and events in one answer
COMMANDS = {"start": Event.START, "pause": Event.PAUSE, "resume": Event.RESUME, "abort": Event.ABORT}
POLICY = TypeAdapter(Policy)

router = APIRouter(prefix="/admin")
Operator = Annotated[str, Depends(operator_of)]
Json = dict[str, Any]


class ReleaseBody(BaseModel):
    """A release to publish: its manifest in base64, its uploaded parts by their SHA-256 in hex."""

    model_config = ConfigDict(extra="forbid")
    manifest: Base64Bytes
    artifact: str
    image: str | None = None
    deltas: list[str] = Field(default=[], max_length=2 * MAX_DELTAS)
    allow_stranded: bool = False
    reason: str = Field(default="", max_length=MAX_REASON)


class RootBody(BaseModel):
    """The next root of the chain, in base64."""

    model_config = ConfigDict(extra="forbid")
    root: Base64Bytes


class CommandBody(BaseModel):
    """Why a command is given; kept in the rollout's history."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(default="", max_length=MAX_REASON)


class ConfigBody(BaseModel):
    """A configuration to keep: its JSON as text, and what it is for."""

    model_config = ConfigDict(extra="forbid")
    body: str = Field(max_length=16_384)
    note: str = Field(default="", max_length=200)


class OrderBody(BaseModel):
    """Which devices are to run a configuration: these, or all of a model; and why."""

    model_config = ConfigDict(extra="forbid")
    devices: list[str] = Field(default=[], max_length=MAX_ORDER)
    model: str | None = None
    reason: str = Field(default="", max_length=MAX_REASON)


@router.put("/artifacts/{name}", status_code=201)
async def add_artifact(request: Request, _by: Operator, name: str) -> Json:
    context = context_of(request)
    head = b""
    with await context.run(context.archive.receive, name) as incoming:
        async for piece in request.stream():
            head += piece[:len(signed.MAGIC) - len(head)]
            if head == signed.MAGIC:   # roots and manifests come by routes that verify them, and stay for ever
                raise ApiError(422, "artifact.kind", "got a signed envelope, expected a bundle or an image")
            await context.run(incoming.write, piece)
        await context.run(incoming.keep)
    return {"artifact": name, "size_bytes": incoming.size_bytes}


@router.post("/releases", status_code=201)
def add_release(request: Request, by: Operator, body: ReleaseBody) -> Json:
    context = context_of(request)
    verified = publish.publish(
        context.engine, context.archive, body.manifest, body.artifact, body.image, context.clock(), by=by,
        deltas=body.deltas, allow_stranded=body.allow_stranded, reason=body.reason)
    with reading(context.engine) as connection:
        published = releases.get(connection, verified.release.manifest)
    if published is None:
        raise UnknownError(f"release {verified.release.manifest} is gone")
    return views.release_view(published)


@router.get("/releases")
def list_releases(request: Request, _by: Operator) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"releases": [views.release_view(each) for each in releases.all_published(connection)]}


@router.post("/roots", status_code=201)
def add_root(request: Request, by: Operator, body: RootBody) -> Json:
    context = context_of(request)
    return publish.add_root(context.engine, context.archive, body.root, context.direction_key_hex, context.clock(), by=by)


@router.post("/rollouts", status_code=201)
def add_rollout(request: Request, by: Operator, body: Json) -> Json:
    context = context_of(request)
    wanted = dict(body)
    manifest, start = wanted.pop("manifest", None), wanted.pop("start", True)
    if not isinstance(manifest, str) or not isinstance(start, bool):
        raise PolicyError(f"manifest: got {manifest!r}, start: got {start!r}, expected a SHA-256 in hex and true or false")
    policy = policy_of(wanted, context.settings.policy)
    rollout = control.create(context.engine, manifest, policy, context.clock(), by=by, start=start, asks=asks_of(request))
    context.desk.refresh(context.clock())
    return _rollout(request, rollout)


@router.get("/rollouts")
def list_rollouts(request: Request, _by: Operator) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"rollouts": [views.rollout_line(each) for each in rollouts.all_rollouts(connection)]}


@router.get("/rollouts/{ident}")
def get_rollout(request: Request, _by: Operator, ident: str) -> Json:
    with reading(context_of(request).engine) as connection:
        rollout = rollouts.get(connection, ident)
    if rollout is None:
        raise UnknownError(f"rollout {ident[:40]!r} does not exist")
    return _rollout(request, rollout)


@router.post("/rollouts/{ident}/rollback", status_code=201)   # before the commands, whose path it fits too
def rollback(request: Request, by: Operator, ident: str, body: Json) -> Json:
    context = context_of(request)
    wanted = dict(body)
    manifest, reason = wanted.pop("manifest", None), wanted.pop("reason", "")
    if not isinstance(manifest, str) or not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise PolicyError(f"manifest: got {manifest!r:.80}, reason: got {reason!r:.60}, expected a SHA-256 in hex and a short text")
    policy = policy_of(wanted, control.rollback_policy(context.engine, ident, context.settings.policy))
    rollout = control.rollback(
        context.engine, ident, manifest, policy, context.clock(), by=by, reason=reason, asks=asks_of(request))
    context.desk.refresh(context.clock())
    return _rollout(request, rollout)


@router.post("/rollouts/{ident}/{command}")
def command_rollout(request: Request, by: Operator, ident: str, command: str, body: CommandBody | None = None) -> Json:
    context = context_of(request)
    if command not in COMMANDS:
        raise UnknownError(f"command {command[:20]!r}: expected one of {', '.join(COMMANDS)}")
    reason = "" if body is None else body.reason
    rollout = control.command(
        context.engine, ident, COMMANDS[command], context.clock(), by=by, reason=reason, asks=asks_of(request))
    context.desk.refresh(context.clock())
    return _rollout(request, rollout)


@router.get("/devices")
def list_devices(
    request: Request, _by: Operator, after: str = "", limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100,
) -> Json:
    context = context_of(request)
    with reading(context.engine) as connection:
        found = devices.page(connection, after, limit)
        shown = views.device_views(connection, found, context.clock())
    return {"devices": shown, "next": found[-1].report.device if len(found) == limit else None}


@router.get("/devices/{device}/explain")
def explain_device(request: Request, _by: Operator, device: str) -> Json:
    context = context_of(request)
    with reading(context.engine) as connection:
        return views.explain(connection, _device(connection, device), context.clock())


@router.post("/devices/{device}/forgive")
def forgive_device(request: Request, by: Operator, device: str) -> Json:
    context = context_of(request)
    with writing(context.engine) as connection:
        forgiven = attempts.forgive(connection, device)
        if forgiven:
            history.note(connection, [history.Event(device, int(context.clock()), Happened.FORGIVEN, 0, f"by {by}")])
        return {"device": device, "forgiven": forgiven}


@router.get("/devices/{device}/config")
def device_config(request: Request, _by: Operator, device: str) -> Json:
    with reading(context_of(request).engine) as connection:
        return views.config_view(connection, _device(connection, device), HISTORY)


@router.post("/configs", status_code=201)
def add_config(request: Request, by: Operator, body: ConfigBody) -> Json:
    context = context_of(request)
    name, text = config_rules.checked(body.body.encode())
    with writing(context.engine) as connection:
        configs.add(connection, name, text, context.clock(), by=by, note=body.note)
    return {"name": name, "size_bytes": len(text)}


@router.get("/configs")
def list_configs(request: Request, _by: Operator) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"configs": configs.all_configs(connection), "orders": configs.orders(connection, HISTORY)}


@router.get("/configs/{name}")
def get_config(request: Request, _by: Operator, name: str) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"name": name, "body": _config_body(connection, name)}


@router.post("/configs/{name}/order", status_code=201)
def order_config(request: Request, by: Operator, name: str, body: OrderBody) -> Json:
    context = context_of(request)
    with writing(context.engine) as connection:
        _config_body(connection, name)
        wanted = list(dict.fromkeys(body.devices + ([] if body.model is None else configs.of_model(connection, body.model))))
        changed = configs.order(connection, name, wanted, context.clock(), by=by, reason=body.reason)
        if changed < len(wanted) or not wanted:   # all or none: the transaction is rolled back
            raise UnknownError(f"{len(wanted) - changed} of {len(wanted)} devices have not checked in yet")
    context.desk.refresh(context.clock())
    return {"name": name, "devices": changed}


@router.get("/versions")
def list_versions(request: Request, _by: Operator) -> Json:
    with reading(context_of(request).engine) as connection:
        return {"versions": devices.version_table(connection)}


def policy_of(wanted: Mapping[str, Any], default: Policy) -> Policy:
    """Fill an operator's wishes up with the server's defaults.

    A single `soak_s` serves every stage. When only the stages are given and there are more or fewer than in the default, they
    soak as long as the default's last.

    Raises:
        PolicyError: an unknown key or a value of the wrong kind. `rules.rollout.check_policy` judges the values.
    """
    merged = asdict(default) | dict(wanted)
    stages, soak = merged["stages"], merged["soak_s"]
    if isinstance(stages, list | tuple):
        if isinstance(soak, int | float):
            merged["soak_s"] = [soak] * len(stages)
        elif "soak_s" not in wanted and len(stages) != len(default.soak_s):
            merged["soak_s"] = [default.soak_s[-1]] * len(stages)
    try:
        return POLICY.validate_python(merged)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise PolicyError(f"{key}: got {fault.get('input')!r:.60}, {fault['msg']}") from None


def _device(connection: Connection, name: str) -> Device:
    found = devices.get(connection, name)
    if found is None:
        raise UnknownError(f"device {name[:40]!r} has not checked in yet")
    return found


def _config_body(connection: Connection, name: str) -> str:
    body = configs.body_of(connection, name)
    if body is None:
        raise UnknownError(f"configuration {name[:40]!r} is not kept here")
    return body


def _rollout(request: Request, rollout: Rollout) -> Json:
    context = context_of(request)
    with reading(context.engine) as connection:
        return views.rollout_view(connection, rollout, context.clock())
