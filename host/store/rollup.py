"""A series' UTC day in sums: minutes, hours and the day, and the bytes that keep them.

Decides what an aggregate is (count, lowest, highest, exact total in steps of the resolution, the worst clock's quality) and how a
day of them is written: the day in numbers, hours as JSON that SQL unfolds (see the migration's views), minutes packed. Minutes
are kept only where they are many times fewer than the readings; elsewhere the samples themselves answer. Reads no database.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from host.store.packing import pack, unpack

DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
DENSE = 20          # readings of a minute from which on minutes are kept: they cost about 3 bytes each
FIELDS = ("count", "low", "high", "total", "quality")

Int64 = npt.NDArray[np.int64]


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


def aggregate(times: Int64, values: Int64, quality: Int64, step_ms: int) -> Aggregates:
    """Readings to buckets of `step_ms`, which divides a day; in any order."""
    if not len(times):
        return Aggregates(*(np.empty(0, np.int64) for _ in range(6)))
    bucket = times // step_ms
    order = np.argsort(bucket, kind="stable")
    bucket, values, quality = bucket[order], values[order], quality[order]
    first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    return Aggregates(
        bucket[first] * step_ms, np.diff(np.r_[first, len(bucket)]), np.minimum.reduceat(values, first),
        np.maximum.reduceat(values, first), np.add.reduceat(values, first), np.minimum.reduceat(quality, first),
    )


def aggregate_all(pieces: Sequence[tuple[Int64, Int64, Int64]], step_ms: int) -> Aggregates:
    """`aggregate` of several (times, values, quality)."""
    times, values, quality = (np.concatenate([one[at] for one in pieces]) for at in range(3))
    return aggregate(times, values, quality, step_ms)


def coarser(fine: Aggregates, step_ms: int) -> Aggregates:
    """Buckets of buckets."""
    if not len(fine.start_ms):
        return fine
    bucket = fine.start_ms // step_ms
    first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    return Aggregates(
        bucket[first] * step_ms, np.add.reduceat(fine.count, first), np.minimum.reduceat(fine.low, first),
        np.maximum.reduceat(fine.high, first), np.add.reduceat(fine.total, first), np.minimum.reduceat(fine.quality, first),
    )


def row(day: int, minutes: Aggregates) -> dict[str, Any]:
    """The columns of a rollup row, `series` apart, of a day that has a reading."""
    hours = coarser(minutes, HOUR_MS)
    (whole,) = zip(*(getattr(coarser(hours, DAY_MS), name).tolist() for name in FIELDS), strict=True)
    found: dict[str, Any] = dict(zip(FIELDS, whole, strict=True))
    dense = found["count"] >= DENSE * len(minutes.start_ms)
    return found | {
        "day": day, "hours": write_hours(hours, day, found["low"], found["quality"]),
        "minutes": write_minutes(minutes, day) if dense else None,
    }


def write_hours(hours: Aggregates, day: int, low: int, quality: int) -> str:
    """Hours as JSON: [hours, counts, low - the day's, high - low, total - count x low, quality]."""
    at = (hours.start_ms - day * DAY_MS) // HOUR_MS
    lists: list[Any] = [
        None if len(at) == 24 else at.tolist(), _short(hours.count), (hours.low - low).tolist(), _short(hours.high - hours.low),
        _short(hours.total - hours.count * hours.low), None if (hours.quality == quality).all() else hours.quality.tolist(),
    ]
    return json.dumps(lists, separators=(",", ":"))


def read_hours(text: str, day: int, low: int, quality: int) -> Aggregates:
    """What `write_hours` wrote."""
    at, counts, lows, spans, rests, qualities = json.loads(text)
    n = len(lows)
    start = np.asarray(list(range(24)) if at is None else at, np.int64)
    count, bottom, span, rest = _long(counts, n), _long(lows, n) + low, _long(spans, n), _long(rests, n)
    return Aggregates(day * DAY_MS + start * HOUR_MS, count, bottom, bottom + span, rest + count * bottom,
                      _long(quality if qualities is None else qualities, n))


def write_minutes(minutes: Aggregates, day: int) -> bytes:
    """Minutes packed: minute of the day, count, low, high - low, total - count x low, quality."""
    columns = (
        (minutes.start_ms - day * DAY_MS) // MINUTE_MS, minutes.count, minutes.low, minutes.high - minutes.low,
        minutes.total - minutes.count * minutes.low, minutes.quality,
    )
    packed = [pack(column) for column in columns]
    return b"".join(len(one).to_bytes(3, "little") + one for one in packed)


def read_minutes(raw: bytes, day: int) -> Aggregates:
    """What `write_minutes` wrote.

    Raises:
        PackingError: damaged.
    """
    columns, at = [], 0
    for _ in range(6):
        size = int.from_bytes(raw[at : at + 3], "little")
        columns.append(unpack(raw[at + 3 : at + 3 + size]))
        at += 3 + size
    minute, count, low, span, rest, quality = columns
    return Aggregates(day * DAY_MS + minute * MINUTE_MS, count, low, low + span, rest + count * low, quality)


def _short(column: Int64) -> int | list[int]:
    """Equal numbers as one."""
    return int(column[0]) if (column == column[0]).all() else column.tolist()


def _long(column: int | list[int], n: int) -> Int64:
    return np.full(n, column, np.int64) if isinstance(column, int) else np.asarray(column, np.int64)
