"""Rollups kept up to date: which days of which devices are to be summed again, and the rows that come of it.

Decides by comparing what a day is made of now (its batches, their places, the version of its columns, the schemas known) with what
it was made of when it was rolled up last. Nothing has to be marked when a batch is stored, so a crash cannot lose a mark, and a
late batch, a batch placed anew or a schema that came late make their days due by being there. What an aggregate is, is rollup.py's.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Table, delete, insert, select, tuple_

from host.clock import DAY_MS, HOUR_MS, MINUTE_MS
from host.store import tables as t
from host.store.buckets import Aggregates
from host.store.channels import Channel
from host.store.made import Made, made_of, rolled
from host.store.maintenance import alone
from host.store.queries import Queries
from host.store.rollup import Int64, aggregate_all, minute_rows, row
from host.store.segments import Segment, series_ids, snapshot

OPEN_MS = HOUR_MS      # the current day is summed again at most this often: its batches never stand still
DAYS_AT_ONCE = 4         # days of a device read at a time: 500 MB at worst, 64 channels each second
IN_LIMIT = 500

_Found = dict[int, dict[Channel, list[tuple[Int64, Int64, Int64]]]]   # day -> channel -> (times, values, qualities)


def roll(engine: Engine, now_ms: int, step: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Sum again what is due; gives the number of days of devices.

    Raises:
        MaintenanceError: another is at work.
        sqlalchemy.exc.SQLAlchemyError: the days done so far are kept; run it again.
    """
    with alone(engine):
        with snapshot(engine) as connection:
            due = list(_due(connection, now_ms))
        queries = Queries(engine)
        done = 0
        for device, some in groupby(due, key=lambda one: one[0]):
            days = [day for _, day in some]
            for at in range(0, len(days), DAYS_AT_ONCE):
                _roll(engine, queries, device, days[at : at + DAYS_AT_ONCE], now_ms)
                done += len(days[at : at + DAYS_AT_ONCE])
                step(done, len(due))
    return done


def _due(connection: Connection, now_ms: int) -> Iterator[tuple[str, int]]:
    """Days that are made of something else than when they were rolled up, device after device."""
    last = rolled(connection)
    for key, made in sorted(made_of(connection).items()):
        before, at_ms = last.get(key, (None, 0))
        if made != before and (key[1] < now_ms // DAY_MS or at_ms <= now_ms - OPEN_MS):
            yield key


def _roll(engine: Engine, queries: Queries, device: str, days: list[int], now_ms: int) -> None:
    """Sum days of one device again, and those that their batches reach into."""
    with snapshot(engine) as connection:
        made = made_of(connection, device)
        found: _Found = {day: {} for day in days}
        beyond = _collect(connection, queries, device, found) - found.keys()
        after: _Found = {day: {} for day in beyond}
        _collect(connection, queries, device, after)
    found |= after
    with engine.begin() as connection:
        ids = series_ids(connection, device, {channel for of_day in found.values() for channel in of_day})
        minutes = {
            (ids[channel], day): aggregate_all(pieces, MINUTE_MS)
            for day, of_day in found.items() for channel, pieces in of_day.items()
        }
        packed = {day: made.get((device, day), Made()).version > 0 for day in found}
        _replace(connection, list(ids.values()), packed, minutes)
        _remember(connection, device, days, made, now_ms)


def _collect(connection: Connection, queries: Queries, device: str, found: _Found) -> set[int]:
    """Fill in the readings of some days; gives the days that their batches reach into."""
    beyond: set[int] = set()
    for first, last in _stretches(found):
        for segment in queries.segments(connection, device, None, first * DAY_MS, (last + 1) * DAY_MS - 1):
            reached = segment.times // DAY_MS
            beyond |= {day for day in np.unique(reached).tolist() if day > last}
            _share(segment, found)
    return beyond


def _replace(
    connection: Connection, of_device: list[int], days: dict[int, bool], minutes: dict[tuple[int, int], Aggregates]
) -> None:
    """Put new sums in the place of old ones; those that are as they were are not written again.

    Args:
        days: day -> whether it has day columns. Then readings only grow, and sums of more readings than there are now are older
            than a dropped part: they stay.
        minutes: (series, day) -> its readings by the minute.
    """
    before, parts = _kept(connection, t.rollup, of_device, days), _kept(connection, t.rollup_part, of_device, days)
    fresh = {key: [{"series": key[0], **row(key[1], sums)}] for key, sums in minutes.items()}
    fresh_parts = {key: [{"series": key[0], **one} for one in minute_rows(key[1], sums)] for key, sums in minutes.items()}
    stay = {key for key, (one,) in before.items() if days[key[1]] and (key not in fresh or fresh[key][0]["count"] < one["count"])}
    for table, old, new in ((t.rollup, before, fresh), (t.rollup_part, parts, fresh_parts)):
        changed = [key for key in old.keys() | new.keys() if key not in stay and old.get(key, []) != new.get(key, [])]
        gone = [key for key in changed if key in old]
        for at in range(0, len(gone), IN_LIMIT):
            connection.execute(delete(table).where(tuple_(table.c.series, table.c.day).in_(gone[at : at + IN_LIMIT])))
        added = [one for key in changed for one in new.get(key, [])]
        if added:
            connection.execute(insert(table), added)


def _kept(
    connection: Connection, table: Table, of_device: list[int], days: Iterable[int]
) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """The rows of some series' days, in the order of their key."""
    found: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for at in range(0, len(of_device), IN_LIMIT):
        some = of_device[at : at + IN_LIMIT]
        query = select(table).where(table.c.day.in_(list(days)), table.c.series.in_(some)).order_by(*table.primary_key)
        for one in connection.execute(query).mappings():
            found.setdefault((one["series"], one["day"]), []).append(dict(one))
    return found


def _share(segment: Segment, found: _Found) -> None:
    """A segment's readings to their days and channels."""
    of_sample = segment.times // DAY_MS
    for day in np.unique(of_sample).tolist():
        if day in found:
            inside = of_sample == day
            for channel, values, valid in zip(segment.channels, segment.values, segment.valid, strict=True):
                use = inside & valid
                if use.any():
                    found[day].setdefault(channel, []).append((segment.times[use], values[use], segment.quality[use]))


def _stretches(days: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Days that follow each other, as (first, last)."""
    for _, some in groupby(enumerate(sorted(days)), key=lambda pair: pair[1] - pair[0]):
        listed = [day for _, day in some]
        yield listed[0], listed[-1]


def _remember(connection: Connection, device: str, days: list[int], made: dict[tuple[str, int], Made], now_ms: int) -> None:
    keys = [(device, day) for day in days]
    connection.execute(delete(t.rolled_day).where(tuple_(t.rolled_day.c.device, t.rolled_day.c.day).in_(keys)))
    rows = [
        {"device": device, "day": day, "batches": one.batches, "starts": one.starts, "schemas": one.schemas, "version": one.version,
         "at_ms": now_ms}
        for day in days if (one := made.get((device, day))) is not None
    ]
    if rows:
        connection.execute(insert(t.rolled_day), rows)
