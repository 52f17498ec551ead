"""Retention of readings: whole months of a channel class go, by age and by size; sums go by age.

Decides which parts are beyond their class's bounds, oldest first, and drops them as a whole. Names stay: what was dropped and
comes again is still known as stored. Batches that were never compacted are not touched. What else is bounded, retention.py says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, delete, select, update

from host.clock import DAY_MS
from host.store import tables as t
from host.store.classes import Classes
from host.store.dropped import note
from host.store.maintenance import alone
from host.store.parts import Part, month_of, parts_of


@dataclass(frozen=True, slots=True)
class Drop:
    """A part that goes, and why: "age" or "size"."""

    part: Part
    bytes: int
    reason: str


def beyond(parts: Sequence[tuple[Part, int]], classes: Classes, today: int) -> list[Drop]:
    """Which parts are beyond the bounds of their classes.

    Args:
        parts: each with its bytes, in any order. Those of a class that is no longer named have the bounds of the last one.
        today: days since 1970. A month goes when its last day is older than the class keeps.
    """
    named = {one.name: one for one in classes.classes}
    found: list[Drop] = []
    for kind in sorted({part.kind for part, _ in parts}):
        bounds = named.get(kind, classes.classes[-1])
        kept_bytes = 0
        for part, size in sorted((one for one in parts if one[0].kind == kind), reverse=True):   # newest first
            kept_bytes += size
            if _last_day(part.month) < today - bounds.days:
                found.append(Drop(part, size, "age"))
            elif bounds.max_bytes and kept_bytes > bounds.max_bytes:
                found.append(Drop(part, size, "size"))
    return sorted(found, key=lambda one: one.part)


def retain(engine: Engine, classes: Classes, now_ms: int, *, dry: bool = False) -> list[Drop]:
    """Drop what is beyond the bounds; gives what was dropped, or with `dry` what would be.

    Raises:
        MaintenanceError: another is at work.
        sqlalchemy.exc.SQLAlchemyError: run it again; what was dropped stays dropped.
    """
    parts, today = parts_of(engine), now_ms // DAY_MS
    with alone(engine):
        with engine.connect() as connection:
            found = beyond([(part, parts.size(connection, part)) for part in parts.all(connection)], classes, today)
        if dry:
            return found
        for one in found:
            with engine.begin() as connection:
                note(connection, one.part.month, one.bytes)
            with engine.begin() as connection:
                parts.drop(connection, one.part)
        with engine.begin() as connection:
            months = {part.month for part in parts.all(connection)}
            days = connection.scalars(select(t.run.c.day).where(t.run.c.tails != b"").distinct()).all()
            for day in days:
                if month_of(day) not in months:   # no bytes left to compare a repetition with, so none of its checksum either
                    connection.execute(update(t.run).where(t.run.c.day == day).values(tails=b""))
            for table in (t.rollup, t.rollup_part):
                connection.execute(delete(table).where(table.c.day < today - classes.rollup_days))
    return found


def _last_day(month: str) -> int:
    year, number = map(int, month.split("-"))
    following = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return int(following.timestamp()) // 86_400 - 1
