"""Batches of closed days become day columns: fewer bytes, same answers.

Decides which batches may move and in which order the writes go, so that a kill at any instant loses and doubles nothing:

1. the versions about to be written are noted as stale, committed; 2. the columns are written into their parts; 3. they are read
back and compared with the batches, number by number; 4. in one transaction of the main database the batches go, their names
become runs, and the versions become the ones that count. Before 4 readers see the batches and nobody reads the columns; after it
the reverse. What a crash left behind is in `stale_day` and removed later. (PostgreSQL: 2 to 4 are one transaction.)

A batch moves when its day is over for a while, it is placed for good, it can be decoded, and nothing will ask for its row: the ack
has passed it, and no channel's newest value is in it. All others stay as they are, whatever their age.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, delete, func, insert, select

from host.clock import DAY_MS, HOUR_MS
from host.ingest.decode import decode
from host.store import tables as t
from host.store.channels import Channel
from host.store.classes import Classes
from host.store.days import Samples, join, of_batch, write_body
from host.store.decoder import Decoder
from host.store.due import due_spans
from host.store.maintenance import MaintenanceError, alone
from host.store.newest import needed
from host.store.parts import Part, Parts, Row, month_of, parts_of
from host.store.segments import TIMES_CHANNEL, Segment, columns, known_series, series_ids
from host.store.telemetry import TAIL_BYTES
from node.errors import FormatError
from node.wire.batch import QUALITY_SERVER

OLDER_DAYS = 2                  # whole days after a UTC day before its batches move: rings drain first
SETTLED_MS = HOUR_MS          # a batch stored later than this ago stays: no transaction of a writer lasts so long
STALE_MS = HOUR_MS            # a replaced version is removed so long after, when no reader's snapshot names it
AT_ONCE = 16                    # spans of devices in one transaction: some 4,000 rows, tens of milliseconds of the write lock
IN_LIMIT = 500

Step = Callable[[int, int], None]   # days done, days in all


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one run did. `days` are spans of days; `left` are batches of them that stay for now."""

    days: int = 0
    batches: int = 0
    readings: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class _Move:
    """One span of days of one device on its way; `day` is its first."""

    device: str
    day: int
    version: int
    old_version: int | None
    batches: tuple[Any, ...]   # rows of the batches that go
    tracks: dict[tuple[Channel, ...], Samples]


def compact(
    engine: Engine, now_ms: int, classes: Classes, *, older_days: int = OLDER_DAYS, settled_ms: int = SETTLED_MS,
    step: Step = lambda done, total: None,
) -> Compacted:
    """Move what may move, a few days of devices at a time.

    Args:
        now_ms: Unix ms.
        settled_ms: of a stopped plant it may be 0.

    Raises:
        MaintenanceError: another is at work, or columns read back otherwise than written: nothing of that step was moved.
        PartsError: the database has no place for parts.
        sqlalchemy.exc.SQLAlchemyError: of the main database; run it again.
    """
    parts = parts_of(engine)
    with alone(engine):
        sweep(engine, parts, now_ms)
        before = now_ms // DAY_MS - older_days
        done = Compacted()
        work = _Compaction(engine, parts, classes, now_ms, settled_ms)
        with engine.connect() as connection:
            found = list(due_spans(connection, work.schemas, before))
        for at in range(0, len(found), AT_ONCE):
            done = work.move(found[at : at + AT_ONCE], done)
            step(min(at + AT_ONCE, len(found)), len(found))
    return done


def sweep(engine: Engine, parts: Parts, now_ms: int) -> int:
    """Remove versions of days that no reader can ask for any more; gives how many."""
    with engine.begin() as connection:
        rows = connection.execute(select(t.stale_day).where(t.stale_day.c.at_ms <= now_ms - STALE_MS)).all()
        there = parts.all(connection)
        for row in rows:
            of_device = list(known_series(connection, row.device))
            for part in there:
                if part.month == month_of(row.day) and of_device:
                    parts.remove(connection, part, of_device, row.day, row.version)
            connection.execute(delete(t.stale_day).where(
                t.stale_day.c.device == row.device, t.stale_day.c.day == row.day, t.stale_day.c.version == row.version))
    return len(rows)


