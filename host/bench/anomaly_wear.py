"""Made-up series with known faults, and forecasts against what then came.

Decides the made-up plant: channels with a day (weaker at weekends) and noise that hangs together in time, one fault of a known
kind and time in each; and how forecasts are asked: at regular times of a past, for a value that the line, or the recording,
reaches later. Counts how often the interval held the truth.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from host.bench.recordings import Case
from host.clock import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS
from host.monitor.anomaly.scores import DRIFT, GAP, LEVEL, SPIKE, STUCK
from host.monitor.anomaly.trend import REACHES, forecast
from host.monitor.anomaly.tuning import Tuning
from host.monitor.anomaly.watch import DeviceWatch

START_MS = 1_599_998_400_000         # a Sunday evening, UTC
SLOT_MS = 5 * MINUTE_MS
NOISE_RHO, NOISE = 0.9, 0.5          # first-order autocorrelation from slot to slot, standard deviation in units
LEARN_DAYS, JUDGE_DAYS = 28, 14      # the fault begins a day after the judged part
FAULTS_OF_A_KIND = 5
SHIFT, SPIKE_HEIGHT, DRIFT_A_DAY, LENGTH_MS = 4.0, 8.0, 0.4, DAY_MS
CONFIDENCE = 0.9
FORECASTS, PAST_DAYS, TRUE_DAYS = 300, 30, 12.0   # made-up lines; each reaches its limit in TRUE_DAYS
NORMAL = 1.645             # standard errors to each side, of 90 %
RIG_EVERY, RIG_PAST, RIG_AHEAD = 5, 15, 15        # cycles between forecasts, of their past, and ahead

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Fault = Callable[[Times, Floats, int], tuple[Times, Floats]]


def clean(chance: np.random.Generator, days: int, slot_ms: int = SLOT_MS) -> tuple[Times, Floats]:
    """A channel without a fault."""
    times = START_MS + np.arange(days * DAY_MS // slot_ms, dtype=np.int64) * slot_ms
    noise = chance.normal(0.0, NOISE, len(times))
    noise[1:] *= np.sqrt(1 - NOISE_RHO ** 2)
    for place in range(1, len(noise)):
        noise[place] += NOISE_RHO * noise[place - 1]
    weekend = (times // DAY_MS + 3) % 7 >= 5
    day = 4.0 * np.sin(2 * np.pi * (times % DAY_MS) / DAY_MS) * np.where(weekend, 0.4, 1.0)
    return times, np.round(20.0 + day + noise, 2)


def _shifted(times: Times, values: Floats, at_ms: int) -> tuple[Times, Floats]:
    return times, values + np.where(times >= at_ms, SHIFT, 0.0)


def _drifting(times: Times, values: Floats, at_ms: int) -> tuple[Times, Floats]:
    return times, values + np.maximum(0, times - at_ms) / DAY_MS * DRIFT_A_DAY


def _spiked(times: Times, values: Floats, at_ms: int) -> tuple[Times, Floats]:
    return times, values + np.where(times == at_ms, SPIKE_HEIGHT, 0.0)


def _stuck(times: Times, values: Floats, at_ms: int) -> tuple[Times, Floats]:
    held = (times >= at_ms) & (times < at_ms + LENGTH_MS)
    return times, np.where(held, values[np.argmax(held)], values)


def _silent(times: Times, values: Floats, at_ms: int) -> tuple[Times, Floats]:
    kept = (times < at_ms) | (times >= at_ms + LENGTH_MS)
    return times[kept], values[kept]


FAULTS: dict[str, Fault] = {LEVEL: _shifted, DRIFT: _drifting, SPIKE: _spiked, STUCK: _stuck, GAP: _silent}


def found_in(times: Times, values: Floats, tuning: Tuning) -> list[tuple[int, str, bool]]:
    """(found_ms, kind, held) of all findings, slot after slot as in the product."""
    watch, seen = DeviceWatch("synthetic", tuning), {}
    for day in range(int(times[0]), int(times[-1]) + 1, HOUR_MS):
        use = (times >= day) & (times < day + HOUR_MS)
        part = {"oil": (times[use], values[use])} if use.any() else {}
        for one in [*watch.take(part, day + HOUR_MS, {"oil": ("Cel", 0.01)}), *watch.tick(day + HOUR_MS)]:
            seen[one.kind, one.since_ms] = one
    return sorted((one.found_ms, one.kind, bool(one.held)) for one in seen.values())


def synthetic(weeks: int, seed: int, budget_per_week: float = 1.0) -> dict[str, object]:
    """Known faults, false alarms of clean channels, and the intervals of forecasts."""
    tuning, days = Tuning(budget_per_week=budget_per_week), LEARN_DAYS + JUDGE_DAYS
    kinds = {}
    for number, (kind, fault) in enumerate(FAULTS.items()):
        delays = []
        for again in range(FAULTS_OF_A_KIND):
            times, values = clean(np.random.default_rng([seed, number, again]), days)
            at_ms = START_MS + (LEARN_DAYS + 1) * DAY_MS + again * 5 * HOUR_MS
            found = [at for at, _, held in found_in(*fault(times, values, at_ms), tuning) if at > at_ms and not held]
            if found:
                delays.append((found[0] - at_ms) / 1000)
        kinds[kind] = {"found": len(delays), "of": FAULTS_OF_A_KIND,
                       "delay_s": sorted(delays)[len(delays) // 2] if delays else None}
    false, runs = 0, -(-weeks * 7 // JUDGE_DAYS)
    for again in range(runs):
        calm = found_in(*clean(np.random.default_rng([seed, 99, again]), days), tuning)
        false += sum(at >= START_MS + LEARN_DAYS * DAY_MS and not held for at, _, held in calm)
    judged = runs * JUDGE_DAYS * DAY_MS / WEEK_MS
    return {"recording": "synthetic", "kinds": kinds, "false_alarms": false, "device_weeks": judged,
            "false_alarms_per_week": false / judged, "budget_per_week": tuning.budget_per_week,
            "forecasts": [on_lines(rho, seed) for rho in (0.0, 0.5, 0.8)]}


def on_lines(rho: float, seed: int, lines: int = FORECASTS) -> dict[str, object]:
    """Forecasts of lines with noise whose autocorrelation from day to day is `rho`."""
    held = foretold = 0
    for number in range(lines):
        chance = np.random.default_rng([seed, number, round(100 * rho)])
        noise = chance.normal(0.0, 1.0, PAST_DAYS)
        for place in range(1, PAST_DAYS):
            noise[place] = rho * noise[place - 1] + np.sqrt(1 - rho * rho) * noise[place]
        at = np.arange(1 - PAST_DAYS, 1)
        times = START_MS + at.astype(np.int64) * DAY_MS
        told = forecast(times, 60.0 + 0.5 * at + noise, 60.0 + 0.5 * TRUE_DAYS, START_MS, confidence=CONFIDENCE)
        if told.answer == REACHES and told.from_ms is not None:
            foretold += 1
            truth = START_MS + TRUE_DAYS * DAY_MS
            held += told.from_ms <= truth and (told.to_ms is None or truth <= told.to_ms)
    return {"what": f"made-up lines, noise with autocorrelation {rho:g}", "asked": lines, "foretold": foretold, "held": held,
            "confidence": CONFIDENCE}


def on_recording(case: Case) -> list[dict[str, object]]:
    """Forecasts on the rig's channels while they move after a change of condition; what they reached is in the recording."""
    if not case.limiter_off:
        return []
    start = max((one.from_ms for one in case.faults if one.what == "cooler"), default=case.end_ms)
    curves = {}
    for name, one in case.channels.items():
        cycles = one.times // MINUTE_MS
        curves[name] = np.array([one.values[cycles == number].mean() for number in np.unique(cycles[cycles * MINUTE_MS >= start])])
    return [on_curves(curves, "after the cooler's change")]


