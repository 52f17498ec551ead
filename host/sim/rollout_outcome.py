"""How a simulated rollout ended, in figures; collected while it runs. Decides nothing.

Check-ins that change nothing are drawn here, second by second, as a Poisson number: phases are even over a period, and moved each
time.
"""

from typing import TypedDict

import numpy as np

from host.sim.rollout_fleet import DAY_S, Fleet, Scenario
from host.sim.rollout_rows import Rows
from ota.rules.values import AttemptState, Counts, Rollout, RolloutState


class Stage(TypedDict):
    """One stage. `curve`: confirmed devices at each look, from the stage's opening."""

    pct: float
    opened_day: float
    closed_day: float | None
    offered: int
    confirmed: int
    failed: int
    lost: int
    curve: list[int]


class Outcome(TypedDict):
    """How a rollout ended.

    `exposed_pct`: devices that were offered the release, of all. `halted_at_stage`: percentage of the stage, or None.
    `false_alarm`: halted although nothing was wrong with the release. `held_at_stage`: of one before the last in which it still
    stood in the end. `peak_checkins_per_s`, `peak_downloads_per_s`: in the fullest second; downloads count when they begin.
    """

    devices: int
    days: float
    seed: int
    defect_pct: float
    state: str
    reason: str
    exposed_pct: float
    confirmed_pct: float
    halted_at_stage: float | None
    held_at_stage: float | None
    false_alarm: bool
    days_to_halt: float | None
    days_to_done: float | None
    failed: int
    lost: int
    peak_checkins_per_s: int
    peak_downloads_per_s: int
    period_s: int
    stages: list[Stage]


class Figures:
    """What is noted on the way.

    Attributes:
        extra_s: check-ins beside a device's own clock. downloads_s: when they began.
    """

    def __init__(self) -> None:
        self.extra_s: list[float] = []
        self.downloads_s: list[float] = []
        self._stages: list[Stage] = []

    def opened(self, pct: float, now_s: float) -> None:
        """A stage begins."""
        self._stages.append(
            Stage(pct=pct, opened_day=_day(now_s), closed_day=None, offered=0, confirmed=0, failed=0, lost=0, curve=[]))

    def looked(self, offered: int, counts: Counts) -> None:
        """How the stage stands at a look."""
        stage = self._stages[-1]
        stage["offered"], stage["confirmed"] = offered, counts.confirmed
        stage["failed"], stage["lost"] = counts.failed, counts.lost
        stage["curve"].append(counts.confirmed)

    def closed(self, now_s: float) -> None:
        """The stage ends, however."""
        self._stages[-1]["closed_day"] = _day(now_s)

    def outcome(
        self, scenario: Scenario, fleet: Fleet, rows: Rows, rollout: Rollout, ended_s: float | None, period_s: int) -> Outcome:
        """Put it all together; `ended_s` None: the days were over before the rollout was."""
        halted = rollout.state is RolloutState.HALTED
        pct = rollout.policy.stages[rollout.stage]
        day = None if ended_s is None else _day(ended_s)
        return Outcome(
            devices=scenario.devices, days=scenario.days, seed=scenario.seed, defect_pct=scenario.defect_pct, state=rollout.state,
            reason=rollout.reason, exposed_pct=round(100 * rollout.offered / scenario.devices, 4),
            confirmed_pct=round(100 * rows.number[AttemptState.CONFIRMED] / scenario.devices, 3),
            halted_at_stage=pct if halted else None,
            held_at_stage=pct if rollout.state is RolloutState.RUNNING and not rollout.is_last else None,
            false_alarm=halted and not scenario.defect_pct, days_to_halt=day if halted else None,
            days_to_done=day if rollout.state is RolloutState.DONE else None, failed=rows.number[AttemptState.FAILED],
            lost=rows.number[AttemptState.LOST], peak_checkins_per_s=self._peak_checkins(fleet, scenario.days * DAY_S),
            peak_downloads_per_s=_peak(self.downloads_s), period_s=period_s, stages=self._stages)

    def _peak_checkins(self, fleet: Fleet, end_s: float) -> int:
        """Of every second of all days: the devices' own clocks, and what came beside them."""
        seconds = int(end_s) + 1
        arrivals = fleet.chance.poisson(float((1 / fleet.gap_s).sum()), seconds)
        extra = np.asarray(self.extra_s, np.int64)
        return int((arrivals + np.bincount(extra[extra < seconds], minlength=seconds)).max())


def _day(at_s: float) -> float:
    return round(at_s / DAY_S, 3)


def _peak(times_s: list[float]) -> int:
    return int(np.bincount(np.asarray(times_s, np.int64)).max()) if times_s else 0
