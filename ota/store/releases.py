"""Rows of published releases, of what was decided about them, and of the root chain."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from host.rows import insert_new
from ota.rules.values import Load, Release, Way
from ota.store import tables

REASON_CHARS = 200


@dataclass(frozen=True)
class Published:
    """A release as it stands in the archive; `manifest`, `artifact`, `image` and those of `deltas` are names of objects there.

    Attributes:
        retired_s: since when it is not offered any more; None while it is.
    """

    release: Release
    mpy: int
    artifact: str
    size_bytes: int
    added_s: float
    added_by: str
    image: str | None = None
    image_bytes: int | None = None
    retired_s: float | None = None
    deltas: tuple[Way, ...] = ()


def add(connection: Connection, published: Published) -> None:
    """Add a release; one that is there already is left alone."""
    release = published.release
    insert_new(connection, tables.release, [{
        "manifest": release.manifest, "release": release.release, "counter": release.counter, "models": list(release.models),
        "from_lo": release.from_lo, "from_hi": release.from_hi, "stone": release.stone, "mpy": published.mpy,
        "artifact": published.artifact, "size_bytes": published.size_bytes, "added_s": published.added_s,
        "added_by": published.added_by, "image": published.image, "image_bytes": published.image_bytes,
        "retired_s": published.retired_s,
    }])
    insert_new(connection, tables.delta, [{"manifest": release.manifest} | asdict(way) for way in published.deltas])


def retire(connection: Connection, manifest: str, now_s: float) -> None:
    """Mark a release as retired."""
    connection.execute(tables.release.update().where(tables.release.c.manifest == manifest).values(retired_s=now_s))


def note(
    connection: Connection, manifest: str, event: str, now_s: float, *, by: str, reason: str,
    stranded: Sequence[dict[str, Any]] = (),
) -> None:
    """Add to a release's history.

    Args:
        event: "publish", "retire" or "withdraw".
        stranded: versions that were left behind on purpose: model, counter, devices each.
    """
    connection.execute(tables.release_event.insert().values(
        manifest=manifest, at_s=now_s, event=event, by=by, reason=reason[:REASON_CHARS], stranded=list(stranded)))


def history(connection: Connection, manifest: str) -> list[dict[str, Any]]:
    """Read what was decided about a release, oldest first: at_s, event, by, reason, stranded."""
    table = tables.release_event
    query = select(table.c.at_s, table.c.event, table.c.by, table.c.reason, table.c.stranded).where(
        table.c.manifest == manifest).order_by(table.c.ident)
    return [dict(row._mapping) for row in connection.execute(query)]


def all_published(connection: Connection) -> list[Published]:
    """Read all releases, oldest first."""
    rows = connection.execute(select(tables.release).order_by(tables.release.c.counter, tables.release.c.added_s))
    ways = _ways(connection)
    return [_published(row, ways) for row in rows]


def get(connection: Connection, manifest: str) -> Published | None:
    """Read one release."""
    row = connection.execute(select(tables.release).where(tables.release.c.manifest == manifest)).first()
    return None if row is None else _published(row, _ways(connection, manifest))


def is_published(connection: Connection, manifest: str) -> bool:
    """Tell whether this is a published release's manifest."""
    columns = tables.release.c
    return connection.execute(select(columns.manifest).where(columns.manifest == manifest)).first() is not None


def naming(connection: Connection, part: str) -> list[str]:
    """Read the manifests of the published releases that a bundle, an image or a delta belongs to."""
    columns, delta = tables.release.c, tables.delta.c
    found = select(columns.manifest).where(or_(columns.artifact == part, columns.image == part))
    return list(connection.execute(found.union(select(delta.manifest).where(delta.delta == part))).scalars())


def usable(connection: Connection, *, deltas: bool = False) -> tuple[Release, ...]:
    """Read the releases that devices may still install: not retired, and at or above the newest root's floor.

    Args:
        deltas: with theirs, to tell what a device fetches. Paths need them only where there are stepping stones, and then they
            come by themselves: each check-in that is not idle asks.
    """
    columns = tables.release.c
    rows = connection.execute(select(tables.release).where(
        columns.retired_s.is_(None), columns.counter >= min_counter(connection)).order_by(columns.counter, columns.added_s)).all()
    ways = _ways(connection) if deltas or any(row.stone for row in rows) else {}
    return tuple(replace(_release(row), load=_load(row, ways)) for row in rows)


def add_root(connection: Connection, version: int, name: str, floor: int, now_s: float) -> None:
    """Add a root of the chain by its object's name; `floor` is its `min_counter`."""
    insert_new(connection, tables.root, [{"version": version, "object": name, "min_counter": floor, "added_s": now_s}])


def roots(connection: Connection) -> list[str]:
    """Read the names of the root chain's objects, version 1 first."""
    return list(connection.execute(select(tables.root.c.object).order_by(tables.root.c.version)).scalars())


def chain(connection: Connection) -> list[dict[str, Any]]:
    """Read the root chain: version, object, min_counter and added_s, version 1 first."""
    return [dict(row._mapping) for row in connection.execute(select(tables.root).order_by(tables.root.c.version))]


def min_counter(connection: Connection) -> int:
    """Tell the floor: the lowest release counter that the newest root lets devices install."""
    return connection.execute(select(func.max(tables.root.c.min_counter))).scalar() or 0


def _ways(connection: Connection, manifest: str | None = None) -> dict[str, list[Way]]:
    """The deltas of one release, or of all, by manifest."""
    columns = tables.delta.c
    found: dict[str, list[Way]] = {}
    wanted = select(tables.delta) if manifest is None else select(tables.delta).where(columns.manifest == manifest)
    for row in connection.execute(wanted.order_by(columns.target, columns.delta)):
        found.setdefault(row.manifest, []).append(Way(row.target, row.base, row.delta, row.size_bytes))
    return found


def _release(row: Row[Any]) -> Release:
    return Release(row.manifest, row.release, row.counter, tuple(row.models), row.from_lo, row.from_hi, row.stone)


def _load(row: Row[Any], ways: dict[str, list[Way]]) -> Load:
    return Load(row.artifact, row.size_bytes, row.image, row.image_bytes or 0, tuple(ways.get(row.manifest, ())))


def _published(row: Row[Any], ways: dict[str, list[Way]]) -> Published:
    return Published(_release(row), row.mpy, row.artifact, row.size_bytes, row.added_s, row.added_by, row.image, row.image_bytes,
                     row.retired_s, tuple(ways.get(row.manifest, ())))