class _Compaction:
    """One run; remembers schemas and series between its steps."""

    def __init__(self, engine: Engine, parts: Parts, classes: Classes, now_ms: int, settled_ms: int) -> None:
        self._engine, self._parts, self._classes, self._now_ms = engine, parts, classes, now_ms
        self._settled_ms = now_ms - settled_ms
        self._decoder = Decoder()
        self.schemas = self._decoder.schemas

    def move(self, spans: Sequence[tuple[str, int, list[int]]], done: Compacted) -> Compacted:
        """Take some spans through all four steps."""
        with self._engine.connect() as connection:
            prepared = [self._prepare(connection, *one) for one in spans]
        moves = [one for one, _ in prepared if one.batches]
        left = done.left + sum(stays for _, stays in prepared)
        if not moves:
            return replace(done, left=left)
        with self._engine.begin() as connection:   # 1
            connection.execute(insert(t.stale_day), [
                {"device": one.device, "day": one.day, "version": one.version, "at_ms": self._now_ms} for one in moves])
            ids = [series_ids(connection, one.device, _channels(one)) for one in moves]
        rows = self._columns(moves, ids)
        with self._engine.begin() as connection:
            for part, some in rows.items():   # 2
                self._parts.write(connection, part, some)
            for one in moves:   # 3
                self._compare(connection, one)
            _write_lock(connection)
            for one in moves:   # 4
                _turn(connection, one, self._now_ms)
        return Compacted(
            done.days + len(moves), done.batches + sum(len(one.batches) for one in moves),
            done.readings + sum(row.n_readings for one in moves for row in one.batches), left,
        )

    def _prepare(self, connection: Connection, device: str, day: int, days: Sequence[int]) -> tuple[_Move, int]:
        """Read and decode what of some days may move, joined with what moved before; and how many batches stay.

        Args:
            day: the first one of the span. days: the closed ones that go there, without another span between them.
        """
        of_day = connection.execute(
            select(t.batch).where(
                t.batch.c.device == device, t.batch.c.kind == t.KIND_BATCH, t.batch.c.start_ms >= days[0] * DAY_MS,
                t.batch.c.start_ms < (days[-1] + 1) * DAY_MS,
            ).order_by(t.batch.c.start_ms, t.batch.c.boot, t.batch.c.seq)).all()
        kept = needed(connection, self._decoder, device)
        passed = connection.execute(
            select(t.progress.c.boot, t.progress.c.next_seq).where(t.progress.c.device == device)).one_or_none()
        going: list[Any] = []
        tracks: dict[tuple[Channel, ...], list[Samples]] = {}
        for row in of_day:
            if passed is None or (row.boot, row.seq) in kept or not self._may_move(row, passed):
                continue
            channels = self.schemas.of(connection, device, row.schema)
            samples = _samples(row, channels)
            if samples is not None:
                going.append(row)
                tracks.setdefault(channels, []).append(samples)
        version = connection.scalar(
            select(t.packed_day.c.version).where(t.packed_day.c.device == device, t.packed_day.c.day == day))
        if going and version is not None:
            for segment in columns(connection, self._parts, device, None, {day: version}):
                _rejoin(tracks, segment)
        joined = {channels: join(some) for channels, some in tracks.items()}
        fresh = self._next(connection, device, day, version)
        return _Move(device, day, fresh, version, tuple(going), joined), len(of_day) - len(going)

    def _next(self, connection: Connection, device: str, day: int, version: int | None) -> int:
        """A version that no row of this day has, not even one that a crash left: readers would take both for one."""
        left = connection.scalar(select(func.max(t.stale_day.c.version)).where(
            t.stale_day.c.device == device, t.stale_day.c.day == day))
        return max(self._now_ms, 1 + max(version or 0, left or 0))

    def _may_move(self, row: Any, passed: Any) -> bool:
        """Behind the ack, stored a while ago, and placed for good: by its own clock, or in a boot that is over."""
        behind = row.boot < passed.boot or (row.boot == passed.boot and row.seq < passed.next_seq)
        own_clock = row.quality >= QUALITY_SERVER and row.epoch_ms > 0
        return bool(behind and row.received_ms <= self._settled_ms and (own_clock or row.boot < passed.boot))

    def _columns(self, moves: Sequence[_Move], ids: Sequence[dict[Channel, int]]) -> dict[Part, list[Row]]:
        """The rows of all moves, by part. Each part of a track has the times, so that one can go without the other."""
        rows: dict[Part, list[Row]] = {}
        for move, of_device in zip(moves, ids, strict=True):
            for track, (channels, samples) in enumerate(move.tracks.items()):
                places: dict[str, dict[int, int]] = {}
                for at, channel in enumerate(channels):
                    places.setdefault(self._classes.of(channel.name), {})[of_device[channel]] = at
                for kind, some in places.items():
                    body = write_body(samples, some)
                    rows.setdefault(Part(month_of(move.day), kind), []).append(
                        Row(of_device[TIMES_CHANNEL], move.day, move.version, track, body))
        return rows

    def _compare(self, connection: Connection, move: _Move) -> None:
        """Read the written version back, as a reader would once it counts.

        Raises:
            MaintenanceError: it differs.
        """
        found = {
            channel: (segment.times, segment.quality, segment.values[at], segment.valid[at])
            for segment in columns(connection, self._parts, move.device, None, {move.day: move.version})
            for at, channel in _placed(move, segment)
        }
        for number, (channels, samples) in enumerate(move.tracks.items()):
            for at, channel in enumerate(channels):
                meant = (samples.times, samples.quality, samples.values[at], samples.valid[at])
                read = found.get((number, channel))
                if read is None or not all(map(np.array_equal, meant, read)):
                    raise MaintenanceError(
                        f"{move.device}, day {move.day}, {channel.name}: its column reads back otherwise than its batches; nothing "
                        "was moved; look at the disk, then run tenfold db check")


