"""Reading telemetry: devices, newest values, series, sums. The only door for consoles and exports.

Decides what is read and decoded for a question, and nothing else: a series touches the batches of its window only. A batch
whose schema is not known yet or whose columns do not decode is left out, counted in `undecodable` and logged; it stays stored.
Writes nothing; safe for several threads.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, func, select, tuple_

from host.ingest.decode import DecodedBatch, decode
from host.monitor.connectivity import ReleaseLinks, by_release
from host.store import days
from host.store.channels import Channel, tells_alarms
from host.store.downsample import Extremes, buckets_of
from host.store.fleet import read_links
from host.store.made import right_sums
from host.store.parts import parts_of
from host.store.schemas import Schemas
from host.store.segments import NOTHING, Segment, packed, snapshot
from host.store.skipping import passed_over, worth
from host.store.tables import KIND_BATCH, batch, presence, progress, quarantine, schema, tally, traffic
from node.errors import FormatError

log = logging.getLogger(__name__)

LATEST_LOOKBACK = 8            # batches of a group searched for a channel's newest value; a channel silent for longer has none
OVERLAP_BATCHES = 2            # batches starting before a window that may reach into it (those of a group follow each other)
FEW_BATCHES = 4                # of a device's groups each, among which the newest of every group mostly are
GROUP_LOOKBACK = 512           # a device's batches searched for those of each group: a group that sends less often is not found
ROWS_AT_ONCE = 256             # batches fetched at a time: about 100 KB
RATE_WINDOW_S = 60             # rates are means over this long
DAY_MS = 86_400_000

GOOD, OLD, NONE = "good", "old", "none"   # quality of a newest value: see Latest


@dataclass(frozen=True, slots=True)
class Piece:
    """Readings of one channel that are stored together.

    Attributes:
        start_ms: where what holds it begins; its own readings may begin later.
        t_ms: [n] Unix milliseconds. steps: [n] scaled integers: `channel.scale` makes values of them.
        quality: [n] of the clock that told the time, node.wire.batch.QUALITY_*.
    """

    channel: Channel
    start_ms: int
    t_ms: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    quality: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Record:
    """One stored batch by its name."""

    boot: int
    seq: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device as a whole. Sums cover its life; `last_ms` is when its newest record was stored (0: none yet).

    Attributes:
        online: None when no state message was ever heard.
        since_ms: when it went on or off line.
        next_seq: every record before it is stored.
        unplaced: batches whose boot's clock is not known yet, so that no series shows them.
        schema_missing: its newest batch cannot be read until it sends its schema.
    """

    device: str
    online: bool | None
    since_ms: int
    boot: int
    release: str
    counter: int
    last_ms: int
    next_seq: int
    batches: int
    readings: int
    bytes: int
    duplicates: int
    conflicts: int
    lost_by_overflow: int
    unplaced: int
    schema_missing: bool


