"""From what a driver reads to steps of a channel's resolution: exactly, rounded to the nearest, and only what can be true.

Decides no calibration beyond a gain and an offset: those say what a voltage or a register means, a channel's filters what is wrong
with it. scaling.py makes scales out of a configuration's texts.
"""

from node.errors import SensorError

MAX_STEPS = (1 << 31) - 1   # readings are signed 32-bit counts of a channel's resolution
MAX_FLOAT = 3e38            # just below the largest in single precision; NaN and infinity are beyond any limit


class Scale:
    """Steps of one channel = (value * gain + offset) / divisor.

    Args:
        low, high: steps, or None.
    """

    def __init__(self, gain: int, offset: int, divisor: int, low: "int | None", high: "int | None") -> None:
        self._gain, self._offset, self._divisor, self._low, self._high = gain, offset, divisor, low, high

    def steps(self, value: "int | float | None") -> int | None:
        """The nearest whole number of steps; None of None.

        Raises:
            SensorError: `sensor.range`: beyond the limits, or what no reading can hold.
        """
        if value is None:
            return None
        offset, divisor = self._offset, self._divisor
        if isinstance(value, float):
            if not -MAX_FLOAT < value < MAX_FLOAT:
                raise SensorError("sensor.range", "got %s" % value)
            while value != int(value):   # a float is a whole number over a power of two
                value, offset, divisor = value * 2, offset * 2, divisor * 2
            value = int(value)
        steps = (2 * (value * self._gain + offset) + divisor) // (2 * divisor)
        if (abs(steps) > MAX_STEPS or (self._low is not None and steps < self._low)
                or (self._high is not None and steps > self._high)):
            raise SensorError("sensor.range", "got %d steps" % steps)
        return steps

    def whole(self, value: int, rest: int) -> tuple[int, int]:
        """The whole steps in a count, and what is left over for the next one; the offset is left out."""
        return divmod(value * self._gain + rest, self._divisor)
