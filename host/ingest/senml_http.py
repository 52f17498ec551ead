"""SenML over HTTP for devices that are not ours: `POST /v1/senml` with mutual TLS; the certificate's name is the device.

Decides statuses, and that a pack is answered after its commit only: packs that came while one was on its way to the disk make the
next one together. What becomes of a pack is sort.py's and commit.py's, as for one that came by MQTT. A refusal is JSON
`{"code", "message"}`; a pack that is refused for what it says lies in quarantine too. A process of its own, so that what strangers
send over HTTP holds up no device of ours.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from host.ingest.commit import Committer
from host.ingest.known import KnownDevices, admitted
from host.ingest.senml import CBOR, JSON, MAX_PACK_BYTES
from host.ingest.sort import Pack, Reject, senml_topic, sort
from host.store.telemetry import Telemetry
from host.tls import peer_name
from node.wire.identity import is_device_id

PATH = "/v1/senml"
GROUP_MAX = 64        # packs of one commit
WAITING_MAX = 1024    # packs that wait for one; 16 KiB each at most
RETRY_AFTER_S = 5
MEDIA_TYPES = {"application/senml+json": JSON, "application/senml+cbor": CBOR}
KEPT_ASIDE = 202, "numbers are stored; records without one are kept aside"
# Status and next step by code; of others 400, and that the pack has to be mended.
ANSWERS = {
    "senml.no_number": KEPT_ASIDE,
    "senml.name_missing": (403, "use a client certificate whose name is a device id"),
    "device.unknown": (403, "ask the operator to add the device to known_devices"),
    "senml.ours": (409, "this device sends batches of ours; SenML needs an id of its own"),
    "senml.size": (413, f"send packs of at most {MAX_PACK_BYTES} bytes"),
    "senml.media": (415, "expected one of " + ", ".join(MEDIA_TYPES)),
    "senml.busy": (503, "too many packs wait: send it again"),
    "senml.database": (503, "nothing was stored: send it again"),
}
log = logging.getLogger(__name__)


Sent = Pack | Reject


@dataclass(frozen=True, slots=True)
class _Waiting:
    one: Sent
    answer: "asyncio.Future[str]"   # the code of its refusal, or ""


class Door:
    """Commits packs in groups; `put` returns when a pack is on the disk, or why it is not. For one event loop."""

    def __init__(self, engine: Engine, clock_ms: Callable[[], int], *, rounding: bool) -> None:
        self._store, self._clock_ms = Telemetry(engine), clock_ms
        self._committer = Committer(self._store, rounding=rounding)
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, "senml-commit")
        self._work: asyncio.Task[None] | None = None

    async def put(self, one: Sent) -> str:
        """Store one pack; gives the code of its refusal, or "" when all of it is stored."""
        if len(self._waiting) >= WAITING_MAX:
            return "senml.busy"
        waiting = _Waiting(one, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run())
        return await waiting.answer

    def close(self) -> None:
        self._thread.shutdown()

    async def _run(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(GROUP_MAX, len(self._waiting)))]
            codes = await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, [each.one for each in group])
            for each, code in zip(group, codes, strict=True):
                if not each.answer.done():   # its client may have gone
                    each.answer.set_result(code)

    def _commit(self, group: Sequence[Sent]) -> list[str]:
        """The code of each, in the commit's thread."""
        try:
            rejects = self._committer.commit(group, self._clock_ms()).rejects
        except (DataError, IntegrityError):   # one of them is what the database takes neither now nor later
            if len(group) > 1:
                return [code for one in group for code in self._commit([one])]
            one = group[0]
            log.error("the database refuses a pack of %s", one.device)
            return ["store.refused"] if isinstance(one, Reject) else self._commit(
                [Reject(one.topic, one.device, "store.refused", one.payload)])
        except SQLAlchemyError as error:
            log.error("cannot store, nothing is acknowledged: %s", str(getattr(error, "orig", None) or error).splitlines()[0])
            self._store.reopen()
            return ["senml.database"] * len(group)
        codes = {id(one.payload): one.reason for one in rejects}   # a reject carries the pack's own bytes
        return [codes.get(id(one.payload), "") for one in group]


def create_app(
    engine: Engine, clock_ms: Callable[[], int], *, known: KnownDevices | None = None, rounding: bool = False,
) -> FastAPI:
    """Make the application on a database that is there and current.

    Args:
        known: None: whoever has a device's certificate.
        rounding: see host.ingest.foreign.draw.
    """
    door = Door(engine, clock_ms, rounding=rounding)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        door.close()

    app = FastAPI(title="Tenfold SenML", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post(PATH)
    async def senml(request: Request) -> Response:
        device = peer_name(request.scope)
        if device is None or not is_device_id(device):
            return _answer("senml.name_missing")
        kind = MEDIA_TYPES.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
        if kind is None:
            return _answer("senml.media")
        body = await _body(request)
        if body is None:
            return _answer("senml.size")
        topic = senml_topic(device, kind)
        found = admitted(sort(topic, body), topic, body, known)
        return _answer(await door.put(found) if isinstance(found, Sent) else "senml.media")

    return app


async def _body(request: Request) -> bytes | None:
    """The body; None when it is too long, told before all of it has come."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_PACK_BYTES:
            return None
    return bytes(body)


def _answer(code: str) -> Response:
    if not code:
        return Response(status_code=204)
    status, message = ANSWERS.get(code, (400, "nothing of it is stored; the pack is kept aside for the operator"))
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return JSONResponse({"code": code, "message": message}, status, headers)