def _write_lock(connection: Connection) -> None:
    """From here on nobody else writes; SQLite's driver would take the lock at the first write only, and then in vain."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _placed(move: _Move, segment: Segment) -> Iterator[tuple[int, tuple[int, Channel]]]:
    return ((at, (segment.track, channel)) for at, channel in enumerate(segment.channels))


def _samples(row: Any, channels: tuple[Channel, ...]) -> Samples | None:
    """A batch's samples; None when it cannot be read, so that it stays as it was received."""
    if not channels:
        return None
    try:
        decoded = decode(row.payload)
    except FormatError:
        return None
    return of_batch(decoded, row.start_ms, row.uptime_ms) if len(decoded.values) == len(channels) else None


def _rejoin(tracks: dict[tuple[Channel, ...], list[Samples]], segment: Segment) -> None:
    """Put what moved before in front of what goes now, in the track of the same channels."""
    same = next((channels for channels in tracks if set(channels) == set(segment.channels)), segment.channels)
    order = [segment.channels.index(channel) for channel in same]
    before = Samples(segment.times, segment.quality, np.array([segment.values[at] for at in order]),
                     np.array([segment.valid[at] for at in order]))
    tracks.setdefault(same, []).insert(0, before)


def _channels(move: _Move) -> Iterator[Channel]:
    """All channels that a move writes, its times' among them."""
    yield TIMES_CHANNEL
    for channels in move.tracks:
        yield from channels


def _turn(connection: Connection, move: _Move, now_ms: int) -> None:
    """The batches go, their names become runs, the written version counts.

    Raises:
        MaintenanceError: a batch is not as it was read; the next run reads it anew.
    """
    device, gone = move.device, 0
    for boot, rows in groupby(sorted(move.batches, key=lambda row: (row.boot, row.seq)), key=lambda row: row.boot):
        listed = list(rows)
        for at in range(0, len(listed), IN_LIMIT):
            some = listed[at : at + IN_LIMIT]
            first, last = min(row.start_ms for row in some), max(row.start_ms for row in some)
            gone += connection.execute(delete(t.batch).where(
                t.batch.c.device == device, t.batch.c.boot == boot, t.batch.c.seq.in_([row.seq for row in some]),
                t.batch.c.start_ms.between(first, last))).rowcount
        connection.execute(insert(t.run), [_run(move, part) for part in _unbroken(listed)])
    if gone != len(move.batches):
        raise MaintenanceError(f"{device}, day {move.day}: its batches changed meanwhile; nothing was moved; run it again")
    connection.execute(delete(t.stale_day).where(
        t.stale_day.c.device == device, t.stale_day.c.day == move.day, t.stale_day.c.version == move.version))
    key = {"device": device, "day": move.day}
    if move.old_version is not None:
        connection.execute(delete(t.packed_day).where(t.packed_day.c.device == device, t.packed_day.c.day == move.day))
        connection.execute(insert(t.stale_day).values(**key, version=move.old_version, at_ms=now_ms))
    times = [samples.times for samples in move.tracks.values()]
    connection.execute(insert(t.packed_day).values(
        **key, version=move.version, first_ms=int(min(one[0] for one in times)), last_ms=int(max(one[-1] for one in times))))


def _unbroken(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """Rows of one boot in the order of seq, cut where a name is missing."""
    for _, some in groupby(enumerate(rows), key=lambda pair: pair[1].seq - pair[0]):
        yield [row for _, row in some]


def _run(move: _Move, rows: Sequence[Any]) -> dict[str, Any]:
    return {
        "device": move.device, "boot": rows[0].boot, "first_seq": rows[0].seq, "last_seq": rows[-1].seq, "day": move.day,
        "readings": sum(row.n_readings for row in rows), "bytes": sum(len(row.payload) for row in rows),
        "tails": b"".join(bytes(row.payload[-TAIL_BYTES:]) for row in rows),
    }
