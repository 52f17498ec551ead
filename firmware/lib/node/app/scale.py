"""From what a driver reads to steps of a channel's resolution: exactly, rounded to the nearest, and only what can be true.

Decides no calibration beyond a gain and an offset: those say what a voltage or a register means, a channel's filters what is wrong
with it.
"""

from node.errors import SensorError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Iterable, Sequence

MAX_STEPS = (1 << 31) - 1   # readings are signed 32-bit counts of a channel's resolution
MAX_FLOAT = 3e38            # just below the largest in single precision; NaN and infinity are beyond any limit


def ratio(text: "str | int") -> tuple[int, int]:
    """A decimal such as "0.01", "-40" or "1e-3" as numerator and denominator.

    Raises:
        ValueError: it is none.
    """
    mantissa, mark, exponent = str(text).lower().partition("e")
    whole, _, part = mantissa.partition(".")
    power = (int(exponent) if mark else 0) - len(part)
    if abs(power) > 12:   # no unit needs more, and nobody has to wait for 10 ** 999999999
        raise ValueError(text)
    return int(whole + part) * 10 ** max(power, 0), 10 ** max(-power, 0)


class Scale:
    """Steps of one channel = (value / divisor * gain + offset) / resolution.

    Args:
        resolution, gain, offset, low, high: decimals. The offset and the limits are in the channel's unit.
        divisor: the driver's steps to a unit.
    """

    def __init__(self, resolution: str, divisor: int = 1, gain: str = "1", offset: str = "0", low: "str | None" = None,
                 high: "str | None" = None) -> None:
        step, parts = ratio(resolution)
        (gain_up, gain_down), (offset_up, offset_down) = ratio(gain), ratio(offset)
        self._gain = gain_up * offset_down * parts
        self._offset = offset_up * gain_down * divisor * parts
        self._divisor = divisor * gain_down * offset_down * step
        self._low, self._high = (_limit(text, parts, step) for text in (low, high))

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


def _limit(text: "str | None", parts: int, step: int) -> int | None:
    if text is None:
        return None
    up, down = ratio(text)
    return up * parts // (down * step)


def row(values: "Sequence[int | float | None]", picks: "Iterable[tuple[int, Scale]]") -> list[int | None]:
    """Some values in steps; None for one that is refused.

    Args:
        picks: (place of the value, scale) of each.

    Raises:
        SensorError: why the last one was refused, when nothing else is left.
    """
    found: list[int | None] = []
    fault = None
    for place, scale in picks:
        try:
            found.append(scale.steps(values[place]))
        except SensorError as error:
            found.append(None)
            fault = error
    if fault and all(value is None for value in found):
        raise fault
    return found
