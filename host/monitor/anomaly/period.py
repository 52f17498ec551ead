"""Whether a channel repeats itself with the machine's own cycle, and how long that cycle is.

Decides from one stretch of readings: the period is the first high peak of their autocorrelation, measured over as many cycles as
there are, and it counts only when the first half of the stretch, folded by it, foretells the second half. A day is no cycle of a
machine: the stretch is some thousand readings at most, and periods are a small part of it. Keeps nothing.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from host.monitor.anomaly.slots import Times, Values

LEAST_READINGS = 8       # of a cycle
LEAST_CYCLES = 6         # of a stretch
NEAR_HIGHEST = 0.85      # of the highest peak: the first one so high is the period, later ones are its multiples
TOLD = 0.5               # share of what moves within a cycle that the past must foretell
MOST_PARTS = 64           # of a folded cycle
WHOLE = 1.0              # readings; a period that is so near a whole number of them, over all its multiples, is one
MOST_MISSING = 0.2       # of the stretch's readings

Floats = npt.NDArray[np.float64]


class Period(NamedTuple):
    """A cycle: its length, and in how many equal parts it is folded."""

    ms: float
    parts: int


def period_of(times: Times, values: Values) -> Period | None:
    """The period of readings in the order of time; None when they have none."""
    if len(times) < LEAST_READINGS * LEAST_CYCLES:
        return None
    step = float(np.median(np.diff(times)))
    if step <= 0 or (times[-1] - times[0]) / step > len(times) / (1 - MOST_MISSING):
        return None
    grid = np.arange(times[0], times[-1] + 1, step, dtype=np.float64)
    series = np.interp(grid, times, values)
    at = np.arange(len(series)) - (len(series) - 1) / 2
    series -= series.mean()
    series -= at * float(series @ at) / float(at @ at)
    most = float(np.abs(series).max())
    if not 0 < most < np.inf:
        return None
    series /= most
    lag = _lag(series)
    if lag is None:
        return None
    parts = max(1, round(lag / -(-lag // MOST_PARTS)))   # whole readings in each, or their edges would cut the same reading twice
    return Period(lag * step, parts) if _told(series, lag, parts) >= TOLD else None


def _lag(series: Floats) -> float | None:
    """The period in steps, by the first high peak of the autocorrelation and then by its multiples."""
    n, most = len(series), len(series) // LEAST_CYCLES
    power = np.abs(np.fft.rfft(series, 2 * n)) ** 2
    around = np.fft.irfft(power)[:n // 2 + 1]
    around = around / (n - np.arange(len(around)))
    lags = np.arange(1, most)
    peaks = lags[(around[lags] >= around[lags - 1]) & (around[lags] > around[lags + 1]) & (lags >= LEAST_READINGS)]
    if not len(peaks) or around[peaks].max() <= 0:
        return None
    lag = float(peaks[around[peaks] >= NEAR_HIGHEST * around[peaks].max()][0])
    times = 1
    while 2 * times * lag + lag / 4 < len(around) - 1:
        times *= 2
        first, last = round(times * lag - lag / 4), round(times * lag + lag / 4)
        top = first + int(np.argmax(around[first:last + 1]))
        if not first < top < last:
            return lag
        left, middle, right = around[top - 1:top + 2]
        lag = (top + 0.5 * float((left - right) / (left - 2 * middle + right))) / times
    whole = round(lag)
    return float(whole) if abs(lag - whole) * times <= WHOLE else lag


def _told(series: Floats, lag: float, parts: int) -> float:
    """Share of the second half's movement within its cycles that the first half, folded, foretells."""
    at = np.arange(len(series))
    cycle, part = (at // lag).astype(np.int64), np.minimum((at % lag * parts / lag).astype(np.int64), parts - 1)
    off = series - (np.bincount(cycle, series) / np.maximum(1, np.bincount(cycle)))[cycle]
    early = at < len(series) // 2
    usual = np.bincount(part[early], off[early], parts) / np.maximum(1, np.bincount(part[early], minlength=parts))
    moved = float((off[~early] ** 2).sum())
    return 1 - float(((off[~early] - usual[part[~early]]) ** 2).sum()) / moved if moved > 0 else 0.0
