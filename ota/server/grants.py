"""What a device may fetch: the manifests that it was directed to, and their parts.

Decides by the device's attempts: a direction always leaves one. What was granted once is remembered by this process, because a
device reads an artifact in many small ranges; a grant is never taken back, so that memory of it cannot be wrong.
"""

from collections import OrderedDict
from enum import StrEnum

from sqlalchemy import Connection, Engine

from ota.archive.folder import MissingError
from ota.server.errors import ApiError
from ota.store import attempts, releases
from ota.store.session import reading

REMEMBERED = 50_000   # grants, about 250 bytes each; more devices than that do not download at the same time


class Kind(StrEnum):
    """What a device asks for: the archive alone does not tell them apart."""

    MANIFEST = "manifest"
    PART = "artifact"


class Grants:
    """One process's memory of grants. Asked on the event loop, looked up on a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: OrderedDict[tuple[str, Kind, str], None] = OrderedDict()

    def is_known(self, device: str, kind: Kind, name: str) -> bool:
        """Tell whether a grant is remembered."""
        return (device, kind, name) in self._known

    def look_up(self, device: str, kind: Kind, name: str) -> None:
        """Find a grant in the rows, and remember it.

        Raises:
            MissingError: it is no published manifest, or no part of one.
            ApiError: 403, the device was never directed to it.
        """
        with reading(self._engine) as connection:
            manifests = _manifests(connection, kind, name)
            if not manifests:
                raise MissingError(f"{kind} {name[:64]!r} is not published")
            if not attempts.was_directed(connection, device, manifests):
                raise ApiError(403, "artifact.not_directed", f"{device} was not directed to a release with {name[:16]}…")
        self._known[device, kind, name] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _manifests(connection: Connection, kind: Kind, name: str) -> list[str]:
    if kind is Kind.PART:
        return releases.naming(connection, name)
    return [name] if releases.is_published(connection, name) else []
