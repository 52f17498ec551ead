"""The server's rows of a simulated rollout, in memory: attempts, failures, and the counts that `ota.store` would make of them.

Keeps and counts; `ota.rules` decides, `rollout` asks them.
"""

import numpy as np

from host.sim.rollout_fleet import Fleet
from ota.rules.values import Attempt, AttemptState, Counts, Failures, Presence, Rollout
from ota.server.survey import QUIET

TRIAL, CONFIRMED = AttemptState.TRIAL, AttemptState.CONFIRMED


class Rows:
    """Attempts and failures by device, whose number is its place in the fleet's columns.

    Attributes:
        attempts: all but those that have confirmed; of these only the time is kept.
        is_touched: a byte a device that has an attempt. number: attempts by state.
        bad_links: of them, that run the release. dead: devices that died untouched.
        population: devices that the rollout is about.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.attempts: dict[int, Attempt] = {}
        self.failures: dict[int, Failures] = {}
        self.confirmed_s = np.full(len(fleet.names), np.inf)
        self.is_touched = bytearray(len(fleet.names))
        self.touched = np.frombuffer(self.is_touched, bool)   # the same bytes
        self.number = dict.fromkeys(AttemptState, 0)
        self.bad_links = self.dead = 0
        self.population = int((fleet.wakes_s == 0).sum())

    @property
    def here(self) -> int:
        """Devices that run the release."""
        return self.number[TRIAL] + self.number[CONFIRMED]

    def put(self, who: int, attempt: Attempt) -> None:
        """Keep an attempt, and the numbers by state."""
        before, state = self.attempts.pop(who, None), attempt.state
        was = before.state if before is not None else CONFIRMED if self.is_touched[who] else None
        if was is not None:
            self.number[was] -= 1
        self.number[state] += 1
        if who in self._fleet.bad_links:
            self.bad_links += (state is TRIAL or state is CONFIRMED) - (was is TRIAL or was is CONFIRMED)
        self.is_touched[who] = 1
        if state is CONFIRMED:
            self.confirmed_s[who] = attempt.confirmed_s
        else:
            self.attempts[who] = attempt
            if was is CONFIRMED:
                self.confirmed_s[who] = np.inf

    def counts(self, rollout: Rollout, need: int, period_s: int, now_s: float) -> Counts:
        """As `ota.store.attempts.count`; a device is heard at latest one period after its soak."""
        number, fleet = self.number, self._fleet
        soak_s = rollout.policy.soak_s[rollout.stage]
        confirmed = number[CONFIRMED]
        soaked = soaking = waiting = 0
        if now_s >= rollout.stage_since_s + soak_s:
            soaked = int(np.count_nonzero(self.confirmed_s <= now_s - soak_s - period_s))
        if rollout.is_last:
            soaking = confirmed - min(confirmed, soaked)
            if not soaking:
                waiting = int((~self.touched & (fleet.wakes_s <= now_s) & (fleet.dies_s > now_s - rollout.policy.lease_s)).sum())
        return Counts(
            open=number[AttemptState.OFFERED] + number[TRIAL], confirmed=confirmed,
            soaked=soaked if rollout.is_last else min(need, soaked), failed=number[AttemptState.FAILED],
            lost=number[AttemptState.LOST], soaking=soaking, waiting=waiting)

    def presence(self, lease_s: float, now_s: float) -> Presence:
        """As `ota.server.survey.measured`; only those that have died are silent."""
        dying = self._fleet.dying
        dies_s, touched = self._fleet.dies_s[dying], self.touched[dying]
        missing = dies_s <= now_s - QUIET * lease_s
        here = self.here + self.number[AttemptState.LOST]
        rest = max(0, self.population - here)
        return Presence(
            here=here, here_heard=here - int((missing & touched).sum()), rest=rest,
            rest_heard=max(0, rest - int((missing & ~touched).sum())),
            rest_silent=int(((dies_s <= now_s - lease_s) & ~touched).sum()), fleet=self.population)
