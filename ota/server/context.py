"""What the handlers share, and who may call them.

Decides who a request comes from: the CN of the verified client certificate, a device's or an operator's. No header and no body
can change that.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, TypeVarTuple

from fastapi import Request
from sqlalchemy import Engine

from host.tls import peer_name
from node.wire.identity import is_device_id
from ota.archive.folder import Archive, MissingError
from ota.server.desk import Desk
from ota.server.errors import ApiError
from ota.server.settings import OtaSettings
from ota.store import releases
from ota.store.session import reading

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

OPERATOR = "op."
CACHED_OBJECTS = 16   # artifacts and manifests kept in memory, 4 MiB each at most; devices read them in many small ranges
READ_METHODS = ("GET", "HEAD")


@dataclass
class Context:
    """One application's parts.

    Attributes:
        clock: gives Unix seconds.
        direction_key_hex: public key of the directions this server signs.
        pool: threads for the database; as many as the engine's pool has connections to spare.
        settling: check-ins that wait for the database now.
    """

    settings: OtaSettings
    engine: Engine
    archive: Archive
    desk: Desk
    clock: Callable[[], float]
    direction_key_hex: str
    pool: ThreadPoolExecutor
    settling: int = 0

    def __post_init__(self) -> None:
        self.manifest = lru_cache(CACHED_OBJECTS)(self._manifest)
        self.artifact = lru_cache(CACHED_OBJECTS)(self._artifact)

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Run a function that blocks on one of the pool's threads."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    def _manifest(self, name: str) -> bytes:
        with reading(self.engine) as connection:
            if releases.get(connection, name) is None:
                raise MissingError(f"manifest {name[:64]!r} is not published")
        return self.archive.get(name)

    def _artifact(self, name: str) -> bytes:
        with reading(self.engine) as connection:
            if not releases.has_artifact(connection, name):
                raise MissingError(f"artifact {name[:64]!r} is not published")
        return self.archive.get(name)


def context_of(request: Request) -> Context:
    """Give the application's parts to a handler."""
    context = request.app.state.context
    if not isinstance(context, Context):
        raise TypeError("app.state.context: expected the application made by create_app")
    return context


def device_of(request: Request) -> str:
    """Tell which device sends a request.

    Raises:
        ApiError: 401 without a certificate, 403 when it is not a device's.
    """
    name = _peer(request)
    if not is_device_id(name):
        raise ApiError(403, "tls.device", f"{name} is not a device")
    return name


def operator_of(request: Request) -> str:
    """Tell which operator sends a request.

    Raises:
        ApiError: 401 without a certificate, 403 when it is not an operator's or the operator may only read.
    """
    name = _peer(request)
    if not name.startswith(OPERATOR):
        raise ApiError(403, "tls.operator", f"{name} is not an operator")
    if request.method not in READ_METHODS and name not in context_of(request).settings.writers:
        raise ApiError(403, "operator.read_only", f"{name} may only read; `writers` in the settings names those who may change")
    return name


def _peer(request: Request) -> str:
    name = peer_name(request.scope)
    if name is None:
        raise ApiError(401, "tls.certificate", "a client certificate with a single CN is needed")
    return name
