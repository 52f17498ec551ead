"""What the handlers share, and who calls them: `people` finds out who a request comes from, `doors` whether an operator may."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, TypeVarTuple

from fastapi import Request
from sqlalchemy import Engine

from host.forwarded import ForwardedCertificates
from ota.archive.folder import Archive
from ota.server.desk import Desk
from ota.server.grants import Grants
from ota.server.people import Person, device_name
from ota.server.settings import OtaSettings

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CACHED_OBJECTS = 16   # artifacts and manifests kept in memory, 4 MiB each at most; devices read them in many small ranges


@dataclass
class Context:
    """One application's parts.

    Attributes:
        clock: gives Unix seconds.
        direction_key_hex: public key of the directions this server signs.
        forwarded: verifies what a proxy passes on; None when no proxy is known.
        pool: threads for the database; as many as the engine's pool has connections to spare.
        settling: check-ins that wait for the database now.
    """

    settings: OtaSettings
    engine: Engine
    archive: Archive
    desk: Desk
    clock: Callable[[], float]
    direction_key_hex: str
    forwarded: ForwardedCertificates | None
    pool: ThreadPoolExecutor
    settling: int = 0

    def __post_init__(self) -> None:
        self.grants = Grants(self.engine)
        self.granted = lru_cache(CACHED_OBJECTS)(self.archive.get)   # ask `grants` first

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Run a function that blocks on one of the pool's threads, as a part of the call that is under way."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, copy_context().run, function, *arguments)


def context_of(request: Request) -> Context:
    """Give the application's parts to a handler."""
    context = request.app.state.context
    if not isinstance(context, Context):
        raise TypeError("app.state.context: expected the application made by create_app")
    return context


def device_of(request: Request) -> str:
    """Tell which device sends a request.

    Raises:
        ApiError: 401 without a certificate, 403 when it is not a device's or came by a way that is not trusted.
    """
    context = context_of(request)
    return device_name(request.scope, context.settings, context.forwarded, context.clock())


def person_of(request: Request) -> Person:
    """Tell who makes an operator's call; `doors` has let them in."""
    person = request.scope["state"]["person"]
    if not isinstance(person, Person):
        raise TypeError("scope.state.person: expected what Doors puts there")
    return person


def operator_of(request: Request) -> str:
    """Tell the name of who makes an operator's call, as history keeps it."""
    return person_of(request).name


def asks_of(request: Request) -> frozenset[str]:
    """Tell the names behind a call where starts wait for a second person; none where they do not."""
    return person_of(request).people if context_of(request).settings.approvals else frozenset()
