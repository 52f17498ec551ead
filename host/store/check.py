"""Whether a telemetry database is sound: `tenfold db check`.

Decides what must hold and tells each breach as a sentence with its place. Reads everything once, columns included; changes nothing.
Runs beside ingest: all is read in one snapshot. What is checked: the files themselves; progress against the rows that it counts;
every day column decodes; each day that counts has its columns, and no series is without its device; runs meet neither each
other nor a batch of the same name.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, func, select

from host.clock import DAY_MS
from host.store import tables as t
from host.store.dropped import months
from host.store.packing import PackingError
from host.store.parts import Parts, PartsError, month_of, parts_of
from host.store.rollup import joined, read_hours, read_minutes
from host.store.segments import columns, snapshot
from host.store.telemetry import TAIL_BYTES


def check(engine: Engine, step: Callable[[str], None] = lambda what: None) -> list[str]:
    """Gives one sentence for each breach; empty when all is sound."""
    parts = parts_of(engine)
    found: list[str] = []
    with snapshot(engine) as connection:
        for what, look in (
            ("files", _files), ("sums", _sums), ("runs", _runs), ("day columns", _columns), ("rollups", _rollups),
        ):
            step(what)
            found += look(connection, parts)
    return found


def _files(connection: Connection, parts: Parts) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        for row in connection.exec_driver_sql("PRAGMA integrity_check(20)"):
            if row[0] != "ok":
                yield f"main database: {row[0]}"
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"main database: a row of {row[0]} names a row of {row[2]} that is not there"
    for part in parts.all(connection):
        said = parts.check(connection, part)
        if said:
            yield f"part {part.name}: {said}"


def _sums(connection: Connection, parts: Parts) -> Iterator[str]:
    """What progress counts is there, as batch or in a run, and nothing else is."""
    hot = (
        select(t.batch.c.device, func.count(), func.sum(t.batch.c.n_readings), func.sum(func.length(t.batch.c.payload)))
        .group_by(t.batch.c.device)
    )
    gone = (
        select(t.run.c.device, func.sum(t.run.c.last_seq - t.run.c.first_seq + 1), func.sum(t.run.c.readings),
               func.sum(t.run.c.bytes)).group_by(t.run.c.device)
    )
    there: dict[str, np.ndarray[Any, Any]] = {}
    for query in (hot, gone):
        for device, *sums in connection.execute(query):
            there[device] = there.get(device, np.zeros(3, np.int64)) + np.array([int(one) for one in sums])
    for row in connection.execute(select(t.progress).order_by(t.progress.c.device)):
        rows = there.pop(row.device, np.zeros(3, np.int64)).tolist()
        for name, told, real in zip(("records", "readings", "bytes"), (row.records, row.readings, row.bytes), rows, strict=True):
            if told != real:
                yield f"{row.device}: progress counts {told} {name}, the rows hold {real}"
    for device in sorted(there):
        yield f"{device}: has rows and no progress"


def _runs(connection: Connection, parts: Parts) -> Iterator[str]:
    rows = connection.execute(select(t.run).order_by(t.run.c.device, t.run.c.boot, t.run.c.first_seq)).all()
    for (device, boot), some in groupby(rows, key=lambda row: (row.device, row.boot)):
        end = -1
        for row in some:
            where = f"{device}: run ({boot}, {row.first_seq}) to {row.last_seq}"
            if row.last_seq < row.first_seq or row.first_seq <= end:
                yield f"{where} overlaps the one before it, which ends at {end}"
            if row.tails and len(row.tails) != TAIL_BYTES * (row.last_seq - row.first_seq + 1):
                yield f"{where} has {len(row.tails)} bytes of checksums"
            end = max(end, row.last_seq)
    twice = (
        select(t.batch.c.device, t.batch.c.boot, t.batch.c.seq)
        .join(t.run, (t.run.c.device == t.batch.c.device) & (t.run.c.boot == t.batch.c.boot)
              & (t.run.c.first_seq <= t.batch.c.seq) & (t.run.c.last_seq >= t.batch.c.seq)).limit(20)
    )
    for device, boot, seq in connection.execute(twice):
        yield f"{device}: batch ({boot}, {seq}) is stored, and named by a run as well"


def _columns(connection: Connection, parts: Parts) -> Iterator[str]:
    """Every day that counts, in the months that are kept, has columns that decode, and as many readings as its runs say."""
    names = [(row.device, row.day) for row in connection.execute(select(t.run.c.device, t.run.c.day).distinct())]
    days = {(row.device, row.day): row for row in connection.execute(select(t.packed_day))}
    yield from (f"{device}: runs of day {day}, which has no day columns" for device, day in sorted(set(names) - days.keys()))
    told = {
        (row[0], row[1]): int(row[2]) for row in connection.execute(
            select(t.run.c.device, t.run.c.day, func.sum(t.run.c.readings)).group_by(t.run.c.device, t.run.c.day))
    }
    gone = months(connection)
    for (device, day), row in sorted(days.items()):
        try:
            segments = list(columns(connection, parts, device, None, {day: row.version}))
        except (PackingError, PartsError, KeyError) as error:
            yield f"{device}: day {day}, of {month_of(day)}, does not decode: {error}"
            continue
        readings = sum(int(np.count_nonzero(valid)) for segment in segments for valid in segment.valid)
        if readings > told.get((device, day), 0) or (readings < told.get((device, day), 0) and month_of(day) not in gone):
            yield f"{device}: day {day} has {readings} readings in its columns, {told.get((device, day), 0)} were moved there"
        if segments and (min(int(one.times.min()) for one in segments) < row.first_ms
                         or max(int(one.times.max()) for one in segments) > row.last_ms):
            yield f"{device}: day {day} has samples outside the time that is told of it"


def _rollups(connection: Connection, parts: Parts) -> Iterator[str]:
    """Hours and minutes decode, and sum up to their days."""
    query = select(t.rollup, t.series.c.device, t.series.c.channel).join(t.series, t.series.c.id == t.rollup.c.series, isouter=True)
    part = t.rollup_part.c
    for row in connection.execute(query):
        where = f"{row.device}: rollup of {row.channel}, day {row.day}"
        kept = connection.execute(
            select(t.rollup_part).where(part.series == row.series, part.day == row.day).order_by(part.part)).all()
        if row.device is None:
            yield f"a rollup of series {row.series}, which is not there"
            continue
        try:
            sums = [read_hours(row.hours, row.day, row.low, row.quality)]
            if kept:
                sums.append(joined([read_minutes(one.minutes, one.day, one.part, one.low, one.quality) for one in kept]))
        except PackingError as error:
            yield f"{where} does not decode: {error}"
            continue
        for one in sums:
            same = [int(one.count.sum()), int(one.low.min()), int(one.high.max()), int(one.total.sum())]
            told = [row._mapping[name] for name in ("count", "low", "high", "total")]
            if same != told or int(one.start_ms.min()) < row.day * DAY_MS:
                yield f"{where} sums to {same}, the day says {told}"
    same_day = select(t.rollup.c.day).where(t.rollup.c.series == part.series, t.rollup.c.day == part.day)
    for series, day in connection.execute(select(part.series, part.day).where(~same_day.exists()).distinct().limit(20)):
        yield f"minutes of series {series}, day {day}, which has no rollup"
