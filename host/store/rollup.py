"""A series' UTC day in sums: minutes, hours and the day, and the rows that keep them.

Decides what an aggregate is (count, lowest, highest, exact total in steps of the resolution, the worst clock's quality) and which
rows a day has: one with the day in numbers and its hours packed, and one for each two hours of minutes. Minutes are kept only
where they are many times fewer than the readings; elsewhere the samples themselves answer. How buckets become bytes that SQL
reads is buckets.py's. Reads no database.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from host.clock import DAY_MS, HOUR_MS, MINUTE_MS
from host.store.buckets import MOST, Aggregates, read_buckets, write_buckets

DENSE = 20          # readings of a minute from which on minutes are kept: they cost about 4 bytes each
PART_MS = MOST * MINUTE_MS   # minutes that share a row
FIELDS = ("count", "low", "high", "total", "quality")

Int64 = npt.NDArray[np.int64]


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
    return found | {"day": day, "hours": write_buckets(hours, day * DAY_MS, HOUR_MS, found["low"], found["quality"])}


def minute_rows(day: int, minutes: Aggregates) -> Iterator[dict[str, Any]]:
    """The rows that keep a day's minutes, `series` apart; none where there are few readings a minute."""
    if int(minutes.count.sum()) < DENSE * len(minutes.count):
        return
    part = (minutes.start_ms - day * DAY_MS) // PART_MS
    for one in np.unique(part).tolist():
        some = Aggregates(*(getattr(minutes, name)[part == one] for name in ("start_ms", *FIELDS)))
        low, quality = int(some.low.min()), int(some.quality.min())
        yield {"day": day, "part": one, "low": low, "quality": quality,
               "minutes": write_buckets(some, day * DAY_MS + one * PART_MS, MINUTE_MS, low, quality)}


def read_hours(raw: bytes, day: int, low: int, quality: int) -> Aggregates:
    """The hours of a rollup row.

    Raises:
        PackingError: damaged.
    """
    return read_buckets(raw, day * DAY_MS, HOUR_MS, low, quality)


def read_minutes(raw: bytes, day: int, part: int, low: int, quality: int) -> Aggregates:
    """The minutes of one row of them.

    Raises:
        PackingError: damaged.
    """
    return read_buckets(raw, day * DAY_MS + part * PART_MS, MINUTE_MS, low, quality)


def joined(parts: Sequence[Aggregates]) -> Aggregates:
    """Buckets of several rows as one."""
    return Aggregates(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("start_ms", *FIELDS)))
