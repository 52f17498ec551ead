"""The device API: check-in, manifests, artifacts and roots. SPEC.md has the contract; `desk` decides.

Plain Starlette handlers: a check-in is the one request whose cost matters.
"""

import logging
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from node.wire import checkin as checkin_format
from ota.archive.folder import MissingError
from ota.server import ranges
from ota.server.context import Context, context_of, device_of
from ota.server.desk import Answer, sighting_of
from ota.server.downloads import Download
from ota.server.errors import ApiError
from ota.server.grants import Kind
from ota.store import releases
from ota.store.devices import Sighting
from ota.store.session import reading

BINARY = "application/octet-stream"
FOREVER = "private, max-age=31536000, immutable"   # objects are named by their hash
log = logging.getLogger(__name__)


def add_routes(app: FastAPI) -> None:
    """Add the device API to an application."""
    app.router.add_route("/v1/checkin", check_in, methods=["POST"])
    app.router.add_route("/v1/manifests/{name}", get_manifest, methods=["GET"])
    app.router.add_route("/v1/artifacts/{name}", get_artifact, methods=["GET"])
    app.router.add_route("/v1/roots/{version}", get_root, methods=["GET"])


async def check_in(request: Request) -> Response:
    """POST /v1/checkin: what a device reports, what it is told."""
    context, name = context_of(request), device_of(request)
    body = checkin_format.parse_request(await _body(request))
    if body["device"] != name:
        raise ApiError(403, "checkin.device", f"got {body['device']}, the certificate is {name}'s")
    sighting = sighting_of(body, context.clock())
    answer = context.desk.idle(sighting)
    if answer is None:
        wait_s = context.desk.admit(sighting)
        if wait_s:
            raise ApiError(503, "checkin.later", "too many devices at once; ask again", {"Retry-After": str(ceil(wait_s))})
        answer = await _settle(context, sighting, body["nonce"], body["seq"])
    told: dict[str, Any] = {"now_s": int(sighting.at_s), "period_s": answer.period_s, "direction": answer.direction,
                            "reason": str(answer.reason)}
    if answer.config is not None:
        told["config"] = answer.config
    raw = checkin_format.encode_response(told)
    return Response(raw, media_type="application/json")


async def get_manifest(request: Request) -> Response:
    """GET /v1/manifests/{sha256}: a signed manifest, as it was signed."""
    context, name = context_of(request), request.path_params["name"]
    raw = await _object(context, device_of(request), Kind.MANIFEST, name)
    return Response(raw, media_type=BINARY, headers={"Cache-Control": FOREVER})


async def get_artifact(request: Request) -> Response:
    """GET /v1/artifacts/{sha256}: an artifact, whole or one range of it."""
    context, device, name = context_of(request), device_of(request), request.path_params["name"]
    data = await _object(context, device, Kind.PART, name)
    etag = f'"{name}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": FOREVER}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    try:
        span = ranges.parse(wanted, len(data))
    except ranges.UnsatisfiableError as error:
        raise ApiError(416, "range", str(error), {"Content-Range": f"bytes */{len(data)}"}) from None
    first, last = span or (0, len(data) - 1)
    log.info("%s", Download(device, name, first, last, len(data)))
    if span is None:
        return Response(data, media_type=BINARY, headers=headers)
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first:last + 1], 206, headers, BINARY)


async def get_root(request: Request) -> Response:
    """GET /v1/roots/{version}: a signed root of the chain."""
    context, _ = context_of(request), device_of(request)
    raw = await context.run(_root, context, request.path_params["version"])
    return Response(raw, media_type=BINARY)


def _root(context: Context, version: str) -> bytes:
    with reading(context.engine) as connection:
        names = releases.roots(connection)
    if not (version.isascii() and version.isdigit() and len(version) <= 10 and 1 <= int(version) <= len(names)):
        raise MissingError(f"root {version[:20]!r} does not exist; the newest is {len(names)}")
    return context.archive.get(names[int(version) - 1])


async def _object(context: Context, device: str, kind: Kind, name: str) -> bytes:
    """What a device may fetch; refused by an error otherwise."""
    if not context.grants.is_known(device, kind, name):
        await context.run(context.grants.look_up, device, kind, name)
    return await context.run(context.granted, name)


async def _settle(context: Context, sighting: Sighting, nonce: str, seq: int) -> Answer:
    if context.settling >= context.settings.max_settling:
        return context.desk.busy(sighting)
    context.settling += 1
    try:
        return await context.run(context.desk.settle, sighting, nonce, seq)
    finally:
        context.settling -= 1


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > checkin_format.MAX_REQUEST_BYTES:
            raise ApiError(413, "checkin.size", f"got more than {checkin_format.MAX_REQUEST_BYTES} bytes")
    return bytes(body)
