"""Integers as few bytes: the best of some codings, chosen by size.

Decides the bytes of a column and nothing about what the numbers mean. A coding is a transform (distances from the lowest or from
the median, steps, steps of the steps) and a layout. Folded numbers are small and mostly alike, so a layout's layers take 1, 2 or 4
bits of each, several numbers to a byte: LZMA's coder, which guesses a bit from those before it in its byte and from the byte
before, then sees the numbers before. What does not fit a layer goes on to the next with the rest of its value; after the last
layer come whole bytes, plane by plane (all lowest bytes, then all second ones). Measurements are in host/DESIGN.md. Every answer
of `unpack` has been checked: a damaged body raises, it never gives other numbers silently (CRC-32 at the end).
"""

from binascii import crc32
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from host.store.streams import CONTEXTS, USUAL, StreamError, smallest, whole

Int64 = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

MAX_COUNT = 1 << 24        # numbers of one body: a day at 194 Hz; bounds what a damaged head can ask for
LEVEL, STEPS, CURVE, FLOOR = 0, 1, 2, 3   # distances from a base, from the one before, of steps from each other, from the lowest
LAYOUTS = ((), (1,), (2,), (4,), (1, 2), (1, 4), (2, 2), (2, 4))   # bits of a number in each layer; the mode byte has the place
MAX_PLANES = 8
TRIED = 4                  # codings that are written out in full, the most promising by their entropy
STREAM_BITS = 48           # a guess: what a stream costs beside its entropy
SYMBOL_BITS = 3            # a guess: what the coder pays to learn of each different byte


class PackingError(Exception):
    """A body is damaged; the message says where."""


class _Coding(NamedTuple):
    """One way to write numbers. `base` is the transform's own, `layout` a place in LAYOUTS."""

    kind: int
    layout: int
    base: int
    streams: list[Bytes]


def pack(values: Int64) -> bytes:
    """Write integers so that `unpack` gives them back.

    Raises:
        ValueError: more than MAX_COUNT, or their steps do not fit 62 bits.
    """
    if len(values) > MAX_COUNT or (len(values) and int(np.abs(values).max()) >= 1 << 60):
        raise ValueError(f"{len(values)} values do not fit a day column")
    body = _packed(values.astype(np.int64))
    return body + crc32(body).to_bytes(4, "little")


def unpack(raw: bytes) -> Int64:
    """Read what `pack` wrote.

    Raises:
        PackingError: the bytes are damaged.
    """
    if len(raw) < 6 or crc32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        raise PackingError(f"CRC of {len(raw)} bytes")
    try:
        return _read(memoryview(raw)[:-4])
    except (IndexError, ValueError, StreamError) as error:
        raise PackingError(f"body of {len(raw)} bytes: {error}") from None


def _packed(values: Int64) -> bytes:
    if not len(values):
        return bytes((LEVEL, 0))
    base = int(values[0])
    divisor = int(np.gcd.reduce(np.abs(values - base))) or 1
    multiples = (values - base) // divisor
    head = (len(values), base, divisor)
    if not multiples.any():
        return _written(head, _Coding(LEVEL, 0, 0, []), USUAL)
    codings = [
        _Coding(kind, at, second, _streams(codes, layout)) for kind, second, codes in _transforms(multiples)
        for at, layout in enumerate(LAYOUTS)
    ]
    promising = sorted(codings, key=lambda one: _guess(one.streams))[:TRIED]
    return _written(head, min(promising, key=lambda one: len(_written(head, one, USUAL))), CONTEXTS)


