"""Rows of published releases and of the root chain."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from ota.rules.values import Release
from ota.store import tables
from ota.store.session import insert_new


@dataclass(frozen=True)
class Published:
    """A release as it stands in the archive; `manifest`, `artifact` and `image` are names of objects there."""

    release: Release
    mpy: int
    artifact: str
    size_bytes: int
    added_s: float
    added_by: str
    image: str | None = None
    image_bytes: int | None = None


def add(connection: Connection, published: Published) -> None:
    """Add a release; one that is there already is left alone."""
    release = published.release
    insert_new(connection, tables.release, [{
        "manifest": release.manifest, "release": release.release, "counter": release.counter, "models": list(release.models),
        "from_lo": release.from_lo, "from_hi": release.from_hi, "stone": release.stone, "mpy": published.mpy,
        "artifact": published.artifact, "size_bytes": published.size_bytes, "added_s": published.added_s,
        "added_by": published.added_by, "image": published.image, "image_bytes": published.image_bytes,
    }])


def all_published(connection: Connection) -> list[Published]:
    """Read all releases, oldest first."""
    rows = connection.execute(select(tables.release).order_by(tables.release.c.counter, tables.release.c.added_s))
    return [_published(row) for row in rows]


def get(connection: Connection, manifest: str) -> Published | None:
    """Read one release."""
    row = connection.execute(select(tables.release).where(tables.release.c.manifest == manifest)).first()
    return None if row is None else _published(row)


def has_artifact(connection: Connection, name: str) -> bool:
    """Tell whether this is a published release's bundle or image: the archive also holds objects that are not for devices."""
    columns = tables.release.c
    found = select(columns.manifest).where(or_(columns.artifact == name, columns.image == name))
    return connection.execute(found).first() is not None


def naming(connection: Connection, name: str) -> list[str]:
    """Read the manifests that an object belongs to: as the envelope itself, or as a part of the release."""
    columns = tables.release.c
    found = select(columns.manifest).where(or_(columns.manifest == name, columns.artifact == name, columns.image == name))
    return list(connection.execute(found).scalars())


def usable(connection: Connection) -> tuple[Release, ...]:
    """Read the releases that devices may still install: those at or above the newest root's floor."""
    floor = min_counter(connection)
    return tuple(each.release for each in all_published(connection) if each.release.counter >= floor)


def add_root(connection: Connection, version: int, name: str, floor: int, now_s: float) -> None:
    """Add a root of the chain by its object's name; `floor` is its `min_counter`."""
    insert_new(connection, tables.root, [{"version": version, "object": name, "min_counter": floor, "added_s": now_s}])


def roots(connection: Connection) -> list[str]:
    """Read the names of the root chain's objects, version 1 first."""
    return list(connection.execute(select(tables.root.c.object).order_by(tables.root.c.version)).scalars())


def min_counter(connection: Connection) -> int:
    """Tell the floor: the lowest release counter that the newest root lets devices install."""
    return connection.execute(select(func.max(tables.root.c.min_counter))).scalar() or 0


def _published(row: Row[Any]) -> Published:
    release = Release(row.manifest, row.release, row.counter, tuple(row.models), row.from_lo, row.from_hi, row.stone)
    return Published(release, row.mpy, row.artifact, row.size_bytes, row.added_s, row.added_by, row.image, row.image_bytes)
