"""Fewer points for a chart without losing an extreme.

Decides which points of a long series are kept: of every time bucket the lowest and the highest, in time order. A spike of one
sample therefore stays visible at any zoom, which a mean would hide. Knows no database and no channel; numbers in, numbers out.
"""

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

CHUNK_POINTS = 1 << 16   # points held back before they are folded: 1 MB for each channel in work


def buckets_of(max_points: int) -> int:
    """Into how many equal spans of time a long series is cut; of each the lowest and the highest value stay."""
    return max(1, max_points // 2)


class Extremes:
    """Collects one channel's points and gives at most `max_points` of them back.

    Memory is bounded by `max_points` + CHUNK_POINTS, however many points are added.
    """

    def __init__(self, from_ms: int, to_ms: int, max_points: int, *, long: bool = False) -> None:
        """Begin.

        Args:
            long: the series is known to be longer than `max_points`, and not all of it will be added.
        """
        self._from_ms, self._span_ms = from_ms, max(1, to_ms - from_ms + 1)
        self._max_points, self._buckets = max(2, max_points), buckets_of(max_points)
        self._times: list[Times] = []
        self._values: list[Values] = []
        self._pending, self._folded = 0, long

    def add(self, times: Times, values: Values) -> None:
        """Take points of one channel, in any order; those outside [from_ms, to_ms] are the caller's fault."""
        if not len(times):
            return
        self._times.append(times)
        self._values.append(values)
        self._pending += len(times)
        if self._pending > self._max_points + CHUNK_POINTS:
            self._fold()

    def result(self) -> tuple[list[int], list[float]]:
        """All points in time order when they are few enough, the extremes of each bucket otherwise."""
        if self._pending and (self._pending > self._max_points or self._folded):
            self._fold()
        times, values = _joined(self._times, self._values)
        order = np.lexsort((values, times))   # of one instant by value: the answer does not depend on where points were stored
        return times[order].tolist(), values[order].tolist()

    def _fold(self) -> None:
        times, values = _joined(self._times, self._values)
        bucket = (times - self._from_ms) * self._buckets // self._span_ms
        order = np.lexsort((times, values, bucket))   # by bucket, then value, then time
        bucket, times, values = bucket[order], times[order], values[order]
        first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
        last = np.r_[first[1:] - 1, len(bucket) - 1]
        keep = np.unique(np.r_[first, last])
        self._times, self._values = [times[keep]], [values[keep]]
        self._pending, self._folded = len(keep), True


def _joined(times: list[Times], values: list[Values]) -> tuple[Times, Values]:
    if not times:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    return np.concatenate(times), np.concatenate(values)
