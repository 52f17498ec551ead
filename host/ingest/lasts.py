"""The last value of each column of many batches at once, by whole-array operations over all of them.

Gives what the last readings of host.ingest.decode's arrays are, for batches that it takes, some twenty times as fast: nothing else
is made of a column than where its codes lie and what they add up to. A batch that has a column in classes of magnitudes, or that
does not end where it says, is left to `decode`, which also tells why. A batch of which only values before the last one do not
fit 32 bits is taken here and refused there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from node.errors import FormatError
from node.wire import batch, columns

Int64 = npt.NDArray[np.int64]
AT_ONCE = 256   # batches; each may say that it has 4,096 samples, so a column takes up to 100 MB, of usual ones 2


@dataclass(frozen=True, slots=True)
class Lasts:
    """The last readings of one batch.

    Attributes:
        samples: how many it has.
        uptime_ms: of its samples, by index; those off the grid are told.
        place: [channels] index of each column's last reading; -1 where there is none.
        value: [channels] scaled integers.
    """

    samples: int
    start_ms: int
    period_ms: int
    off_grid_ms: dict[int, int]
    place: list[int]
    value: list[int]

    def uptime_ms(self, place: int) -> int:
        """When a sample was taken, since the boot."""
        return self.start_ms + self.period_ms * place + self.off_grid_ms.get(place, 0)


def lasts(raws: Sequence[bytes]) -> Iterator[Lasts | None]:
    """The last readings of each batch; None for those that are left to `decode`."""
    for at in range(0, len(raws), AT_ONCE):
        yield from _some(raws[at : at + AT_ONCE])


def _some(raws: Sequence[bytes]) -> Iterator[Lasts | None]:
    heads: list[Any] = []
    for raw in raws:
        try:
            heads.append(batch.read_header(raw))
        except FormatError:
            heads.append(None)
    good = [at for at, head in enumerate(heads) if head is not None]
    if good:
        read = _Columns([raws[at][heads[at][10] : -4] for at in good], [heads[at][7] for at in good], [heads[at][8] for at in good])
        read.all()
        places, values, fine = read.place.tolist(), read.value.tolist(), read.fine.tolist()
    of_good = {at: number for number, at in enumerate(good)}
    for at, head in enumerate(heads):
        number = of_good.get(at, -1)
        if number < 0 or not fine[number]:
            yield None
        else:
            n, made = head[7]
            yield Lasts(n, head[3], head[6], dict(head[9]), places[number][:made], values[number][:made])


class _Columns:
    """The columns of some batches, first column first. `at` is where each batch is read on; `fine` whether all was well so far."""

    def __init__(self, bodies: Sequence[bytes], shapes: Sequence[tuple[int, int]], readings: Sequence[int]) -> None:
        raw = np.frombuffer(b"".join(bodies) + bytes(8), np.uint8)
        bits = np.unpackbits(raw)
        self._bytes, self._zeros = raw.astype(np.uint64), np.flatnonzero(bits == 0)
        self._ones_before = np.concatenate(([0], np.cumsum(bits, dtype=np.int64)))
        self._ones = np.flatnonzero(bits)
        self._most = len(bits) - 64
        size = 8 * np.array([len(one) for one in bodies], np.int64)
        self._end = np.cumsum(size)
        self.at = self._end - size
        self._n, self._made = np.array(shapes, np.int64).T
        self._readings, self._counted = np.array(readings, np.int64), np.zeros(len(bodies), np.int64)
        self.fine = np.ones(len(bodies), np.bool_)
        width = int(self._made.max())
        self.place, self.value = np.full((len(bodies), width), -1, np.int64), np.zeros((len(bodies), width), np.int64)

    def all(self) -> None:
        """Read every column."""
        for column in range(self.place.shape[1]):
            rows = np.flatnonzero(self.fine & (self._made > column))
            if len(rows):
                self._column(rows, column)
            self.fine &= self.at <= self._end
        left = self._end - self.at
        self.fine &= (left >= 0) & (left < 8) & (self._counted == self._readings)
        tail = np.flatnonzero(self.fine)
        self.fine[tail] &= self._ones_before[self._end[tail]] == self._ones_before[self.at[tail]]

    def _column(self, rows: Int64, column: int) -> None:
        mode = self._take(rows, 3)
        rows, mode = rows[mode != columns.EMPTY], mode[mode != columns.EMPTY]
        count, last = self._n[rows].copy(), self._n[rows] - 1
        gaps = np.zeros(len(rows), np.bool_)
        may = self._readings[rows] < self._n[rows] * self._made[rows]
        gaps[may] = self._take(rows[may], 1) == 1
        if gaps.any():
            self._gaps(rows, gaps, count, last)
        divisor, rest = np.ones(len(rows), np.int64), np.zeros(len(rows), np.int64)
        scaled = np.flatnonzero(mode == columns.SCALED)
        if len(scaled):
            width = self._take(rows[scaled], columns.DIVISOR_BITS)
            divisor[scaled], rest[scaled] = self._take(rows[scaled], width), self._take(rows[scaled], width)
            mode[scaled] = self._take(rows[scaled], 3)
            self._refuse(rows[scaled], (divisor[scaled] < 2) | (rest[scaled] >= divisor[scaled])
                         | np.isin(mode[scaled], (columns.EMPTY, columns.SCALED)))
        value = self._base(rows)
        for kind, read in ((columns.RAW, self._raw), (columns.LEVEL, self._level), (columns.DELTA, self._delta),
                           (columns.RUNS, self._runs)):
            some = np.flatnonzero(mode == kind)
            if len(some):
                value[some] += read(rows[some], count[some])
        self._refuse(rows, mode == columns.CLASSES)
        value = divisor * np.clip(value, -(1 << 31), (1 << 31) - 1) + rest
        self._refuse(rows, (value < columns.VALUE_MIN) | (value > columns.VALUE_MAX))
        self.place[rows, column], self.value[rows, column] = last, value
        self._counted[rows] += count

    def _gaps(self, rows: Int64, gaps: npt.NDArray[np.bool_], count: Int64, last: Int64) -> None:
        """Bitmaps: how many readings, and which is the last."""
        some = rows[gaps]
        start, end = np.minimum(self.at[some], self._most), np.minimum(self.at[some] + self._n[some], self._most)
        count[gaps] = self._ones_before[end] - self._ones_before[start]
        before = np.maximum(np.searchsorted(self._ones, end) - 1, 0)
        last[gaps] = self._ones[before] - start if len(self._ones) else 0
        self.at[some] += self._n[some]
        self._refuse(some, (count[gaps] < 1) | (count[gaps] >= self._n[some]))
        count[gaps] = np.clip(count[gaps], 1, self._n[some])
        last[gaps] = np.clip(last[gaps], 0, self._n[some] - 1)

    def _base(self, rows: Int64) -> Int64:
        width = self._width(rows)
        low = self._take(rows, np.maximum(width - 1, 0))
        return _unzigzag(np.where(width > 0, np.int64(1) << np.maximum(width - 1, 0) | low, 0))

    def _raw(self, rows: Int64, count: Int64) -> Int64:
        width = self._width(rows)
        value = self._number(self.at[rows] + (count - 1) * width, width)
        self.at[rows] += count * width
        return value

    def _level(self, rows: Int64, count: Int64) -> Int64:
        codes, ends = self._rice(rows, count)
        return _unzigzag(codes[ends - 1]) if len(codes) else np.zeros(len(rows), np.int64)

    def _delta(self, rows: Int64, count: Int64) -> Int64:
        codes, ends = self._rice(rows, count - 1)
        return _sums(_unzigzag(codes), ends)

    def _runs(self, rows: Int64, count: Int64) -> Int64:
        moves = self._take(rows, np.frexp((count - 1).astype(np.float64))[1].astype(np.int64))
        self._refuse(rows, moves > count - 1)
        moves = np.minimum(moves, count - 1)
        gaps, ends = self._rice(rows, moves)
        self._refuse(rows, _sums(gaps, ends) + moves > count - 1)
        steps, ends = self._rice(rows, moves)
        return _sums(_unzigzag(steps + 1), ends)

    def _rice(self, rows: Int64, count: Int64) -> tuple[Int64, Int64]:
        """All codes, row after row, and where each row's end."""
        k = self._take(rows, columns.K_BITS)
        start, first = self.at[rows], np.searchsorted(self._zeros, self.at[rows])
        short = first + count > len(self._zeros)   # codes that would end behind the last batch
        self._refuse(rows, short)
        count = np.where(short, 0, count)
        ends = np.cumsum(count)
        row = np.repeat(np.arange(len(rows)), count)
        within: Int64 = np.arange(len(row), dtype=np.int64) - (ends - count)[row]
        zero = self._zeros[first[row] + within]
        before = np.where(within > 0, np.concatenate(([0], zero[:-1]))[: len(zero)], start[row] - 1)
        quotient = zero - before - 1
        over = quotient == columns.MAX_QUOTIENT
        too_long = np.zeros(len(rows), np.bool_)
        too_long[row[quotient > columns.MAX_QUOTIENT]] = True
        self._refuse(rows, too_long)
        behind = start.copy()
        some = count > 0
        behind[some] = zero[ends[some] - 1] + 1
        places: Int64 = behind[row] + within * k[row]
        rest = self._number(places, k[row])
        behind += count * k
        if over.any():
            of_row = row[over]
            nth: Int64 = np.arange(len(of_row), dtype=np.int64) - np.searchsorted(of_row, of_row)
            width = np.full(len(of_row), columns.OVERFLOW_BITS, np.int64)
            at: Int64 = behind[of_row] + nth * columns.OVERFLOW_BITS
            quotient[over] += self._number(at, width)
            behind += np.bincount(of_row, minlength=len(rows)) * columns.OVERFLOW_BITS
        self.at[rows] = behind
        return np.minimum(quotient, (1 << 36)) << k[row] | rest, ends

    def _width(self, rows: Int64) -> Int64:
        width = self._take(rows, columns.WIDTH_BITS)
        self._refuse(rows, width > columns.OVERFLOW_BITS)
        return np.minimum(width, columns.OVERFLOW_BITS)

    def _take(self, rows: Int64, width: Int64 | int) -> Int64:
        """Read a number of each row and go on."""
        number = self._number(self.at[rows], np.broadcast_to(np.int64(width), rows.shape))
        self.at[rows] += width
        return number

    def _number(self, at: Int64, width: Int64) -> Int64:
        """Numbers of at most 33 bits; beyond the end there are zeros."""
        at = np.minimum(at, self._most)
        byte, word = at >> 3, np.zeros(len(at), np.uint64)
        for more in range(5):
            word = word << np.uint64(8) | self._bytes[byte + more]
        shifted = word >> (40 - (at & 7) - width).astype(np.uint64)
        return (shifted & ((np.uint64(1) << width.astype(np.uint64)) - np.uint64(1))).astype(np.int64)

    def _refuse(self, rows: Int64, wrong: npt.NDArray[np.bool_]) -> None:
        self.fine[rows[wrong]] = False


def _sums(numbers: Int64, ends: Int64) -> Int64:
    """Sums of the numbers up to each end, from the end before."""
    total = np.concatenate((np.zeros(1, np.int64), np.cumsum(numbers)))
    return np.diff(total[np.concatenate((np.zeros(1, np.int64), ends))])


def _unzigzag(codes: Int64) -> Int64:
    return codes >> 1 ^ -(codes & 1)
