"""Batches to arrays, many readings at a time.

Gives the same answer as node.wire.batch.decode, whose header parser it uses, and refuses the same bytes with the same codes; the
columns are read with whole-array operations. Takes at most 12 bytes of memory for each of 64 x 4096 readings. Looks up no schema,
converts no unit and no time zone: values stay scaled integers, times stay milliseconds since the device's boot.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from node.errors import FormatError
from node.wire import batch, classes, columns
from node.wire.bits import unzigzag

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """One batch.

    Attributes:
        schema_hash: 4 bytes.
        epoch_ms: Unix milliseconds of uptime 0; 0 when unknown.
        quality: of epoch_ms, batch.QUALITY_*.
        uptime_ms: [n] of each sample, since the boot.
        values: [channels, n] scaled integers; 0 where not valid.
        valid: [channels, n] False where there was no reading.
    """

    boot: int
    seq: int
    schema_hash: bytes
    epoch_ms: int
    quality: int
    period_ms: int
    uptime_ms: Int64
    values: Int64
    valid: Bool


def decode(raw: bytes) -> DecodedBatch:
    """Decode a batch in time linear in its samples.

    Raises:
        FormatError: as node.wire.batch.decode.
    """
    boot, seq, schema_hash, uptime_ms, epoch_ms, quality, period_ms, shape, n_readings, exceptions, at = batch.read_header(raw)
    n, n_columns = shape
    source = _Bits(raw, at, len(raw) - 4)
    values = np.zeros((n_columns, n), np.int64)
    valid = np.zeros((n_columns, n), np.bool_)
    for i in range(n_columns):
        _read_column(source, values[i], valid[i], n_readings < n * n_columns)
    source.finish()
    if int(np.count_nonzero(valid)) != n_readings:
        raise FormatError("batch.count", f"header says {n_readings} readings")
    times = uptime_ms + period_ms * np.arange(n, dtype=np.int64)
    for index, offset_ms in exceptions:
        times[index] += offset_ms
    return DecodedBatch(boot, seq, schema_hash, epoch_ms, quality, period_ms, times, values, valid)


class _Bits:
    """A position in the bits of raw[at:end], most significant first."""

    def __init__(self, raw: bytes, at: int, end: int) -> None:
        self._raw = raw[at:end]
        self._bits = np.unpackbits(np.frombuffer(self._raw, np.uint8))
        self._zeros = np.flatnonzero(self._bits == 0)
        self._at = 0

    def _skip(self, count: int) -> int:
        """Go on; return where that began."""
        start = self._at
        if start + count > len(self._bits):
            raise FormatError("bits.short", f"{count} bits wanted at bit {start} of {len(self._bits)}")
        self._at = start + count
        return start

    def _take(self, count: int) -> npt.NDArray[np.uint8]:
        start = self._skip(count)
        return self._bits[start : self._at]

    def number(self, width: int) -> int:
        """Read one integer; an array for it would cost ten times as much."""
        start = self._skip(width)
        held = int.from_bytes(self._raw[start >> 3 : self._at + 7 >> 3], "big")
        return held >> (-self._at & 7) & (1 << width) - 1

    def flags(self, count: int) -> Bool:
        return self._take(count).astype(np.bool_)

    def numbers(self, count: int, width: int) -> Int64:
        """Read `count` integers of `width` bits each; width is at most 33."""
        return self._take(count * width).reshape(count, width).astype(np.int64) @ _weights(width)

    def unary(self, count: int, limit: int) -> Int64:
        """Read `count` runs of ones, each ended by a zero."""
        first = int(np.searchsorted(self._zeros, self._at))
        ends = self._zeros[first : first + count]
        runs = ends - self._at   # of the first one; then from one end to the next
        runs[1:] = ends[1:] - ends[:-1] - 1
        if len(ends):
            self._at = int(ends[-1]) + 1
        left = len(self._bits) - self._at if len(ends) < count else 0   # ones without an end
        if max(left, int(runs.max(initial=0))) > limit:
            raise FormatError("bits.unary", f"more than {limit} ones")
        if len(ends) < count:
            raise FormatError("bits.short", f"{count} codes wanted, {len(ends)} left")
        return runs

    def read(self, count: int) -> int:
        """The interface of node.wire.bits.BitReader, for short fields."""
        return self.number(count)

    def prefix_codes(self, lengths: list[int], count: int) -> Int64:
        """Read `count` symbols of the canonical prefix code with these lengths."""
        window = classes.MAX_LENGTH
        table = classes.table(lengths)
        bits = np.concatenate((self._bits[self._at : self._at + count * window], np.zeros(window, np.uint8)))
        two = bits[:-1] << 1 | bits[1:]   # from each place on
        four = two[:-2] << 2 | two[2:]
        seen = (four[:-3] << 3 | four[3:] & 7).tolist()   # `window` bits each
        symbols = np.empty(count, np.int64)
        at = 0
        for i in range(count):
            if at >= len(seen):
                raise FormatError("bits.short", f"{count} codes wanted, {i} left")
            symbols[i], length = table[seen[at]]
            at += length
        self._take(at)
        return symbols

    def finish(self) -> None:
        left = len(self._bits) - self._at
        if left > 7 or self._take(left).any():
            raise FormatError("bits.trailing", f"{left} bits left over")


def _read_column(source: _Bits, values: Int64, valid: Bool, has_gaps: bool) -> None:
    """Fill one row of values and of valid."""
    mode = source.number(3)
    if mode == columns.EMPTY:
        return
    gaps = source.number(1) if has_gaps else 0
    valid[:] = source.flags(len(valid)) if gaps else True
    count = int(np.count_nonzero(valid))
    if gaps and not 0 < count < len(valid):
        raise FormatError("batch.column", "bitmap without a gap or without a value")
    divisor, remainder = 1, 0
    if mode == columns.SCALED:
        divisor, remainder, mode = _read_divisor(source)
    got = _read_values(source, mode, count)
    _check_range(got)   # first: the multiples of a wild base would overflow 64 bits
    if divisor > 1:
        got = divisor * got + remainder
        _check_range(got)
    values[valid] = got


def _check_range(values: Int64) -> None:
    if int(values.min()) < columns.VALUE_MIN or int(values.max()) > columns.VALUE_MAX:
        raise FormatError("batch.range", "a value does not fit 32 bits")


def _read_divisor(source: _Bits) -> tuple[int, int, int]:
    width = source.number(columns.DIVISOR_BITS)
    divisor, remainder, mode = source.number(width), source.number(width), source.number(3)
    if divisor < 2 or remainder >= divisor or mode in (columns.EMPTY, columns.SCALED):
        raise FormatError("batch.column", f"multiples of {divisor} and {remainder} in coding {mode}")
    return divisor, remainder, mode


def _read_values(source: _Bits, mode: int, count: int) -> Int64:
    base = unzigzag(_width_and_number(source))
    if mode == columns.CONSTANT:
        return np.full(count, base, np.int64)
    if mode == columns.RAW:
        return base + source.numbers(count, _width(source))
    if mode == columns.LEVEL:
        return base + _unzigzag(_read_rice(source, count))
    if mode == columns.CLASSES:
        steps = _read_classes(source, count - 1)
    else:
        steps = _unzigzag(_read_runs(source, count - 1) if mode == columns.RUNS else _read_rice(source, count - 1))
    values = np.empty(count, np.int64)
    values[0] = base
    np.cumsum(steps, out=values[1:])
    values[1:] += base
    return values


def _read_runs(source: _Bits, count: int) -> Int64:
    moves = source.number(count.bit_length())
    if moves > count:
        raise FormatError("batch.column", f"{moves} steps for {count} places")
    gaps = _read_rice(source, moves)
    steps = _read_rice(source, moves)
    if int(gaps.sum()) + moves > count:
        raise FormatError("batch.column", "runs longer than the column")
    codes = np.zeros(count, np.int64)
    codes[np.cumsum(gaps + 1) - 1] = steps + 1
    return codes


def _read_rice(source: _Bits, count: int) -> Int64:
    k = source.number(columns.K_BITS)
    quotients = source.unary(count, columns.MAX_QUOTIENT)
    rests = source.numbers(count, k)
    over = np.flatnonzero(quotients == columns.MAX_QUOTIENT)
    if len(over):
        quotients[over] += source.numbers(len(over), columns.OVERFLOW_BITS)
    return (quotients << k) | rests


def _read_classes(source: _Bits, count: int) -> Int64:
    lengths = classes.read_lengths(source)
    member = source.prefix_codes(lengths, count)
    width = np.maximum(member, 0)
    at = np.cumsum(width) - width   # where each value's sign stands behind the codes
    bits = source.flags(int(width.sum()))
    values = np.zeros(count, np.int64)
    for one in np.unique(member[member > 0]).tolist():
        here = np.flatnonzero(member == one)
        places = at[here][:, np.newaxis]
        magnitude = (1 << (one - 1)) + bits[places + np.arange(1, one)].astype(np.int64) @ _weights(one - 1)
        values[here] = np.where(bits[at[here]], -magnitude, magnitude)
    return values


def _width(source: _Bits) -> int:
    width = source.number(columns.WIDTH_BITS)
    if width > columns.OVERFLOW_BITS:
        raise FormatError("batch.column", f"{width} bits")
    return width


def _width_and_number(source: _Bits) -> int:
    width = _width(source)
    return 1 << (width - 1) | source.number(width - 1) if width else 0


def _unzigzag(codes: Int64) -> Int64:
    return codes >> 1 ^ -(codes & 1)


@cache
def _weights(width: int) -> Int64:
    """What each bit of an integer of this width, 33 at most, is worth; the highest first."""
    return np.left_shift(np.int64(1), np.arange(width - 1, -1, -1, dtype=np.int64))