@dataclass(frozen=True, slots=True)
class Latest:
    """A channel's newest value.

    Attributes:
        t_ms: when it was sampled; None while the boot's clock is not known or there is no value.
        quality: "good" it is of the newest sample; "old" newer samples had no value of this channel; "none" no value lately.
    """

    channel: str
    unit: str
    t_ms: int | None
    value: float | None
    quality: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole store. Rates are means over the last RATE_WINDOW_S seconds."""

    devices: int
    online: int
    readings_stored: int
    batches: int
    bytes: int
    duplicates: int
    conflicts: int
    quarantined: int
    lost_by_overflow: int
    readings_per_s: float
    records_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """Bytes that could not be stored under a name; `times` how often they came."""

    topic: str
    device: str
    reason: str
    times: int
    first_ms: int
    last_ms: int
    size: int


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Queries:
    """Questions to one telemetry database.

    Args:
        engine: opened with `host.db.open_engine(url, read_only=True)`, or the writer's own.
        clock_ms: Unix milliseconds now; only rates and default windows ask it.
    """

    def __init__(self, engine: Engine, clock_ms: Callable[[], int] = unix_ms) -> None:
        self._engine, self._clock_ms = engine, clock_ms
        self._schemas = Schemas()
        self.undecodable = 0

    def devices(self) -> list[DeviceRow]:
        """Every device that was ever heard, by name."""
        waiting = (
            select(batch.c.device, func.count().label("unplaced"))
            .where(batch.c.kind == KIND_BATCH, batch.c.start_ms.is_(None)).group_by(batch.c.device).subquery()
        )
        known = select(progress.c.device).union(select(presence.c.device)).subquery()
        query = (
            select(known.c.device, presence, progress, waiting.c.unplaced)
            .join_from(known, presence, presence.c.device == known.c.device, isouter=True)
            .join(progress, progress.c.device == known.c.device, isouter=True)
            .join(waiting, waiting.c.device == known.c.device, isouter=True)
            .order_by(known.c.device)
        )
        with self._engine.connect() as connection:
            return [_device_row(row, known.c.device, waiting.c.unplaced) for row in connection.execute(query)]

    def latest(self, device: str) -> list[Latest]:
        """The newest value of each channel that the device has now, without what tells alarms; empty when nothing can be read."""
        with self._engine.connect() as connection:
            groups = {key: group for key, group in self._groups(connection, device).items() if not tells_alarms(group)}
            found = {one.name: Latest(one.name, one.unit, None, None, NONE) for group in groups.values() for one in group}
            left = dict.fromkeys(groups, LATEST_LOOKBACK)   # batches of each group that are still to be searched
            for row, channels, decoded in self._decoded(connection, device, _newest_rows(connection, device, left)):
                key = bytes(row.schema)
                newest = left[key] == LATEST_LOOKBACK - 1
                for index, channel in enumerate(channels):
                    if found[channel.name].quality == NONE:
                        found[channel.name] = _newest(channel, decoded, index, row.start_ms, row.uptime_ms, newest=newest)
                if all(found[channel.name].quality != NONE for channel in channels):
                    left[key] = 0
        return list(found.values())

    def series(
        self, device: str, channel_names: Iterable[str] | None, from_ms: int, to_ms: int, max_points: int
    ) -> dict[str, tuple[list[int], list[float]]]:
        """Values of some channels in [from_ms, to_ms], Unix milliseconds.

        Args:
            channel_names: None means all; channels without a point in the window are absent from the answer.
            max_points: at most so many points a channel; a longer series keeps the extremes of equal time buckets.

        Returns:
            Channel -> (times in Unix ms, values in the channel's unit), in time order.
        """
        kept: dict[str, Extremes] = {}
        wanted = None if channel_names is None else set(channel_names)
        with snapshot(self._engine) as connection:
            over = _passed_over(connection, device, wanted, from_ms, to_ms, max_points)
            for piece in self._pieces(connection, device, wanted, from_ms, to_ms, over):
                name = piece.channel.name
                extremes = kept.get(name)
                if extremes is None:
                    extremes = kept[name] = Extremes(from_ms, to_ms, max_points, long=name in over)
                extremes.add(piece.t_ms, piece.channel.scale(piece.steps))
        return {name: extremes.result() for name, extremes in kept.items()}

    def pieces(self, device: str, channel_names: Iterable[str] | None, from_ms: int, to_ms: int) -> Iterator[Piece]:
        """Every reading of some channels in [from_ms, to_ms], as it is stored: what series, aggregates and exports stand on.

        All of one answer are of one moment: what is stored meanwhile is not in it. A connection is held until the end.

        Returns:
            Pieces that hold at least a reading, those that begin first first; `readings.py` puts readings in the order of time.
        """
        wanted = None if channel_names is None else set(channel_names)
        with snapshot(self._engine) as connection:
            yield from self._pieces(connection, device, wanted, from_ms, to_ms, NOTHING)

    def _pieces(
        self, connection: Connection, device: str, wanted: set[str] | None, from_ms: int, to_ms: int,
        over: Mapping[str, Collection[int]],
    ) -> Iterator[Piece]:
        for segment in self.segments(connection, device, wanted, from_ms, to_ms, over):
            inside = (segment.times >= from_ms) & (segment.times <= to_ms)
            for channel, values, valid in zip(segment.channels, segment.values, segment.valid, strict=True):
                if wanted is not None and channel.name not in wanted:
                    continue
                use = inside & valid
                if use.any():
                    yield Piece(channel, segment.start_ms, segment.times[use], values[use], segment.quality[use])

    def stored(self, device: str, boot: int, seq: int, limit: int) -> list[Record]:
        """The batches from a record on, as they were stored, at most `limit`; those that cannot be read yet have no pieces."""
        columns = (batch.c.boot, batch.c.seq, batch.c.schema, batch.c.uptime_ms, batch.c.start_ms, batch.c.quality, batch.c.payload)
        query = (
            select(*columns)
            .where(batch.c.device == device, batch.c.kind == KIND_BATCH, tuple_(batch.c.boot, batch.c.seq) >= (boot, seq))
            .order_by(batch.c.boot, batch.c.seq).limit(limit)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
            found: dict[tuple[int, int], list[Piece]] = {(row.boot, row.seq): [] for row in rows}
            for row, channels, decoded in self._decoded(connection, device, (row for row in rows if row.start_ms is not None)):
                times = decoded.uptime_ms + (row.start_ms - row.uptime_ms)
                for channel, values, valid in zip(channels, decoded.values, decoded.valid, strict=True):
                    if valid.any():
                        quality = np.full(np.count_nonzero(valid), row.quality, np.int64)
                        found[row.boot, row.seq].append(Piece(channel, row.start_ms, times[valid], values[valid], quality))
        return [Record(*name, tuple(pieces)) for name, pieces in found.items()]

    def segments(
        self, connection: Connection, device: str, names: set[str] | None, from_ms: int, to_ms: int,
        over: Mapping[str, Collection[int]] = NOTHING,
    ) -> Iterator[Segment]:
        """All stored samples that may lie in [from_ms, to_ms], from batches and from day columns, those that begin first first.

        Args:
            connection: of `host.store.segments.snapshot`.
            names: of channels that must be given; others may come as well. None means all.
            over: channel -> UTC days whose day columns it can do without.
        """
        yield from merge(
            self._batches(connection, device, from_ms, to_ms),
            packed(connection, parts_of(self._engine), device, names, from_ms, to_ms, over), key=attrgetter("start_ms"),
        )

    def _batches(self, connection: Connection, device: str, from_ms: int, to_ms: int) -> Iterator[Segment]:
        for row, channels, decoded in self._decoded(connection, device, _window(connection, device, from_ms, to_ms)):
            one = days.of_batch(decoded, row.start_ms, row.uptime_ms)
            yield Segment(channels, row.start_ms, one.times, one.quality, list(one.values), list(one.valid))

    def channels(self, device: str) -> list[Channel]:
        """The channels that the device has now, group after group: those of the schemas that its newest boot told."""
        with self._engine.connect() as connection:
            groups = self._groups(connection, device)
        return list({one.name: one for group in groups.values() for one in group}.values())

    def all_channels(self, device: str) -> list[Channel]:
        """Every channel that the device ever told, those of now first; twice where its unit or resolution changed."""
        with self._engine.connect() as connection:
            now = [one for group in self._groups(connection, device).values() for one in group]
            told = connection.scalars(select(schema.c.hash).where(schema.c.device == device)
                                      .order_by(schema.c.boot.desc(), schema.c.seq)).all()
            return list(dict.fromkeys([*now, *(one for each in told for one in self._schema(connection, device, each))]))

    def totals(self) -> Totals:
        """Sums over all devices and rates now."""
        sums = select(*(
            func.coalesce(func.sum(progress.c[name]), 0).label(name)
            for name in ("readings", "batches", "bytes", "duplicates", "conflicts", "lost_by_overflow")
        ), func.count().label("devices"))
        now_s = self._clock_ms() // 1000
        since_s = now_s - now_s % 10 - RATE_WINDOW_S
        rates = select(*(
            func.coalesce(func.sum(traffic.c[name]), 0).label(name) for name in ("readings", "records", "bytes")
        )).where(traffic.c.at_s >= since_s)
        with self._engine.connect() as connection:
            total, rate = connection.execute(sums).one(), connection.execute(rates).one()
            online = connection.scalar(select(func.count()).select_from(presence).where(presence.c.online)) or 0
            quarantined = connection.scalar(select(tally.c.value).where(tally.c.name == "quarantined")) or 0
        elapsed_s = max(1, now_s - since_s)
        return Totals(
            devices=total.devices, online=online, readings_stored=int(total.readings), batches=int(total.batches),
            bytes=int(total.bytes), duplicates=int(total.duplicates), conflicts=int(total.conflicts),
            quarantined=quarantined, lost_by_overflow=int(total.lost_by_overflow),
            readings_per_s=int(rate.readings) / elapsed_s, records_per_s=int(rate.records) / elapsed_s,
            bytes_per_s=int(rate.bytes) / elapsed_s,
        )

    def version_connectivity(self, from_ms: int | None = None, to_ms: int | None = None) -> list[ReleaseLinks]:
        """How well devices stayed connected, release by release, in [from_ms, to_ms); the last 24 hours by default."""
        to_ms = self._clock_ms() if to_ms is None else to_ms
        from_ms = to_ms - DAY_MS if from_ms is None else from_ms
        with self._engine.connect() as connection:
            return by_release(*read_links(connection, from_ms, to_ms), from_ms, to_ms)

    def quarantined(self, limit: int = 100) -> list[QuarantineRow]:
        """What lies in quarantine, newest first."""
        columns = [quarantine.c[name] for name in QuarantineRow.__slots__]
        with self._engine.connect() as connection:
            rows = connection.execute(select(*columns).order_by(quarantine.c.last_ms.desc()).limit(limit))
            return [QuarantineRow(*row) for row in rows]

    def _decoded(
        self, connection: Connection, device: str, rows: Iterable[Any]
    ) -> Iterator[tuple[Any, tuple[Channel, ...], DecodedBatch]]:
        """Rows that can be read, with their channels and columns."""
        for row in rows:
            channels = self._schema(connection, device, row.schema)
            if not channels:
                self.undecodable += 1
                continue
            try:
                decoded = decode(row.payload)
            except FormatError as error:
                self.undecodable += 1
                log.warning("a stored batch of %s does not decode: %s", device, error)
                continue
            if len(decoded.values) != len(channels):
                self.undecodable += 1
                log.warning("a stored batch of %s has %d columns, its schema %d", device, len(decoded.values), len(channels))
                continue
            yield row, channels, decoded

    def _groups(self, connection: Connection, device: str) -> dict[bytes, tuple[Channel, ...]]:
        """The schemas that the device's newest boot told, in that order, by hash."""
        newest = select(func.max(schema.c.boot)).where(schema.c.device == device).scalar_subquery()
        told = select(schema.c.hash).where(schema.c.device == device, schema.c.boot == newest).order_by(schema.c.seq)
        groups = {bytes(each): self._schema(connection, device, each) for each in connection.scalars(told).all()}
        return {each: channels for each, channels in groups.items() if channels}

    def _schema(self, connection: Connection, device: str, schema_hash: bytes) -> tuple[Channel, ...]:
        return self._schemas.of(connection, device, schema_hash)


def _newest_rows(connection: Connection, device: str, left: dict[bytes, int]) -> Iterator[Any]:
    """A device's batches of each schema, the newest first, as many as are left of it.

    A few are asked for, and the many that a quiet group lies behind only if it was not among them: PostgreSQL sends all at once.
    """
    query = (
        select(batch.c.boot, batch.c.seq, batch.c.schema, batch.c.uptime_ms, batch.c.start_ms, batch.c.payload)
        .where(batch.c.device == device, batch.c.kind == KIND_BATCH).order_by(batch.c.boot.desc(), batch.c.seq.desc())
    )
    few = FEW_BATCHES * len(left)
    yield from _each(connection.execute(query.limit(few)), left)
    if any(left.values()):
        yield from _each(connection.execute(query.limit(GROUP_LOOKBACK).offset(few)), left)


def _each(rows: Iterable[Any], left: dict[bytes, int]) -> Iterator[Any]:
    """The rows of each schema, as many as are left of it; ends when none are left of any."""
    for row in rows:
        if not any(left.values()):
            return
        key = bytes(row.schema)
        if left.get(key):
            left[key] -= 1
            yield row


def _window(connection: Connection, device: str, from_ms: int, to_ms: int) -> Iterator[Any]:
    """The batches that may hold samples of [from_ms, to_ms], in the order of their start."""
    columns = (batch.c.schema, batch.c.uptime_ms, batch.c.start_ms, batch.c.quality, batch.c.payload)
    placed = (batch.c.device == device, batch.c.kind == KIND_BATCH, batch.c.start_ms.is_not(None))
    known = select(schema.c.hash).where(schema.c.device == device)
    left = {bytes(row.hash): OVERLAP_BATCHES for row in connection.execute(known)}
    before = (
        select(*columns).where(*placed, batch.c.start_ms < from_ms).order_by(batch.c.start_ms.desc())
        .limit(OVERLAP_BATCHES if len(left) < 2 else GROUP_LOOKBACK)
    )
    within = (
        select(*columns).where(*placed, batch.c.start_ms >= from_ms, batch.c.start_ms <= to_ms).order_by(batch.c.start_ms)
    )
    yield from reversed(list(_each(connection.execute(before), left)))
    with connection.execute(within, execution_options={"yield_per": ROWS_AT_ONCE}) as rows:   # closed, too, by who stops early
        yield from rows


def _passed_over(
    connection: Connection, device: str, names: set[str] | None, from_ms: int, to_ms: int, max_points: int
) -> dict[str, Collection[int]]:
    """Of each channel the days that a downsampled series of this window can do without."""
    buckets = buckets_of(max_points)
    if not worth(from_ms, to_ms, buckets):
        return {}
    sums = right_sums(connection, device, names, from_ms, to_ms)
    found = {name: passed_over(of_channel, from_ms, to_ms, buckets, max_points) for name, of_channel in sums.items()}
    return {name: days for name, days in found.items() if days}


def _newest(
    channel: Channel, decoded: DecodedBatch, index: int, start_ms: int | None, uptime_ms: int, *, newest: bool
) -> Latest:
    """The channel's newest value within one batch; `newest` tells whether it is its group's newest batch."""
    valid = np.flatnonzero(decoded.valid[index])
    if not len(valid):
        return Latest(channel.name, channel.unit, None, None, NONE)
    at = int(valid[-1])
    value = float(channel.scale(decoded.values[index][at:at + 1])[0])
    t_ms = None if start_ms is None else start_ms + int(decoded.uptime_ms[at]) - uptime_ms
    return Latest(channel.name, channel.unit, t_ms, value, GOOD if newest and at == len(decoded.uptime_ms) - 1 else OLD)


def _device_row(row: Any, device: Any, unplaced: Any) -> DeviceRow:
    cell = row._mapping   # by column: the joined tables share names
    online = cell[presence.c.online]
    return DeviceRow(
        device=cell[device], online=None if online is None else bool(online), since_ms=cell[presence.c.since_ms] or 0,
        boot=cell[presence.c.boot] or cell[progress.c.boot] or 0, release=cell[presence.c.release] or "",
        counter=cell[presence.c.counter] or 0, schema_missing=bool(cell[progress.c.schema_missing]),
        unplaced=cell[unplaced] or 0,
        **{name: cell[progress.c[name]] or 0 for name in (
            "last_ms", "next_seq", "batches", "readings", "bytes", "duplicates", "conflicts", "lost_by_overflow",
        )},
    )
