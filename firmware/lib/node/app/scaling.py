"""Scales out of decimal texts, as a configuration has them: exact, whatever the interpreter's floats are worth.

In memory while sources are put together, not while they are read.
"""

from node.app.scale import Scale


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


def scale_of(resolution: str, divisor: int = 1, gain: str = "1", offset: str = "0", low: "str | None" = None,
             high: "str | None" = None) -> Scale:
    """The scale of one channel: steps = (value / divisor * gain + offset) / resolution.

    Args:
        resolution, gain, offset, low, high: decimals. The offset and the limits are in the channel's unit.
        divisor: the driver's steps to a unit.
    """
    step, parts = ratio(resolution)
    (gain_up, gain_down), (offset_up, offset_down) = ratio(gain), ratio(offset)
    return Scale(gain_up * offset_down * parts, offset_up * gain_down * divisor * parts, divisor * gain_down * offset_down * step,
                 _limit(low, parts, step), _limit(high, parts, step))


def _limit(text: "str | None", parts: int, step: int) -> int | None:
    if text is None:
        return None
    up, down = ratio(text)
    return up * parts // (down * step)