def on_curves(curves: Mapping[str, Floats], what: str) -> dict[str, object]:
    """Ask for the value of RIG_AHEAD cycles later, from the RIG_PAST before; a cycle is a minute.

    Scores are interval scores (Gneiting and Raftery, 2007) of the speed, RIG_AHEAD cycles over the time until the limit: an
    interval without an end reaches to 0. The naive one is a line from the first to the last cycle, its interval from its steps.
    """
    asked = 0
    ours: list[tuple[float, float, float]] = []   # truth, from and to, as speeds
    naive: list[tuple[float, float, float]] = []
    widths = []
    for means in curves.values():
        for place in range(RIG_PAST, len(means) - RIG_AHEAD, RIG_EVERY):
            past, ahead, limit = means[place - RIG_PAST:place], means[place:place + RIG_AHEAD + 1], float(means[place + RIG_AHEAD])
            told = forecast((np.arange(RIG_PAST) - RIG_PAST) * MINUTE_MS, past, limit, 0, confidence=CONFIDENCE)
            asked += 1
            if told.answer != REACHES or told.from_ms is None:
                continue
            truth = int(np.argmax(ahead >= limit if told.level < limit else ahead <= limit)) * MINUTE_MS
            speed = RIG_AHEAD * MINUTE_MS / max(truth, MINUTE_MS / 2)
            ours.append((speed, 0.0 if told.to_ms is None else RIG_AHEAD * MINUTE_MS / max(told.to_ms, 1),
                         RIG_AHEAD * MINUTE_MS / max(told.from_ms, MINUTE_MS / 2)))
            if told.to_ms is not None:
                widths.append((told.to_ms - told.from_ms) / MINUTE_MS)
            steps = np.diff(past)
            error = NORMAL * float(steps.std(ddof=1)) * math.sqrt(1 / len(steps) + 1 / RIG_AHEAD)
            away = limit - float(past[-1])
            low, high = sorted(RIG_AHEAD * (float(steps.mean()) + off) / away for off in (-error, error)) if away else (0.0, 0.0)
            naive.append((speed, max(0.0, low), max(0.0, high)))
    return {"what": what, "asked": asked, "foretold": len(ours), "held": _held(ours), "confidence": CONFIDENCE,
            "without_end": sum(low == 0 for _, low, _ in ours), "median_width_cycles": float(np.median(widths)) if widths else None,
            "score": _score(ours), "naive_held": _held(naive), "naive_score": _score(naive)}


def _held(told: list[tuple[float, float, float]]) -> int:
    return sum(low <= truth <= high for truth, low, high in told)


def _score(told: list[tuple[float, float, float]]) -> float | None:
    """The mean interval score; less is better."""
    cost = 2 / (1 - CONFIDENCE)
    return float(np.mean([high - low + cost * (max(0.0, low - truth) + max(0.0, truth - high)) for truth, low, high in told])) if (
        told) else None
