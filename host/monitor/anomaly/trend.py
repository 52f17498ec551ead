"""When a slowly changing channel will reach a limit, as an interval.

Decides a robust line through the past (Theil-Sen: the median of the slopes of all pairs of blocks) and how sure it is. Readings
are averaged in at most BLOCKS blocks first, whole days where there are enough, so that the time of day drops out. What is left
beside the line hangs together in time, which makes a slope less sure than its scatter says: the interval comes from a bootstrap of
lines with noise of the same first-order autocorrelation, its estimate corrected for its bias in short series (Kendall, 1954).
"No trend", "not in sight" and "reached" are answers. Assumes that what went on goes on: it knows no load and no repair.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.monitor.anomaly.tuning import DAY_MS

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

BLOCKS = 60
LEAST_BLOCKS = 8
LEAST_DAYS = 10          # from so many days on, blocks are whole days
DRAWS = 400
MOST_RHO = 0.95
SIGHT = 10.0             # times the length of the past: beyond it nothing is foretold

UNKNOWN, REACHED, NO_TREND, NOT_IN_SIGHT, REACHES = "unknown", "reached", "no_trend", "not_in_sight", "reaches"


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a limit is reached.

    Attributes:
        answer: UNKNOWN (too little past), REACHED, NO_TREND (or away from the limit), NOT_IN_SIGHT, REACHES.
        level: of the line now. slope_per_day, low_per_day, high_per_day: of the line and its interval.
        from_ms, to_ms, middle_ms: when the limit is reached, Unix ms; to_ms None: the line may never reach it.
        confidence: share of such intervals that hold the truth, as far as the assumptions do.
    """

    answer: str
    limit: float
    level: float = float("nan")
    slope_per_day: float = float("nan")
    low_per_day: float = float("nan")
    high_per_day: float = float("nan")
    from_ms: int | None = None
    middle_ms: int | None = None
    to_ms: int | None = None
    confidence: float = 0.9
    blocks: int = 0


def forecast(times: Times, values: Floats, limit: float, now_ms: int, *, confidence: float = 0.9, seed: int = 0) -> Forecast:
    """Foretell when a channel reaches a limit.

    Args:
        times: Unix ms, in any order. values: not finite ones are left out.
        seed: of the bootstrap's draws; the same input gives the same answer.
    """
    at, means = blocks_of(times, values)
    if len(at) < LEAST_BLOCKS:
        return Forecast(UNKNOWN, limit, confidence=confidence, blocks=len(at))
    days = (at - now_ms) / DAY_MS
    slope, level = line(days, means[None, :])
    draws = _again(days, means, float(slope[0]), float(level[0]), np.random.default_rng(seed))
    slopes, levels = line(days, draws)
    tail = (1 - confidence) / 2
    low, high = np.quantile(slopes, [tail, 1 - tail]).tolist()
    told = Forecast(NO_TREND, limit, float(level[0]), float(slope[0]), low, high, confidence=confidence, blocks=len(at))
    return _when(told, slopes, levels, float(-days[0]), now_ms)


def blocks_of(times: Times, values: Floats) -> tuple[Floats, Floats]:
    """Means of equal blocks of time, and the middles of their times in Unix ms; the newest block ends with the newest reading."""
    use = np.isfinite(values)
    times, values = times[use], values[use]
    if not len(times):
        return np.empty(0), np.empty(0)
    first, last = int(times.min()), int(times.max())
    length = max(1, -(-(last - first + 1) // BLOCKS))
    if last - first >= LEAST_DAYS * DAY_MS:
        length = -(-length // DAY_MS) * DAY_MS
    numbers = (last - times) // length
    _, inverse, counts = np.unique(-numbers, return_inverse=True, return_counts=True)
    return np.bincount(inverse, times) / counts, np.bincount(inverse, values) / counts


def line(at: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Theil-Sen for each row: slope, and the value at time 0 (the median of what is left)."""
    later, earlier = np.triu_indices(len(at), 1)[::-1]
    slopes = np.median((rows[:, later] - rows[:, earlier]) / (at[later] - at[earlier]), axis=1)
    return slopes, np.median(rows - slopes[:, None] * at[None, :], axis=1)


def _again(at: Floats, means: Floats, slope: float, level: float, chance: np.random.Generator) -> Floats:
    """Other pasts that the same line could have had, one a row."""
    n = len(at)
    left = means - level - slope * at
    left -= left.mean()
    spread = float((left[:-1] ** 2).sum())
    rho = float((left[1:] * left[:-1]).sum()) / spread if spread else 0.0
    rho = min(MOST_RHO, max(0.0, rho + (2 + 4 * rho) / n))   # a line's two parameters cost more of it than a mean's one
    fresh = left[1:] - rho * left[:-1]
    fresh = (fresh - fresh.mean()) * np.sqrt(n / max(1, n - 3))
    drawn = chance.choice(fresh, (DRAWS, n))
    noise = np.empty_like(drawn)
    noise[:, 0] = drawn[:, 0] / np.sqrt(1 - rho * rho)
    for place in range(1, n):
        noise[:, place] = rho * noise[:, place - 1] + drawn[:, place]
    return level + slope * at + noise


def _when(told: Forecast, slopes: Floats, levels: Floats, past_days: float, now_ms: int) -> Forecast:
    limit = told.limit
    away = limit - told.level
    if away * (away + told.slope_per_day * past_days) <= 0:   # the line came from the other side
        return _with(told, REACHED)
    toward = np.sign(away)
    if toward * told.slope_per_day <= 0 or min(toward * told.low_per_day, toward * told.high_per_day) <= 0:
        return _with(told, NO_TREND)
    with np.errstate(divide="ignore", invalid="ignore"):
        days = np.where(toward * slopes > 0, (limit - levels) / slopes, np.inf)
    tail = (1 - told.confidence) / 2
    ordered = np.sort(np.maximum(days, 0.0))
    soon, late = (float(ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]) for share in (tail, 1 - tail))
    middle = away / told.slope_per_day
    answer = REACHES if middle <= SIGHT * past_days else NOT_IN_SIGHT
    return _with(told, answer, *(None if not np.isfinite(one) else now_ms + round(one * DAY_MS) for one in (soon, middle, late)))


def _with(
    told: Forecast, answer: str, from_ms: int | None = None, middle_ms: int | None = None, to_ms: int | None = None,
) -> Forecast:
    return Forecast(answer, told.limit, told.level, told.slope_per_day, told.low_per_day, told.high_per_day, from_ms, middle_ms,
                    to_ms, told.confidence, told.blocks)
