"""When a slowly changing channel will reach a limit, as an interval.

Decides a robust line through the past (Theil-Sen: the median of the slopes of all pairs of blocks) and how sure it is. Readings
are averaged in at most BLOCKS blocks first, whole days where there are enough, so that the time of day drops out. What is left
beside the line hangs together in time, which makes a slope less sure than its scatter says: the interval comes from a bootstrap of
lines with noise of the same first-order autocorrelation, its estimate corrected for its bias in short series (Kendall, 1954).
A past that bends more than its noise explains is foretold both ways, straight on and bending on, and the interval spans both.
It also spans what a backtest gives: lines through half of the past are asked for its rest, and how wrong their slopes were, either
way, is how wrong this one may be. Where that is more than the slope itself the interval has no end: "in 9 days or later".
"No trend", "not in sight" and "reached" are answers. Assumes that what went on goes on: it knows no load and no repair.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from host.clock import DAY_MS

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

BLOCKS = 60
LEAST_BLOCKS = 8
LEAST_TO_BEND = 12       # blocks
BEND_SURE = 0.7          # share of straight pasts that are not taken for bent: a bend that is missed costs more than one too many
BACKTEST_SHARE = 0.5     # of the past's blocks that a line is drawn through when the past is foretold from within
BACKTEST_AHEAD = 0.9     # of that length; nearer than this a block's own noise is most of the error
LEAST_DAYS = 10          # from so many days on, blocks are whole days
DRAWS = 400
MOST_RHO = 0.95
STUDENT = 0.93           # (z² + 1) / 4 at z = 1.645: how much wider Student's t is than the normal, times the degrees of freedom
SIGHT = 10.0             # times the length of the past: beyond it nothing is foretold

UNKNOWN, REACHED, NO_TREND, NOT_IN_SIGHT, REACHES = "unknown", "reached", "no_trend", "not_in_sight", "reaches"


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a limit is reached.

    Attributes:
        answer: UNKNOWN (too little past), REACHED, NO_TREND (or away from the limit), NOT_IN_SIGHT, REACHES.
        level: of the line now. slope_per_day, low_per_day, high_per_day: of the line and its interval.
        from_ms, to_ms, middle_ms: when the limit is reached, Unix ms; to_ms None: the line may never reach it.
        bends: its later half has another slope than its earlier one; the interval then spans from going on straight, as the
            whole or as the later half, to bending on.
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
    bends: bool = False


@dataclass(frozen=True, slots=True)
class _Past:
    """A line (slope a day, level now), and those of other pasts that it could have had."""

    slope: float
    level: float
    slopes: Floats
    levels: Floats


def forecast(times: Times, values: Floats, limit: float, now_ms: int, *, confidence: float = 0.9, seed: int = 0) -> Forecast:
    """Foretell when a channel reaches a limit.

    Args:
        times: Unix ms, in any order. values: not finite ones are left out.
        seed: of the bootstrap's draws; the same input gives the same answer.
    """
    at, means = blocks_of(times, values)
    if len(at) < LEAST_BLOCKS:
        return Forecast(UNKNOWN, limit, confidence=confidence, blocks=len(at))
    days, chance = (at - now_ms) / DAY_MS, np.random.default_rng(seed)
    bend = _bend(days, means, chance) if len(at) >= LEAST_TO_BEND else None
    past = _draw(days, means, chance)
    ways = [(past.levels, past.slopes, np.zeros(DRAWS))]
    if bend is not None:
        late = days[len(at) // 2:]
        past = _draw(late, means[len(at) // 2:], chance)   # what counts is how it goes now
        long, back = float(late[-1] - late[0]), float(-np.median(late))
        ways += [(past.levels, past.slopes, np.zeros(DRAWS)),
                 (past.levels + bend * long ** 2 / 12, past.slopes + bend * back, bend)]   # a line lags behind a bend's end
    ways.append((past.levels, past.slope + chance.choice(_errors(days, means), DRAWS), np.zeros(DRAWS)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(past.slopes, [tail, 1 - tail]).tolist()
    told = Forecast(NO_TREND, limit, past.level, past.slope, low, high, confidence=confidence, blocks=len(at),
                    bends=bend is not None)
    return _when(told, [_crossing(limit - levels, slopes, bends) for levels, slopes, bends in ways], float(-days[0]), now_ms)


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


def _draw(at: Floats, means: Floats, chance: np.random.Generator) -> _Past:
    """The line, and the lines of other pasts that the same line could have had."""
    slopes, levels = line(at, means[None, :])
    straight = levels[0] + slopes[0] * at
    return _Past(float(slopes[0]), float(levels[0]), *line(at, straight + _noise(means - straight, 2, chance)))


def _noise(left: Floats, told: int, chance: np.random.Generator) -> Floats:
    """Noise as what is left beside a line is, one draw a row; `told` numbers were fitted to find it."""
    n = len(left)
    left = left - left.mean()
    spread = float((left[:-1] ** 2).sum())
    rho = float((left[1:] * left[:-1]).sum()) / spread if spread else 0.0
    rho = min(MOST_RHO, max(0.0, rho + (told + 2 * told * rho) / n))   # each number that is fitted takes some of it away
    fresh = left[1:] - rho * left[:-1]
    free = max(2.0, n * (1 - rho) / (1 + rho) - told)   # as many independent blocks say as much
    fresh = (fresh - fresh.mean()) * np.sqrt(n / max(1, n - 1 - told)) * (1 + STUDENT / free)
    drawn = chance.choice(fresh, (DRAWS, n))
    noise = np.empty_like(drawn)
    noise[:, 0] = drawn[:, 0] / np.sqrt(1 - rho * rho)
    for place in range(1, n):
        noise[:, place] = rho * noise[:, place - 1] + drawn[:, place]
    return noise


def _bend(at: Floats, means: Floats, chance: np.random.Generator) -> Floats | None:
    """By how much the slope changes in a day, for each draw; None when it does not change more than noise makes it.

    The noise is what is left beside a line for each half: beside one line, a bend would look like noise that hangs together.
    """
    half = len(at) // 2
    between = float(np.median(at[half:]) - np.median(at[:half]))
    left = np.empty_like(means)
    slopes = []
    for part in (slice(None, half), slice(half, None)):
        slope, level = line(at[part], means[None, part])
        left[part] = means[part] - level - slope * at[part]
        slopes.append(float(slope[0]))
    noise = _noise(left, 4, chance)
    changes = (line(at[half:], noise[:, half:])[0] - line(at[:half], noise[:, :half])[0]) / between
    change = (slopes[1] - slopes[0]) / between
    return None if abs(change) <= np.quantile(np.abs(changes), BEND_SURE) else np.asarray(change + changes, np.float64)


def _errors(days: Floats, means: Floats) -> Floats:
    """By how much a day the lines of half the past were wrong about what came after them, either way: a backtest from within."""
    n = len(days)
    length = max(LEAST_BLOCKS // 2, int(n * BACKTEST_SHARE))
    errors = []
    for end in range(length, n):
        at, ahead = days[end - length:end] - days[end - 1], days[end:] - days[end - 1]
        slope, level = line(at, means[None, end - length:end])
        far = ahead >= BACKTEST_AHEAD * -at[0]
        errors.append(((means[end:] - level - slope * ahead) / ahead)[far])
    found = np.concatenate(errors) if errors else np.empty(0)
    return np.r_[found, -found] if len(found) else np.zeros(1)


def _when(told: Forecast, ways: list[Floats], past_days: float, now_ms: int) -> Forecast:
    """The answer, of the days until the limit in each draw of each way on."""
    away = told.limit - told.level
    if away * (away + told.slope_per_day * past_days) <= 0:   # the line came from the other side
        return replace(told, answer=REACHED)
    toward = np.sign(away)
    if min(toward * told.slope_per_day, toward * told.low_per_day, toward * told.high_per_day) <= 0:
        return told
    tail = (1 - told.confidence) / 2
    soon = min(float(np.sort(days)[round(tail * (DRAWS - 1))]) for days in ways)
    late = max(float(np.sort(days)[round((1 - tail) * (DRAWS - 1))]) for days in ways)
    middle = away / told.slope_per_day
    at_ms = [None if not np.isfinite(one) else now_ms + round(one * DAY_MS) for one in (soon, middle, late)]
    answer = REACHES if middle <= SIGHT * past_days else NOT_IN_SIGHT
    return replace(told, answer=answer, from_ms=at_ms[0], middle_ms=at_ms[1], to_ms=at_ms[2])


def _crossing(away: Floats, slopes: Floats, bends: Floats) -> Floats:
    """Days until each way covers its distance at a slope that changes by `bends` a day; infinite where it never does."""
    side = np.where(away < 0, -1.0, 1.0)
    away, slopes, bends = away * side, slopes * side, bends * side
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = slopes * slopes + 2 * bends * away
        days = 2 * away / (slopes + np.sqrt(inside))   # the nearer root, without a difference of two near numbers
    return np.asarray(np.where((inside >= 0) & np.isfinite(days) & (days >= 0), days, np.inf), np.float64)