def _transforms(multiples: Int64) -> Iterator[tuple[int, int, Codes]]:
    """(kind, second base, codes) of each transform."""
    lowest = int(multiples.min())
    yield FLOOR, lowest, (multiples - lowest).astype(np.uint64)
    middle = int(np.sort(multiples)[len(multiples) // 2])
    yield LEVEL, middle, _folded(multiples - middle)
    steps = np.diff(multiples)
    yield STEPS, 0, _folded(steps)
    if len(steps) > 1:
        yield CURVE, int(steps[0]), _folded(np.diff(steps))


def _streams(codes: Codes, layout: tuple[int, ...]) -> list[Bytes]:
    """What a layout makes of codes: its layers, then planes."""
    found = []
    for bits in layout:
        most = np.uint64((1 << bits) - 1)
        found.append(_together(np.minimum(codes, most).astype(np.uint8), bits))
        codes = codes[codes >= most] - most
    while codes.any():
        found.append(codes.astype(np.uint8))
        codes = codes >> np.uint64(8)
    return found


def _together(small: Bytes, bits: int) -> Bytes:
    """Numbers of some bits each, the first one highest in its byte."""
    each = 8 // bits
    rows = np.concatenate((small, np.zeros(-len(small) % each, np.uint8))).reshape(-1, each)
    together: Bytes = np.bitwise_or.reduce(rows << _shifts(bits), axis=1)
    return together


def _apart(raw: bytes, bits: int, count: int) -> Bytes:
    """What `_together` was given."""
    return _numbers_of(bits)[np.frombuffer(raw, np.uint8)].reshape(-1)[:count]


@cache
def _numbers_of(bits: int) -> Bytes:
    """[256, 8 / bits] the numbers of each byte."""
    numbers: Bytes = np.arange(256, dtype=np.uint8)[:, None] >> _shifts(bits) & np.uint8((1 << bits) - 1)
    return numbers


def _shifts(bits: int) -> Bytes:
    return np.arange(8 - bits, -1, -bits, dtype=np.uint8)


def _guess(streams: list[Bytes]) -> float:
    """About how many bits streams will take."""
    bits = 0.0
    for one in streams:
        counts = np.bincount(one, minlength=256)
        counts = counts[counts > 0]
        bits += STREAM_BITS + SYMBOL_BITS * len(counts) + len(one) * np.log2(max(1, len(one))) - float(counts @ np.log2(counts))
    return bits


def _written(head: tuple[int, int, int], coding: _Coding, contexts: Sequence[int]) -> bytes:
    """Mode byte, count, base, divisor, second base, number of planes, streams."""
    out = bytearray((coding.kind | coding.layout << 2,))
    count, first, divisor = head
    for number in (count, _fold(first), divisor, _fold(coding.base)):
        put(out, number)
    out.append(max(0, len(coding.streams) - len(LAYOUTS[coding.layout])))
    for one in coding.streams:
        form, data = smallest(one.tobytes(), contexts)
        out.append(form)
        put(out, len(data))
        out += data
    return bytes(out)


def _read(raw: memoryview) -> Int64:
    kind, layout, at = raw[0] & 3, raw[0] >> 2, 1
    count, at = get(raw, at)
    if not count:
        if raw[0] != LEVEL or at != len(raw):
            raise PackingError("an empty body that says more")
        return np.empty(0, np.int64)
    first, at = get(raw, at)
    divisor, at = get(raw, at)
    base, at = get(raw, at)
    planes, at = raw[at], at + 1
    if layout >= len(LAYOUTS) or count > MAX_COUNT or planes > MAX_PLANES:
        raise PackingError(f"coding {raw[0]} of {count} numbers in {planes} planes")
    if planes or layout:
        codes, at = _codes(raw, at, count - (kind if kind != FLOOR else 0), LAYOUTS[layout], planes)
        values = _joined(kind, _unfold(base), codes, count)
    else:
        values = _straight(kind, _unfold(base), count)
    if at != len(raw):
        raise PackingError(f"{len(raw) - at} bytes too many")
    values *= divisor
    values += _unfold(first)
    return values


def _codes(raw: memoryview, at: int, count: int, layout: tuple[int, ...], planes: int) -> tuple[Codes, int]:
    """`count` codes, and where what follows them begins."""
    if layout:
        bits, rest = layout[0], layout[1:]
        stream, at = _stream(raw, at, -(-count * bits // 8))
        codes = _apart(stream, bits, count).astype(np.uint64)
        full = np.flatnonzero(codes == (1 << bits) - 1)
        more, at = _codes(raw, at, len(full), rest, planes)
        codes[full] += more
        return codes, at
    codes = np.zeros(count, np.uint64)
    for plane in range(planes):
        stream, at = _stream(raw, at, count)
        codes |= np.frombuffer(stream, np.uint8).astype(np.uint64) << np.uint64(8 * plane)
    return codes, at


def _stream(raw: memoryview, at: int, size: int) -> tuple[bytes, int]:
    form = raw[at]
    length, at = get(raw, at + 1)
    return whole(form, bytes(raw[at : at + length]), size), at + length


def _straight(kind: int, base: int, count: int) -> Int64:
    """Numbers whose codes are all zero, as those of times on a grid."""
    if kind == CURVE:
        return np.arange(count, dtype=np.int64) * base
    return np.full(count, 0 if kind == STEPS else base, np.int64)


def _joined(kind: int, base: int, codes: Codes, count: int) -> Int64:
    if kind == FLOOR:
        return codes.astype(np.int64) + base
    rest = (codes >> np.uint64(1)).astype(np.int64) ^ -(codes & np.uint64(1)).astype(np.int64)
    if kind == LEVEL:
        return rest + base
    values = np.zeros(count, np.int64)
    if kind == STEPS:
        np.cumsum(rest, out=values[1:])
        return values
    steps = np.full(count - 1, base, np.int64)
    steps[1:] += np.cumsum(rest)
    np.cumsum(steps, out=values[1:])
    return values


def _folded(numbers: Int64) -> Codes:
    return (numbers << 1 ^ numbers >> 63).astype(np.uint64)


def _fold(number: int) -> int:
    return number << 1 if number >= 0 else -number << 1 | 1


def _unfold(number: int) -> int:
    return -(number >> 1) if number & 1 else number >> 1


def put(out: bytearray, number: int) -> None:
    """Append a non-negative number, seven bits a byte."""
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def get(raw: memoryview, at: int) -> tuple[int, int]:
    """A number that `put` wrote, and where what follows it begins.

    Raises:
        PackingError: it has no end.
    """
    number = shift = 0
    while raw[at] & 128:
        number |= (raw[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if shift > 70:
            raise PackingError("a number without an end")
    return number | raw[at] << shift, at + 1
