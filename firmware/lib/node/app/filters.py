"""Filters of one channel: median against spikes, exponential average against noise, deadband against repetition; edge.py has more.

Integers in, integers out, in steps of the channel's resolution. A missing sample (None) passes through as missing and leaves
the filters as they were: nothing here ever repeats the last value in place of a reading that was not taken.
"""

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.alarms import Alarm
    from node.hints import Protocol

    class Stage(Protocol):
        """One filter; None from step(): the value is refused, and missing for those that follow."""

        def step(self, value: int) -> int | None:
            ...

    Filters = tuple[tuple[Stage, ...], "Deadband | None", "Alarm | None"]   # of a channel, in that order

_SCALE = 256   # the average keeps 8 bits below a step, so that a slow change is not lost to rounding


class Median:
    """The median of the last `size` samples (odd); of those there are, while there are fewer."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._last: list[int] = []

    def step(self, value: int) -> int:
        self._last.append(value)
        if len(self._last) > self._size:
            self._last.pop(0)
        return sorted(self._last)[(len(self._last) - 1) // 2]


class Ema:
    """Exponential moving average; `pct` is the newest sample's weight in percent. Starts at the first sample."""

    def __init__(self, pct: int) -> None:
        self._pct = pct
        self._scaled: int | None = None

    def step(self, value: int) -> int:
        target = value * _SCALE
        if self._scaled is None:
            self._scaled = target
        else:
            self._scaled += (target - self._scaled) * self._pct // 100
        return (self._scaled + _SCALE // 2) // _SCALE


class Deadband:
    """Reports a value only when it lies `width` steps or more from the last one reported."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._reported: int | None = None

    def step(self, value: int | None) -> int | None:
        if value is None or (self._reported is not None and abs(value - self._reported) < self._width):
            return None
        self._reported = value
        return value
