"""What happened to a device's link, and which release it ran when: the rows of link_event, read.

Decides from which row to which a release ran. An event names the release of that moment, so a release ran from the first event that
names it; before the first event that is known of a device, it is what a drop tells, else unknown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from host.monitor.presence import DROP
from host.store.tables import link_event, presence

UNKNOWN = "unknown"     # a label that nothing tells
AT_ONCE = 500           # devices in one question: SQLite takes 32,766 parameters, older ones 999

Spans = Sequence[tuple[int, str]]   # (from Unix ms, label), ascending; the first begins at 0


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One change of a device's link; `kind` is one of host.monitor.presence.KINDS."""

    at_ms: int
    kind: str
    release: str


def link_events(engine: Engine, device: str, from_ms: int, to_ms: int, limit: int = 10_000) -> list[LinkRow]:
    """A device's events in [from_ms, to_ms], oldest first, at most `limit`."""
    query = (
        select(link_event.c.at_ms, link_event.c.kind, link_event.c.release)
        .where(link_event.c.device == device, link_event.c.at_ms >= from_ms, link_event.c.at_ms <= to_ms)
        .order_by(link_event.c.id).limit(limit)
    )
    with engine.connect() as connection:
        return [LinkRow(*row) for row in connection.execute(query)]


def releases(engine: Engine, devices: Iterable[str], from_ms: int, to_ms: int) -> dict[str, Spans]:
    """Which release each device ran from when, in a window; devices of which nothing is known are UNKNOWN."""
    names = sorted(devices)
    found: dict[str, Spans] = {}
    for start in range(0, len(names), AT_ONCE):
        found |= _releases(engine, names[start:start + AT_ONCE], from_ms, to_ms)
    return found


def spans(before: str | None, rows: Sequence[LinkRow], now: str, from_ms: int) -> Spans:
    """Put one device's spans together.

    Args:
        before: what the newest event before the window names; None when there is none.
        rows: of the window, oldest first.
        now: what the device is known to run now; "" unknown.
        from_ms: where the window begins; what ended there is left out.
    """
    first = before or (rows[0].release if rows and rows[0].kind == DROP else "") or ("" if rows else now)
    made = [(0, first or UNKNOWN)]
    for row in rows:
        label = row.release or UNKNOWN
        if row.kind != DROP and label != made[-1][1]:   # a drop names what ran until then
            made = [*made, (row.at_ms, label)] if row.at_ms > from_ms else [(0, label)]
    return made


def _releases(engine: Engine, names: Sequence[str], from_ms: int, to_ms: int) -> dict[str, Spans]:
    of_them = link_event.c.device.in_(names)
    newest = select(func.max(link_event.c.id)).where(of_them, link_event.c.at_ms < from_ms).group_by(link_event.c.device)
    earlier = select(link_event.c.device, link_event.c.release).where(link_event.c.id.in_(newest))
    within = (
        select(link_event.c.device, link_event.c.at_ms, link_event.c.kind, link_event.c.release)
        .where(of_them, link_event.c.at_ms >= from_ms, link_event.c.at_ms <= to_ms).order_by(link_event.c.id)
    )
    with engine.connect() as connection:
        before = {row.device: row.release for row in connection.execute(earlier)}
        known = select(presence.c.device, presence.c.release).where(presence.c.device.in_(names))
        now = {row.device: row.release for row in connection.execute(known)}
        rows: dict[str, list[LinkRow]] = {}
        for device, *row in connection.execute(within):
            rows.setdefault(device, []).append(LinkRow(*row))
    return {name: spans(before.get(name), rows.get(name, ()), now.get(name, ""), from_ms) for name in names}
