"""What a device measured in a window, in one pass: each channel's figures and points to plot, and when nothing came at all.

Decides what is a gap: a time without a reading of any channel that is GAP_FACTOR times as long as usual, which is the median of
the first intervals. A channel that reports only changes has pauses of its own, so gaps are the device's, not a channel's. Behind
the last reading there is none as long as the device's next batch may still be under way.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from host.store.channels import Channel
from host.store.downsample import Extremes
from host.store.queries import Queries
from host.store.readings import Readings, readings

GAP_FACTOR = 5
GAPS_KEPT = 20           # the longest ones
USUAL_INTERVALS = 4096   # that the median is taken of
PATIENCE = 2              # of the longest of the last intervals between batches


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without readings, longer than usual; from the last reading before it to the first one after it."""

    from_ms: int
    to_ms: int

    @property
    def length_ms(self) -> int:
        return self.to_ms - self.from_ms


@dataclass(slots=True)
class ChannelSummary:
    """One channel. `longest_ms` is its longest interval between two readings."""

    channel: Channel
    points: Extremes
    count: int = 0
    total: float = 0.0
    min: float = float("inf")
    max: float = float("-inf")
    min_ms: int = 0
    max_ms: int = 0
    first_ms: int = 0
    last_ms: int = 0
    last: float = 0.0
    longest_ms: int = 0

    @property
    def mean(self) -> float:
        return min(max(self.total / self.count, self.min), self.max)


@dataclass(frozen=True, slots=True)
class Summary:
    """A device in a window. `usual_ms` is the usual interval between readings, 0 when there are fewer than two."""

    channels: list[ChannelSummary]
    gaps: list[Gap]
    usual_ms: int


def summarize(queries: Queries, device: str, names: Iterable[str] | None, from_ms: int, to_ms: int, points: int) -> Summary:
    """Read [from_ms, to_ms] once.

    Args:
        points: to plot of each channel; the extremes are always among them.
    """
    found: dict[tuple[str, str], ChannelSummary] = {}
    pauses = _Pauses(from_ms)
    for some in readings(queries, device, names, from_ms, to_ms):
        pauses.add(some.t_ms)
        for channel, places in some.of_each():
            one = found.get((channel.name, channel.unit))
            if one is None:
                one = found[channel.name, channel.unit] = ChannelSummary(channel, Extremes(from_ms, to_ms, points))
            _add(one, channel, some, places)
    rank = {one.name: at for at, one in reversed(list(enumerate(queries.all_channels(device))))}
    ordered = sorted(found.values(), key=lambda one: (rank.get(one.channel.name, len(rank)), one.channel.unit))
    came = queries.arrivals(device)
    gaps, usual_ms = pauses.result(to_ms, PATIENCE * came.every_ms if to_ms > came.newest_ms else 0)
    return Summary(ordered, gaps, usual_ms)


def _add(one: ChannelSummary, channel: Channel, some: Readings, places: npt.NDArray[np.intp]) -> None:
    if channel.places > one.channel.places:
        one.channel = channel   # it has become finer: the places of the finest one show all values
    t_ms, values = some.t_ms[places], channel.scale(some.steps[places])
    low, high = int(values.argmin()), int(values.argmax())
    if values[low] < one.min:
        one.min, one.min_ms = float(values[low]), int(t_ms[low])
    if values[high] > one.max:
        one.max, one.max_ms = float(values[high]), int(t_ms[high])
    if one.count:
        one.longest_ms = max(one.longest_ms, int(t_ms[0]) - one.last_ms)
    else:
        one.first_ms = int(t_ms[0])
    one.longest_ms = max(one.longest_ms, int(np.diff(t_ms).max(initial=0)))
    one.count += len(values)
    one.total += float(values.sum())
    one.last_ms, one.last = int(t_ms[-1]), float(values[-1])
    one.points.add(t_ms, values)


@dataclass
class _Pauses:
    """The longest intervals without a reading, and what is usual."""

    from_ms: int
    _longest: list[tuple[int, int]] = field(default_factory=list)   # a heap of (length, from)
    _usual: list[int] = field(default_factory=list)
    _last_ms: int | None = None

    def add(self, t_ms: npt.NDArray[np.int64]) -> None:
        times = np.unique(t_ms)
        if self._last_ms is None:
            self._push(int(times[0]) - self.from_ms, self.from_ms)
        elif times[0] > self._last_ms:
            times = np.concatenate((np.array([self._last_ms], np.int64), times))
        lengths = np.diff(times)
        self._usual += lengths[: USUAL_INTERVALS - len(self._usual)].tolist()
        for at in np.argsort(lengths)[-GAPS_KEPT:].tolist():
            self._push(int(lengths[at]), int(times[at]))
        self._last_ms = int(times[-1])

    def result(self, to_ms: int, patience_ms: int) -> tuple[list[Gap], int]:
        if self._last_ms is None:
            return [Gap(self.from_ms, to_ms)], 0
        if to_ms - self._last_ms > patience_ms:
            self._push(to_ms - self._last_ms, self._last_ms)
        usual_ms = int(np.median(self._usual)) if self._usual else 0
        limit_ms = max(1, GAP_FACTOR * usual_ms)
        found = sorted((start, start + length_ms) for length_ms, start in self._longest if length_ms > limit_ms)
        return [Gap(*each) for each in found], usual_ms

    def _push(self, length_ms: int, from_ms: int) -> None:
        heapq.heappush(self._longest, (length_ms, from_ms))
        if len(self._longest) > GAPS_KEPT:
            heapq.heappop(self._longest)
