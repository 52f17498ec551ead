"""Rows of devices' histories: what happened to each, for ever. Written with what they tell of, in its transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from ota.rules.events import Happened
from ota.store import tables

DETAIL_CHARS = 160


@dataclass(frozen=True)
class Event:
    """Something that happened to a device; `at_s` in whole Unix seconds, `ident` rises with time."""

    device: str
    at_s: int
    happened: Happened
    counter: int
    detail: str = ""
    ident: int = 0


def note(connection: Connection, events: Iterable[Event]) -> None:
    """Add to histories."""
    rows = [{"device": each.device, "at_s": each.at_s, "event": each.happened, "counter": each.counter,
             "detail": each.detail[:DETAIL_CHARS]} for each in events]
    if rows:
        connection.execute(tables.device_event.insert(), rows)


def page(
    connection: Connection, device: str, limit: int, *, before: int | None = None, only: Sequence[Happened] = (),
) -> list[Event]:
    """Read a device's events, the newest first.

    Args:
        before: an event's ident; None begins with the newest.
        only: leave out all others.
    """
    table = tables.device_event
    wanted: list[Any] = [table.c.device == device]
    if before is not None:
        wanted.append(table.c.ident < before)
    if only:
        wanted.append(table.c.event.in_(only))
    query = select(table).where(*wanted).order_by(table.c.ident.desc()).limit(limit)
    return [Event(row.device, row.at_s, Happened(row.event), row.counter, row.detail, row.ident)
            for row in connection.execute(query)]
