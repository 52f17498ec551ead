"""The update server's application: puts the parts together, runs its background work. Decides nothing.

Any number of processes may serve one database: decisions are made again under the write lock wherever something is written.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI

from host.db import migrate, open_engine
from host.forwarded import ForwardedCertificates
from host.revoked import RevocationList
from host.settings import SettingsError
from node.wire.manifest import MAX_ARTIFACT_BYTES
from ota.archive.folder import Archive
from ota.release import keys
from ota.release.verify import ReleaseError
from ota.server import (
    admin_api,
    archive_api,
    control,
    description,
    device_api,
    devices_api,
    errors,
    metrics_api,
    people_api,
    publish,
    webhooks,
)
from ota.server.context import Context
from ota.server.desk import Desk
from ota.server.doors import Doors
from ota.server.errors import ApiError
from ota.server.settings import OtaSettings

THREADS = 8                      # for check-ins that need the database; SQLite lets one of them write at a time
MAX_BODY_BYTES = 64 << 10        # of JSON: far more than a manifest of 2 KiB or a root of 8 KiB takes in base64
Message = MutableMapping[str, Any]
log = logging.getLogger(__name__)


def create_app(settings: OtaSettings, *, clock: Callable[[], float] = time.time) -> FastAPI:
    """Make the application; opens the database, brings it to the newest schema, checks keys and roots.

    Args:
        clock: gives Unix seconds.

    Raises:
        SettingsError, KeyFileError, DatabaseError, ArchiveError, ReleaseError: it cannot start like this; the message says why.
    """
    context = make_context(settings, clock)
    tellers = webhooks.tellers(settings.webhooks, context.engine, clock, random.SystemRandom().random)
    telling = ThreadPoolExecutor(1, "webhooks")   # not the check-ins' threads

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await context.run(context.desk.refresh, clock())
        await context.run(context.desk.recall, clock())
        jobs = [
            asyncio.create_task(_every(context, settings.flush_s, lambda: pulse(context))),
            asyncio.create_task(_every(context, settings.tick_s, lambda: tick(context))),
        ]
        jobs += [asyncio.create_task(each.run(telling)) for each in tellers]
        yield
        for job in jobs:
            job.cancel()
            with suppress(asyncio.CancelledError):
                await job
        await context.run(context.desk.flush)
        telling.shutdown()
        context.pool.shutdown()
        context.engine.dispose()

    app = FastAPI(title="Tenfold updates", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.context = context
    errors.install(app)
    device_api.add_routes(app)
    app.include_router(people_api.router)   # first: its /rollouts/{ident}/approve is no command of admin_api
    app.include_router(admin_api.router)
    app.include_router(archive_api.router)
    app.include_router(devices_api.router)
    app.include_router(metrics_api.router)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    description.install(app)
    app.add_middleware(Doors, context=context)
    app.add_middleware(BodyLimit)
    return app


def make_context(settings: OtaSettings, clock: Callable[[], float]) -> Context:
    """Open everything that the application works with; raises as `create_app`."""
    engine = open_engine(settings.database)
    migrate(engine, "ota.store")
    archive = Archive(settings.archive)
    key = keys.load(settings.direction_key, keys.passphrase())
    key_hex = keys.public65(key).hex()
    try:
        pinned = settings.root_file.read_bytes()
    except OSError as error:
        raise SettingsError("root_file", f"{settings.root_file} ({error.strerror})", "a signed root") from None
    try:
        publish.pin_root(engine, archive, pinned, clock())
        root = publish.trusted_root(engine, archive)
    except ReleaseError as error:
        raise SettingsError("root_file", f"{settings.root_file} ({error})", "the root that this server's devices hold") from None
    if key_hex not in root["roles"]["direction"]["keys"]:
        raise SettingsError("direction_key", f"{settings.direction_key}, a key that the newest root does not list",
                            "a key of the root's direction role")
    desk = Desk(engine, key, settings.pace(), clock(), random.SystemRandom().random)
    revoked = RevocationList(settings.crl_file, settings.ca_file) if settings.crl_file else None
    forwarded = ForwardedCertificates(settings.ca_file, revoked) if settings.proxies else None
    return Context(settings, engine, archive, desk, clock, key_hex, forwarded, ThreadPoolExecutor(THREADS, "ota"))


def pulse(context: Context) -> None:
    """Write what was gathered, and renew what check-ins share."""
    context.desk.flush()
    context.desk.refresh(context.clock())


def tick(context: Context) -> None:
    """Move the rollouts; see `control.start_planned` and `control.tick`."""
    now_s = context.clock()
    if control.start_planned(context.engine, now_s) | bool(control.tick(context.engine, now_s)):
        context.desk.refresh(context.clock())


class BodyLimit:
    """Refuses bodies that are larger than any request needs, as they arrive."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[..., Any]) -> None:
        """Pass a request on, counting its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_ARTIFACT_BYTES if scope["path"].startswith(admin_api.ARTIFACTS_PATH) else MAX_BODY_BYTES
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > limit:
                raise ApiError(413, "request.size", f"got more than {limit} bytes")
            return message

        await self._app(scope, counted, send)


async def _every(context: Context, seconds: float, job: Callable[[], None]) -> None:
    """Run a job again and again; one that fails is logged and tried again, it must not end the others."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await context.run(job)
        except Exception:
            log.exception("background work failed; it is tried again in %g s", seconds)
