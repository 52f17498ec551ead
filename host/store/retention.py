"""How long things beside the readings are kept: quarantine, link events, traffic counts.

Decides what is removed by the bounds it is given; batches are never touched here. Runs in a transaction of its own beside
ingest, in small steps; a failed run is repeated at the next.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, select

from host.clock import DAY_MS
from host.store.tables import link_event, quarantine, traffic

DELETE_AT_ONCE = 500   # rows of one DELETE


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept at most; the oldest goes first."""

    quarantine_rows: int
    quarantine_bytes: int
    quarantine_days: int
    event_days: int
    traffic_days: int


@dataclass(frozen=True, slots=True)
class Removed:
    """Rows removed by one run."""

    quarantine: int
    events: int
    traffic: int


def prune(engine: Engine, bounds: Bounds, now_ms: int) -> Removed:
    """Remove what is beyond the bounds.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: nothing was removed.
    """
    with engine.begin() as connection:
        return Removed(
            _quarantine(connection, bounds, now_ms - bounds.quarantine_days * DAY_MS),
            _events(connection, now_ms - bounds.event_days * DAY_MS),
            connection.execute(
                delete(traffic).where(traffic.c.at_s < (now_ms - bounds.traffic_days * DAY_MS) // 1000)
            ).rowcount,
        )


def _quarantine(connection: Connection, bounds: Bounds, before_ms: int) -> int:
    removed = connection.execute(delete(quarantine).where(quarantine.c.last_ms < before_ms)).rowcount
    newest = select(quarantine.c.id, func.length(quarantine.c.payload)).order_by(
        quarantine.c.reason.like("time.%"),   # stored too: these go first, whatever their age
        quarantine.c.last_ms.desc(), quarantine.c.id)
    kept_bytes = 0
    beyond: list[int] = []
    for place, (row_id, size) in enumerate(connection.execute(newest)):
        kept_bytes += size
        if place >= bounds.quarantine_rows or kept_bytes > bounds.quarantine_bytes:
            beyond.append(row_id)
    return removed + _delete(connection, beyond)


def _events(connection: Connection, before_ms: int) -> int:
    """All older ones but each device's newest: it says how its link stands."""
    newest = select(func.max(link_event.c.id)).group_by(link_event.c.device)
    old = select(link_event.c.id).where(link_event.c.at_ms < before_ms, link_event.c.id.not_in(newest))
    return connection.execute(delete(link_event).where(link_event.c.id.in_(old))).rowcount


def _delete(connection: Connection, row_ids: Iterable[int]) -> int:
    ids = list(row_ids)
    removed = 0
    for start in range(0, len(ids), DELETE_AT_ONCE):
        part = ids[start:start + DELETE_AT_ONCE]
        removed += connection.execute(delete(quarantine).where(quarantine.c.id.in_(part))).rowcount
    return removed
