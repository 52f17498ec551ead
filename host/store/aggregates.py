"""Minimum, mean, maximum and count of channels over devices, sites or versions, in buckets of time.

Decides how readings add up. What a device belongs to comes in as labels with the time from which each holds, since a device changes
its version within a window. Values of one name but another unit are never put together. Memory is bounded by MAX_CELLS.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.store.events import Spans
from host.store.queries import Piece, Queries

MAX_CELLS = 200_000     # buckets of all channels and labels together: 32 bytes each
CellKey = tuple[str, str, str]   # label, channel, unit


class TooMuchError(Exception):
    """A question that would take too long or too much memory; the message says what to ask for less of."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One channel of one label in one bucket that has readings. `t_ms` is where the bucket begins."""

    label: str
    channel: str
    unit: str
    t_ms: int
    count: int
    min: float
    mean: float
    max: float


def aggregate(
    queries: Queries, devices: Mapping[str, Spans], names: Iterable[str] | None, from_ms: int, to_ms: int, bucket_ms: int,
    max_readings: int | None = None,
) -> Iterator[Aggregate]:
    """Add up the readings of some devices in [from_ms, to_ms].

    Args:
        devices: each with its labels. To sum by device, a device is its own label.
        names: of channels; None means all.
        bucket_ms: length of a bucket; they begin at multiples of it in Unix time, so that a day's are UTC days.
        max_readings: refuse when there are more; None does not.

    Returns:
        By label, channel, unit and time.

    Raises:
        TooMuchError: too many buckets, or readings.
    """
    wanted = None if names is None else list(names)
    sums = Sums(from_ms, to_ms, bucket_ms)
    seen = 0
    for device, spans in sorted(devices.items()):
        for piece in queries.pieces(device, wanted, from_ms, to_ms):
            seen += len(piece.t_ms)
            if max_readings is not None and seen > max_readings:
                raise TooMuchError(f"more than {max_readings:,} readings would be read: ask for a shorter window, fewer channels "
                                   "or fewer devices, or use `tenfold data aggregate` beside the database")
            sums.add(spans, piece)
    return sums.result()


class Sums:
    """What is added up; numbers in, numbers out."""

    def __init__(self, from_ms: int, to_ms: int, bucket_ms: int) -> None:
        self._bucket_ms = bucket_ms
        self._first = from_ms // bucket_ms
        self._buckets = to_ms // bucket_ms - self._first + 1
        self._cells: dict[CellKey, npt.NDArray[np.float64]] = {}
        if self._buckets > MAX_CELLS:
            raise TooMuchError(f"{self._buckets:,} buckets, at most {MAX_CELLS:,}: ask for longer buckets or a shorter window")

    def add(self, spans: Spans, piece: Piece) -> None:
        """Add readings to the labels that held when they were taken."""
        begins = np.array([at_ms for at_ms, _ in spans], np.int64)
        which = np.searchsorted(begins, piece.t_ms, side="right") - 1
        for index in np.unique(which).tolist():
            here = which == index
            self._add((spans[max(index, 0)][1], piece.channel.name, piece.channel.unit), piece, here)

    def result(self) -> Iterator[Aggregate]:
        """What has readings, by label, channel, unit and time."""
        for key, cell in sorted(self._cells.items()):
            counts, totals, lows, highs = cell
            for at in np.flatnonzero(counts).tolist():
                t_ms = (self._first + at) * self._bucket_ms
                mean = min(max(totals[at] / counts[at], lows[at]), highs[at])   # a rounding never puts it outside
                yield Aggregate(*key, t_ms, int(counts[at]), float(lows[at]), float(mean), float(highs[at]))

    def _add(self, key: CellKey, piece: Piece, here: npt.NDArray[np.bool_]) -> None:
        cell = self._cells.get(key)
        if cell is None:
            if (len(self._cells) + 1) * self._buckets > MAX_CELLS:
                raise TooMuchError(f"more than {MAX_CELLS:,} buckets of all channels and labels together: ask for longer buckets, "
                                   "a shorter window or fewer channels")
            cell = self._cells[key] = np.array([[0.0], [0.0], [np.inf], [-np.inf]]) * np.ones(self._buckets)
        bucket = piece.t_ms[here] // self._bucket_ms - self._first
        values = piece.channel.scale(piece.steps[here])
        np.add.at(cell[0], bucket, 1)
        np.add.at(cell[1], bucket, values)
        np.minimum.at(cell[2], bucket, values)
        np.maximum.at(cell[3], bucket, values)
