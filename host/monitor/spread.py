"""Quantiles of times and an interval of a rate: what is said of a number that few events stand behind.

Decides from numbers alone. The interval is for comparing releases by eye; whether one is worse is the gate's to say.
"""

import math
from collections.abc import Sequence

Z95 = 1.959964          # standard normal quantile, 97.5 %
RULE_OF_THREE = 3.688879   # exact upper end, 97.5 %, of a Poisson mean when nothing happened: -ln 0.025


def quantile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank quantile: a value that was measured; None when there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rate(events: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Events per unit of exposure over devices, with a 95 % interval; None without exposure.

    Poisson by Byar's approximation (Breslow and Day 1987, vol. II, 2.3), widened by how much more than Poisson the devices differ
    (Pearson's dispersion, at least 1): a fleet's drops come from few devices, and counting them as one would promise too much.

    Args:
        events: (count, exposure) of each device.

    Returns:
        (rate, low, high).
    """
    total, exposure = sum(count for count, _ in events), sum(each for _, each in events)
    if exposure <= 0:
        return None
    mean = total / exposure
    if total <= 0:
        return 0.0, 0.0, RULE_OF_THREE / exposure
    wide = Z95 * math.sqrt(_dispersion(events, mean))
    low = total * max(0.0, 1 - 1 / (9 * total) - wide / (3 * math.sqrt(total))) ** 3
    above = total + 1
    high = above * (1 - 1 / (9 * above) + wide / (3 * math.sqrt(above))) ** 3
    return mean, low / exposure, high / exposure


def _dispersion(events: Sequence[tuple[float, float]], mean: float) -> float:
    seen = [(count, exposure) for count, exposure in events if exposure > 0]
    if len(seen) < 2:
        return 1.0
    chi = sum((count - mean * exposure) ** 2 / (mean * exposure) for count, exposure in seen)
    return max(1.0, chi / (len(seen) - 1))
