"""Which days of a long window need not be read for its extremes, since their sums say that they hold none.

Decides from values, for one channel. Of every bucket of a downsampled series only the earliest lowest and the latest highest
reading are kept, so of the days that lie wholly within one bucket two matter at most, and the days' sums tell which. All others are
read as ever: days at a bucket's edge, and days whose sums may not be those of their samples. So the answer is the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from host.clock import DAY_MS

WORTH_DAYS = 2   # in buckets shorter than this no day lies wholly within one and is not needed


@dataclass(frozen=True, slots=True)
class DaySum:
    """A day's sums of one channel, in steps of its resolution."""

    day: int
    count: int
    low: int
    high: int


def worth(from_ms: int, to_ms: int, buckets: int) -> bool:
    """Whether days could be passed over at all."""
    return to_ms - from_ms >= WORTH_DAYS * DAY_MS * buckets


def passed_over(sums: Sequence[DaySum], from_ms: int, to_ms: int, buckets: int, max_points: int) -> Collection[int]:
    """The days that need not be read.

    Args:
        sums: of those days whose sums are right, ascending.
        buckets: of the window, as Extremes cuts it.
        max_points: a series of no more readings is given whole, so nothing is passed over.
    """
    inside = [one for one in sums if from_ms <= one.day * DAY_MS and (one.day + 1) * DAY_MS - 1 <= to_ms]
    if sum(one.count for one in inside) <= max_points:
        return ()
    span_ms = to_ms - from_ms + 1
    of_bucket: dict[int, list[DaySum]] = {}
    for one in inside:
        first, last = ((at - from_ms) * buckets // span_ms for at in (one.day * DAY_MS, (one.day + 1) * DAY_MS - 1))
        if first == last:
            of_bucket.setdefault(first, []).append(one)
    left: set[int] = set()
    for some in of_bucket.values():
        lowest, highest = min(one.low for one in some), max(one.high for one in some)
        earliest = next(one.day for one in some if one.low == lowest)
        latest = next(one.day for one in reversed(some) if one.high == highest)
        left |= {one.day for one in some} - {earliest, latest}
    return left
