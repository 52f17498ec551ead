"""Integers of a day as few bytes: the best of a few codings, chosen by size.

Decides the bytes of a day column and nothing about what the numbers mean. A coding is a transform (steps, distances from the
median, steps of the steps), numbers folded to non-negative ones, cut into byte planes (all lowest bytes, then all second ones),
and each plane through LZMA's range coder, raw DEFLATE or nothing. A range coder spends fractions of a bit where a Huffman code
spends whole ones, and a plane of its own keeps the busy low bytes apart from the quiet high ones; the measurements are in
host/DESIGN.md. Every answer of `unpack` has been checked: a damaged body raises, it never gives other numbers silently
(CRC-32 at the end).
"""

import lzma
import zlib
from binascii import crc32
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]

MAX_COUNT = 1 << 24        # numbers of one body: a day at 194 Hz; bounds what a damaged head can ask for
LEVEL, STEPS, CURVE = 0, 1, 2   # distances from a base; from the one before; of the steps from each other
STORED, DEFLATED, RANGED = 0, 1, 2   # how a plane is written
MAX_PLANES = 8
_FILTERS = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 0, "dict_size": 1 << 16, "preset": 6}]
_RANGED_LEAST = 24         # bytes below which LZMA's own end marker costs more than it saves


class PackingError(Exception):
    """A body is damaged; the message says where."""


def pack(values: Int64) -> bytes:
    """Write integers so that `unpack` gives them back.

    Raises:
        ValueError: more than MAX_COUNT, or their steps do not fit 62 bits.
    """
    if len(values) > MAX_COUNT or (len(values) and int(np.abs(values).max()) >= 1 << 60):
        raise ValueError(f"{len(values)} values do not fit a day column")
    body = min(_candidates(values.astype(np.int64)), key=len)
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
    except (IndexError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise PackingError(f"body of {len(raw)} bytes: {error}") from None


def _candidates(values: Int64) -> Iterator[bytes]:
    if not len(values):
        yield bytes((LEVEL, 0))
        return
    base = int(values[0])
    divisor = int(np.gcd.reduce(np.abs(values - base))) or 1
    multiples = (values - base) // divisor
    head = (len(values), base, divisor)
    if not multiples.any():
        yield _written(LEVEL, head, 0, np.empty(0, np.int64))
        return
    middle = int(np.sort(multiples)[len(multiples) // 2])
    yield _written(LEVEL, head, middle, multiples - middle)
    steps = np.diff(multiples)
    yield _written(STEPS, head, 0, steps)
    if len(steps) > 1:
        yield _written(CURVE, head, int(steps[0]), np.diff(steps))


def _written(kind: int, head: tuple[int, int, int], base: int, rest: Int64) -> bytes:
    """Mode byte, count, base, divisor, second base, planes."""
    out = bytearray((kind,))
    count, first, divisor = head
    for number in (count, _fold(first), divisor, _fold(base)):
        _put(out, number)
    codes = (rest << 1 ^ rest >> 63).astype(np.uint64)
    planes = 0
    body = bytearray()
    while codes.any():
        form, plane = min(_plane(codes.astype(np.uint8).tobytes()), key=lambda one: len(one[1]))
        body.append(form)
        _put(body, len(plane))
        body += plane
        codes >>= np.uint64(8)
        planes += 1
    out.append(planes)
    return bytes(out + body)


def _plane(raw: bytes) -> Iterator[tuple[int, bytes]]:
    yield STORED, raw
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    yield DEFLATED, deflate.compress(raw) + deflate.flush()
    if len(raw) >= _RANGED_LEAST:
        yield RANGED, lzma.compress(raw, lzma.FORMAT_RAW, filters=_FILTERS)


def _read(raw: memoryview) -> Int64:
    kind, at = raw[0], 1
    count, at = _get(raw, at)
    if not count:
        if kind != LEVEL or at != len(raw):
            raise PackingError("an empty body that says more")
        return np.empty(0, np.int64)
    first, at = _get(raw, at)
    divisor, at = _get(raw, at)
    base, at = _get(raw, at)
    planes, at = raw[at], at + 1
    if kind > CURVE or count > MAX_COUNT or planes > MAX_PLANES:
        raise PackingError(f"coding {kind} of {count} numbers in {planes} planes")
    size = count - kind   # LEVEL has a code for each, STEPS one less, CURVE two less
    codes = np.zeros(size, np.uint64)
    for plane in range(planes):
        form = raw[at]
        length, at = _get(raw, at + 1)
        whole = _unplaned(form, bytes(raw[at : at + length]), size)
        at += length
        codes |= np.frombuffer(whole, np.uint8).astype(np.uint64) << np.uint64(8 * plane)
    if at != len(raw):
        raise PackingError(f"{len(raw) - at} bytes too many")
    rest = (codes >> np.uint64(1)).astype(np.int64) ^ -(codes & np.uint64(1)).astype(np.int64)
    return _unfold(first) + divisor * _joined(kind, _unfold(base), rest, count)


def _unplaned(form: int, raw: bytes, size: int) -> bytes:
    if form == STORED:
        whole = raw
    elif form == DEFLATED:
        whole = zlib.decompressobj(-15).decompress(raw, size + 1)
    elif form == RANGED:
        whole = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS).decompress(raw, size + 1)
    else:
        raise PackingError(f"plane written as {form}")
    if len(whole) != size:
        raise PackingError(f"a plane of {len(whole)} bytes for {size} numbers")
    return whole


def _joined(kind: int, base: int, rest: Int64, count: int) -> Int64:
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


def _fold(number: int) -> int:
    return number << 1 if number >= 0 else -number << 1 | 1


def _unfold(number: int) -> int:
    return -(number >> 1) if number & 1 else number >> 1


def _put(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _get(raw: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while raw[at] & 128:
        number |= (raw[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if shift > 70:
            raise PackingError("a number without an end")
    return number | raw[at] << shift, at + 1
