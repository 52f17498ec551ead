"""Many simulated rollouts at once: how often a good release is halted, and how many devices a bad one reaches.

Each run has its own seed, so its own fleet, luck and buckets. Says how sure a rate is: the exact interval of Clopper and Pearson
(1934), 95 %.
"""

import math
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import TypedDict

from host.sim.rollout import simulate
from host.sim.rollout_fleet import Scenario
from host.sim.rollout_outcome import Outcome

CONFIDENCE = 0.95
BISECTIONS = 60   # of an interval's end: far below what is printed


class Runs(TypedDict):
    """What many runs came to.

    `halted_pct`, `halted_between_pct`: of the runs, and the interval of that rate. `held`: runs that stood in a stage before the
    last in the end. `false_alarms`: halted with no defect. `exposed_pct`: of the devices on average over the runs;
    `exposed_over_2`: runs in which it was more than 2 %.
    """

    runs: int
    devices: int
    days: float
    seed: int
    defect_pct: float
    halted: int
    halted_pct: float
    halted_between_pct: tuple[float, float]
    false_alarms: int
    held: int
    done: int
    exposed_pct: float
    exposed_max_pct: float
    exposed_over_2: int
    days_to_done: float | None


def measure(scenario: Scenario, runs: int, processes: int, tell: Callable[[], None]) -> Runs:
    """Run a scenario with as many seeds, from its own on; `tell` is called after each."""
    found: list[Outcome] = []
    with ProcessPoolExecutor(processes) as pool:
        waiting: list[Future[Outcome]] = [
            pool.submit(simulate, replace(scenario, seed=scenario.seed + number)) for number in range(runs)]
        for each in as_completed(waiting):
            found.append(each.result())
            tell()
    halted = sum(one["halted_at_stage"] is not None for one in found)
    exposed = [one["exposed_pct"] for one in found]
    days = [one["days_to_done"] for one in found if one["days_to_done"] is not None]
    low, high = interval(halted, runs)
    return Runs(
        runs=runs, devices=scenario.devices, days=scenario.days, seed=scenario.seed, defect_pct=scenario.defect_pct, halted=halted,
        halted_pct=round(100 * halted / runs, 3), halted_between_pct=(round(100 * low, 3), round(100 * high, 3)),
        false_alarms=sum(one["false_alarm"] for one in found), held=sum(one["held_at_stage"] is not None for one in found),
        done=len(days), exposed_pct=round(sum(exposed) / runs, 3), exposed_max_pct=max(exposed),
        exposed_over_2=sum(each > 2 for each in exposed), days_to_done=round(sum(days) / len(days), 2) if days else None)


def interval(successes: int, trials: int) -> tuple[float, float]:
    """Tell between which rates the true one lies, as a share: exact, CONFIDENCE, both sides."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if successes == 0 else _solve(lambda rate: 1 - _at_most(successes - 1, trials, rate) < tail)
    high = 1.0 if successes == trials else _solve(lambda rate: _at_most(successes, trials, rate) > tail)
    return low, high


def _solve(is_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def _at_most(successes: int, trials: int, rate: float) -> float:
    """P(X <= successes) for X binomial(trials, rate), 0 < rate < 1."""
    logs = (math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * math.log(rate)
            + (trials - k) * math.log1p(-rate) for k in range(successes + 1))
    return min(1.0, math.fsum(map(math.exp, logs)))
