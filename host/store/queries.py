"""Reading telemetry: devices, newest values, series, sums. The only door for consoles and exports.

Decides what is read and decoded of a window, and nothing else: a series touches the batches of its window only. Newest values are
newest.py's, sums of devices totals.py's; what cannot be read is decoder.py's. Writes nothing; safe for several threads.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, select, tuple_

from host.clock import DAY_MS, unix_ms
from host.monitor.connectivity import ReleaseLinks, by_release
from host.store import days
from host.store.arrivals import Arrivals, arrivals
from host.store.channels import Channel
from host.store.decoder import Decoder
from host.store.downsample import Extremes, buckets_of
from host.store.fleet import read_links
from host.store.made import right_sums
from host.store.newest import Latest, groups_of, newest
from host.store.parts import parts_of
from host.store.segments import NOTHING, Segment, packed, snapshot
from host.store.skipping import passed_over, worth
from host.store.tables import KIND_BATCH, batch, schema
from host.store.totals import DeviceRow, QuarantineRow, Totals, device_rows, quarantined, totals

OVERLAP_BATCHES = 2            # batches starting before a window that may reach into it (those of a group follow each other)
GROUP_LOOKBACK = 512           # a device's batches searched for those of each group: a group that sends less often is not found
ROWS_AT_ONCE = 256             # batches fetched at a time: about 100 KB


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


class Queries:
    """Questions to one telemetry database.

    Args:
        engine: opened with `host.db.open_engine(url, read_only=True)`, or the writer's own.
        clock_ms: Unix milliseconds now; only rates and default windows ask it.
    """

    def __init__(self, engine: Engine, clock_ms: Callable[[], int] = unix_ms) -> None:
        self._engine, self._clock_ms = engine, clock_ms
        self._decoder = Decoder()

    @property
    def undecodable(self) -> int:
        """Batches that were left out of answers so far."""
        return self._decoder.undecodable

    def latest(self, device: str) -> list[Latest]:
        """The newest value of each channel that the device has now, without what tells alarms; empty when nothing can be read."""
        return self.latest_of([device])[device]

    def latest_of(self, devices: Sequence[str]) -> dict[str, list[Latest]]:
        """The same of many devices; each has a list, in the order given."""
        with snapshot(self._engine) as connection:
            return newest(connection, self._decoder, devices)

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
            for row, channels, decoded in self._decoder.of(connection, device, (row for row in rows if row.start_ms is not None)):
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
        for row, channels, decoded in self._decoder.of(connection, device, _window(connection, device, from_ms, to_ms)):
            one = days.of_batch(decoded, row.start_ms, row.uptime_ms)
            yield Segment(channels, row.start_ms, one.times, one.quality, list(one.values), list(one.valid))

    def channels(self, device: str) -> list[Channel]:
        """The channels that the device has now, group after group: those of the schemas that its newest boot told."""
        with self._engine.connect() as connection:
            groups = groups_of(connection, [device])[device]
        return list({one.name: one for group in groups.values() for one in group}.values())

    def all_channels(self, device: str) -> list[Channel]:
        """Every channel that the device ever told, those of now first; twice where its unit or resolution changed."""
        with self._engine.connect() as connection:
            now = [one for group in groups_of(connection, [device])[device].values() for one in group]
            told = connection.scalars(select(schema.c.hash).where(schema.c.device == device)
                                      .order_by(schema.c.boot.desc(), schema.c.seq)).all()
            before = (one for each in told for one in self._decoder.schemas.of(connection, device, each))
            return list(dict.fromkeys([*now, *before]))

    def devices(self) -> list[DeviceRow]:
        """Every device that was ever heard, by name."""
        with self._engine.connect() as connection:
            return device_rows(connection)

    def arrivals(self, device: str) -> Arrivals:
        """When the device's newest batches came."""
        with self._engine.connect() as connection:
            return arrivals(connection, device)

    def totals(self) -> Totals:
        """Sums over all devices and rates now."""
        with self._engine.connect() as connection:
            return totals(connection, self._clock_ms() // 1000)

    def quarantined(self, limit: int = 100) -> list[QuarantineRow]:
        """What lies in quarantine, newest first."""
        with self._engine.connect() as connection:
            return quarantined(connection, limit)

    def version_connectivity(self, from_ms: int | None = None, to_ms: int | None = None) -> list[ReleaseLinks]:
        """How well devices stayed connected, release by release, in [from_ms, to_ms); the last 24 hours by default."""
        to_ms = self._clock_ms() if to_ms is None else to_ms
        from_ms = to_ms - DAY_MS if from_ms is None else from_ms
        with self._engine.connect() as connection:
            return by_release(*read_links(connection, from_ms, to_ms), from_ms, to_ms)

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
