"""What the telemetry database tells the monitor: each device as ingest knows it, and the links' events of a window.

Decides SQL only; what it means is host.monitor's. Reads no batch: sums and clocks are kept in rows of their own, so that a fleet's
figures cost a row a device and a row an event.
"""

from typing import Any

from sqlalchemy import Connection, Engine, and_, func, select

from host.clock import DAY_MS
from host.monitor.connectivity import Event, Link
from host.monitor.facts import Fleet, Heard
from host.monitor.presence import CONNECT
from host.store.tables import boots, link_event, presence, progress


def read_fleet(engine: Engine, now_ms: int, window_ms: int = DAY_MS) -> Fleet:
    """Read all that ingest knows, as of now, with the events of the window that ends now.

    Args:
        now_ms: Unix milliseconds.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    from_ms = now_ms - window_ms
    known = select(progress.c.device).union(select(presence.c.device)).subquery()
    rows = (
        select(known.c.device, presence, progress, boots.c.epoch_ms)
        .join_from(known, presence, presence.c.device == known.c.device, isouter=True)
        .join(progress, progress.c.device == known.c.device, isouter=True)
        .join(boots, and_(boots.c.device == known.c.device, boots.c.boot == progress.c.boot), isouter=True)
    )
    with engine.connect() as connection:
        heard = {each.device: each for each in (_heard(row._mapping, known.c.device) for row in connection.execute(rows))}
        start, events = read_links(connection, from_ms, now_ms)
    return Fleet(now_ms, from_ms, heard, start, events)


def read_links(connection: Connection, from_ms: int, to_ms: int) -> tuple[dict[str, Link], list[Event]]:
    """How each link stood when the window [from_ms, to_ms) began, and the events within it, oldest first."""
    newest = (
        select(func.max(link_event.c.id).label("id")).where(link_event.c.at_ms < from_ms).group_by(link_event.c.device)
    ).subquery()
    before = select(link_event).join(newest, link_event.c.id == newest.c.id)
    within = (
        select(link_event).where(link_event.c.at_ms >= from_ms, link_event.c.at_ms < to_ms)
        .order_by(link_event.c.at_ms, link_event.c.id)
    )
    start = {row.device: Link(row.kind == CONNECT, row.release) for row in connection.execute(before)}
    return start, [Event(row.device, row.at_ms, row.kind, row.release, row.reason) for row in connection.execute(within)]


def _heard(cell: Any, device: Any) -> Heard:
    online = cell[presence.c.online]
    batches = cell[progress.c.batches] or 0
    return Heard(
        device=cell[device], online=None if online is None else bool(online), since_ms=cell[presence.c.since_ms] or 0,
        release=cell[presence.c.release] or "", reason=cell[presence.c.reason] or "",
        clock_known=None if not batches else cell[boots.c.epoch_ms] is not None,
        lost=cell[progress.c.lost_by_overflow] or 0,
        **{name: cell[progress.c[name]] or 0 for name in ("last_ms", "records", "readings", "bytes", "late", "unclocked")},
    )
