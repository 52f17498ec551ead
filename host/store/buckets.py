"""Sums of minutes or hours <-> few bytes that plain SQL takes apart.

Decides the bits and nothing about where they are kept. Head and buckets are numbers of so many bits each, one after the other,
the highest bit first, so that SQL needs no more than substr and shifts: the views of the migration and the functions on
PostgreSQL do what `read_buckets` does here. Each bucket has the same bits: how many buckets were missing before it, its count
above the least one, its low above a base that stands beside, its high above its low, its total above count x low, its quality
above a base.

A coder that spends fractions of a bit takes a fifth less, and no SQL reads it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.store.packing import PackingError

Int64 = npt.NDArray[np.int64]

# The head, each with its bits: buckets; the first one's place; bits of each of a bucket's numbers; the least count.
HEAD = (("n", 7), ("first", 7), ("missing", 4), ("count", 5), ("low", 6), ("span", 6), ("rest", 6), ("quality", 3), ("least", 24))
NUMBERS = ("missing", "count", "low", "span", "rest", "quality")
HEAD_BITS = sum(bits for _, bits in HEAD)
MOST = 120          # buckets of one body: hours of a day, minutes of two hours
MAX_BITS = 57       # of a number: with the seven bits before it in its byte they are the 64 that SQL reads at once


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Buckets that hold a reading, ascending.

    Attributes:
        start_ms: [k] Unix ms at which each bucket begins.
        low, high, total: [k] in steps of the resolution; the mean is total / count.
        quality: [k] of the worst clock, node.wire.batch.QUALITY_*.
    """

    start_ms: Int64
    count: Int64
    low: Int64
    high: Int64
    total: Int64
    quality: Int64


def write_buckets(sums: Aggregates, start_ms: int, step_ms: int, low: int, quality: int) -> bytes:
    """Pack at most MOST buckets, at least one.

    Args:
        start_ms: of place 0; the last bucket has a place below MOST.
        low, quality: bases, not above any bucket's.

    Raises:
        ValueError: a number is too large: more than 16 million readings in a bucket.
    """
    place, least = (sums.start_ms - start_ms) // step_ms, int(sums.count.min())
    numbers = (
        place - int(place[0]) - np.arange(len(place)), sums.count - least, sums.low - low, sums.high - sums.low,
        sums.total - sums.count * sums.low, sums.quality - quality,
    )
    widths = [int(one.max()).bit_length() for one in numbers]
    out = position = 0
    told = dict(zip(NUMBERS, widths, strict=True)) | {"n": len(place), "first": int(place[0]), "least": least}
    fields = [(told[name], bits) for name, bits in HEAD]
    for row in zip(*(one.tolist() for one in numbers), strict=True):
        fields += zip(row, widths, strict=True)
    for number, bits in fields:
        if not 0 <= number < 1 << bits or bits > MAX_BITS:
            raise ValueError(f"{number} does not fit {bits} bits")
        out = out << bits | number
        position += bits
    return (out << -position % 8).to_bytes(-(-position // 8), "big")


def read_buckets(raw: bytes, start_ms: int, step_ms: int, low: int, quality: int) -> Aggregates:
    """What `write_buckets` wrote.

    Raises:
        PackingError: damaged.
    """
    bits = np.unpackbits(np.frombuffer(raw, np.uint8))
    if len(bits) < HEAD_BITS:
        raise PackingError(f"{len(raw)} bytes of buckets")
    head, at = {}, 0
    for name, width in HEAD:
        head[name] = _number(bits[None, at : at + width])[0]
        at += width
    widths = [int(head[name]) for name in NUMBERS]
    n, each = int(head["n"]), sum(widths)
    if not n or max(widths) > MAX_BITS or len(raw) != -(-(HEAD_BITS + n * each) // 8):
        raise PackingError(f"{n} buckets of {widths} bits in {len(raw)} bytes")
    rows = bits[HEAD_BITS : HEAD_BITS + n * each].reshape(n, each)
    found, at = [], 0
    for width in widths:
        found.append(_number(rows[:, at : at + width]))
        at += width
    missing, count, above, span, rest, worse = found
    count += head["least"]
    bottom = above + low
    place = head["first"] + np.arange(n) + missing
    return Aggregates(start_ms + place * step_ms, count, bottom, bottom + span, rest + count * bottom, worse + quality)


def _number(bits: npt.NDArray[np.uint8]) -> Int64:
    """Rows of bits as numbers."""
    weights = np.int64(1) << np.arange(bits.shape[1] - 1, -1, -1, dtype=np.int64)
    return bits.astype(np.int64) @ weights
