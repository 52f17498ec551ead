"""Filters that only some configurations ask for: implausible values, calibration, rate of change, moving average, heartbeat;
and alarms with a delay.

As filters.py: integers in steps of the channel's resolution, and a missing sample leaves them as they were. None from step()
refuses the value: it is missing, and no later filter sees it.
"""

from node.app.alarms import Alarm
from node.app.filters import Deadband
from node.compat import const

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.batcher import Journal
    from node.settings import Channel

MAX_STEPS = const(0x7FFFFFFF)   # what a batch can hold
BELIEVED = const(3)   # samples after which a jump is no glitch but where the value is now


class Plausible:
    """Refuses what the sensor cannot mean, in its own words, before calibration: outside lowest .. highest (None: open)."""

    def __init__(self, lowest: int | None, highest: int | None) -> None:
        self._lowest = lowest
        self._highest = highest

    def step(self, value: int) -> int | None:
        if (self._lowest is not None and value < self._lowest) or (self._highest is not None and value > self._highest):
            return None
        return value


class Calibration:
    """Adds a polynomial of the value, in the channel's unit.

    What is added is a float, of 24 bits on the chip; the value stays the integer that it is. So a correction of a hundredth of the
    value is exact to 1 in 10^9 of it. A result that no batch can hold is refused.

    Args:
        poly: coefficients, the constant first. step: the channel's resolution in its unit.
    """

    def __init__(self, poly: "tuple[float, ...]", step: float) -> None:
        self._poly = poly
        self._step = step

    def step(self, value: int) -> int | None:
        at = value * self._step
        added = 0.0
        for coefficient in reversed(self._poly):
            added = added * at + coefficient
        added /= self._step
        if not abs(added) <= MAX_STEPS:
            return None
        value += round(added)
        return value if abs(value) <= MAX_STEPS else None


class Rate:
    """Refuses a value further than `most` steps from the last that was believed, until it persists.

    It persists when BELIEVED samples in a row lie as close to each other; the last of them is believed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: int | None = None
        self._odd = 0      # the last one refused
        self._times = 0    # refused in a row, each close to the one before

    def step(self, value: int) -> int | None:
        if self._last is not None and abs(value - self._last) > self._most:
            self._times = self._times + 1 if self._times and abs(value - self._odd) <= self._most else 1
            self._odd = value
            if self._times < BELIEVED:
                return None
        self._last = value
        self._times = 0
        return value


class Average:
    """The mean of the last `size` samples; of those there are, while there are fewer."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._last: list[int] = []
        self._at = 0    # where the oldest is
        self._sum = 0   # of all, exact

    def step(self, value: int) -> int:
        last = self._last
        if len(last) < self._size:
            last.append(value)
        else:
            self._sum -= last[self._at]
            last[self._at] = value
            self._at = (self._at + 1) % self._size
        self._sum += value
        return (2 * self._sum + len(last)) // (2 * len(last))


class Heartbeat(Deadband):
    """A deadband with an exception: `most` samples after the last report, missing ones counted, any value is reported."""

    def __init__(self, width: int, most: int) -> None:
        super().__init__(width)
        self._most = most
        self._silent = 0

    def step(self, value: int | None) -> int | None:
        self._silent += 1
        if self._silent >= self._most:
            self._reported = None
        value = super().step(value)
        if value is not None:
            self._silent = 0
        return value


class DelayedAlarm(Alarm):
    """An alarm whose state changes when `delay` samples in a row ask for the same other one: as many to end it as to begin it.

    A missing sample asks for nothing and breaks no row.
    """

    def __init__(self, channel: "Channel", journal: "Journal", number: int) -> None:
        super().__init__(channel, journal, number)
        self._asked = self.state
        self._times = 0

    def settled(self, value: int) -> str:
        """The state after a sample."""
        wanted = self.wanted(value)
        if wanted != self._asked:
            self._asked = wanted
            self._times = 0
        if wanted == self.state:
            return wanted
        self._times += 1
        return self.state if self._times < self._channel.delay else wanted
