"""How unusual one channel is, slot by slot, in five ways; a sixth, of machines with a cycle, is cycle.py's.

Decides the scores and what they are made of; each is 0 where all is as usual. What score is too high is decided in channel.py.

| kind  | score |
|-------|-------|
| level | sigmas from what is usual at this hour, the lesser of two slots in a row on one side |
| drift | two-sided CUSUM of the sigmas: sum of what is beyond half a sigma, each slot counting 3 at most |
| spike | sigmas of a slot's extreme from its centre, beyond the usual; or of a slot from both its neighbours |
| stuck | ln(1 + slots without a change of the value) |
| gap   | ln(1 + slots without a reading) |
| shape | sigmas of the part of the cycle that is farthest off; see cycle.py |
"""

import math
from dataclasses import dataclass, field

from host.monitor.anomaly.baseline import CUT_SIGMAS, Baseline, Scale
from host.monitor.anomaly.slots import Slot
from host.monitor.anomaly.tuning import Tuning

LEVEL, DRIFT, SPIKE, STUCK, GAP, SHAPE = "level", "drift", "spike", "stuck", "gap", "shape"
KINDS = (LEVEL, DRIFT, SPIKE, STUCK, GAP, SHAPE)
ALLOWANCE_SIGMAS = 0.5    # of CUSUM: a mean that is off by less does not add up (half of the least shift looked for: 1 sigma)
MOST_SPACINGS = 100       # that the usual distance remembers
NEAR_SLOTS = 16           # whose mean is the new level, when one that stayed is taken for usual
LATE_SPACINGS = 1.5       # a slot that comes later than this follows nothing


@dataclass(frozen=True, slots=True)
class Score:
    """One kind's score of one slot, and how it is told.

    Attributes:
        value, expected: in the channel's unit; of stuck and gap, seconds.
        sigmas: how far, in robust standard deviations; of stuck and gap, how many slots.
        since_ms: when what is scored began.
        part: of shape, where in the cycle.
    """

    kind: str
    score: float
    value: float
    expected: float
    sigmas: float
    since_ms: int
    part: str = ""


@dataclass(slots=True)
class Cusum:
    """One side of the sum; `off` and `slots` are the mean distance since it left 0."""

    total: float = 0.0
    off: float = 0.0
    sigmas: float = 0.0
    slots: int = 0
    since_ms: int = 0

    def step(self, sigmas: float, off: float, at_ms: int) -> None:
        self.total = max(0.0, self.total + min(sigmas, CUT_SIGMAS) - ALLOWANCE_SIGMAS)
        if not self.total:
            self.off, self.sigmas, self.slots = 0.0, 0.0, 0
            return
        if not self.slots:
            self.since_ms = at_ms
        self.off, self.sigmas, self.slots = self.off + off, self.sigmas + sigmas, self.slots + 1


@dataclass(slots=True)
class Scores:
    """What a channel's scores remember; with the baseline, all of its memory."""

    baseline: Baseline = field(default_factory=Baseline)
    up: Cusum = field(default_factory=Cusum)
    down: Cusum = field(default_factory=Cusum)
    reach: float = 0.0                                # usual distance of a slot's extreme from its centre
    reach_scale: Scale = field(default_factory=Scale)
    jump_scale: Scale = field(default_factory=Scale)  # of a slot from the one before it
    sigmas: float = 0.0                               # of the slot before
    near: float = 0.0                                 # distance of the last slots from what was expected, on average
    before: list[float] = field(default_factory=list)   # centres of the two slots before, if nothing lay between
    last_at_ms: int = -1
    spacing: float = 1.0                              # usual distance of slots with readings, in slots
    spacings: int = 0
    varied: bool = False                              # whether it ever changed: what never did is not stuck

    def step(self, slot: Slot, tuning: Tuning, *, hold_scale: bool) -> list[Score]:
        """Score a slot, then learn from it."""
        follows = self._follows(slot, tuning)
        if not follows:
            self.before.clear()
        expected = self.baseline.expected(slot.at_ms, tuning)
        off = slot.centre - expected.value
        sigmas = off / expected.sigma if self.baseline.seen else 0.0
        if not hold_scale:   # a level that is told already is no drift as well
            self.up.step(sigmas, off, slot.at_ms)
            self.down.step(-sigmas, -off, slot.at_ms)
        found = [
            self._level(slot, expected.value, sigmas, tuning, follows=follows), self._drift(slot, off),
            *self._spikes(slot, tuning), self._stuck(slot, tuning), self._gap(slot, tuning),
        ]
        self.baseline.learn(slot.centre, slot.at_ms, tuning, hold_scale=hold_scale)
        self.sigmas, self.last_at_ms = sigmas, slot.at_ms
        self.near += (off - self.near) / NEAR_SLOTS
        self.before = [*self.before[-1:], slot.centre]
        self.varied = self.varied or slot.low != slot.high or slot.centre != self.before[0]
        return found

    def bound_drift(self, most: float) -> None:
        """What both sums have gathered counts at most so much from now on."""
        for side in (self.up, self.down):
            side.total = min(side.total, most)

    def _follows(self, slot: Slot, tuning: Tuning) -> bool:
        """Whether none is missing before it: a channel that is read every ten minutes fills every second slot of five."""
        if self.last_at_ms < 0:
            return False
        slots = (slot.at_ms - self.last_at_ms) / tuning.slot_ms
        self.spacings += 1
        most = max(1.0, CUT_SIGMAS * self.spacing) if self.spacings > 1 else slots
        self.spacing += (min(slots, most) - self.spacing) / min(self.spacings, MOST_SPACINGS)
        return slots < LATE_SPACINGS * self.spacing + 0.5

    def _level(self, slot: Slot, expected: float, sigmas: float, tuning: Tuning, *, follows: bool) -> Score:
        both = follows and sigmas * self.sigmas > 0
        score = min(abs(sigmas), abs(self.sigmas)) if both else 0.0
        return Score(LEVEL, score, slot.centre, expected, sigmas, slot.at_ms - (tuning.slot_ms if both else 0))

    def _drift(self, slot: Slot, off: float) -> Score:
        side, sign = (self.up, 1) if self.up.total >= self.down.total else (self.down, -1)
        mean_off, mean_sigmas = (sign * each / max(1, side.slots) for each in (side.off, side.sigmas))
        usual = slot.centre - off
        return Score(DRIFT, side.total, usual + mean_off, usual, mean_sigmas, side.since_ms if side.slots else slot.at_ms)

    def _spikes(self, slot: Slot, tuning: Tuning) -> list[Score]:
        """Within the slot, where it has three readings; and the slot before this one, between its neighbours."""
        least = max(self.baseline.least, abs(self.baseline.level) * 1e-9, 1e-12)
        found = []
        if slot.count > 2:
            far = slot.high if slot.high - slot.centre >= slot.centre - slot.low else slot.low
            reach = abs(far - slot.centre)
            scale = self.reach_scale.sigma(least)
            sigmas = (reach - self.reach) / scale if self.reach_scale.seen else 0.0
            found.append(Score(SPIKE, max(0.0, sigmas), far, slot.centre, math.copysign(sigmas, far - slot.centre), slot.at_ms))
            self.reach_scale.learn(reach - self.reach if self.reach_scale.seen else 0.0, tuning.memory_slots, least)
            most = CUT_SIGMAS * self.reach_scale.sigma(least)
            step = reach - self.reach
            if self.reach_scale.seen > 1:
                step = max(-most, min(step, most))
            self.reach += step / min(self.reach_scale.seen, tuning.memory_slots)
        if len(self.before) == 2:
            first, middle = self.before
            one, other = middle - first, middle - slot.centre
            far_off = math.copysign(min(abs(one), abs(other)), one) if one * other > 0 else 0.0
            sigmas = far_off / self.jump_scale.sigma(least) if self.jump_scale.seen else 0.0
            found.append(Score(SPIKE, abs(sigmas), middle, (first + slot.centre) / 2, sigmas, slot.at_ms - tuning.slot_ms))
        if self.before:
            self.jump_scale.learn(slot.centre - self.before[-1], tuning.memory_slots, least)
        return found

    def _stuck(self, slot: Slot, tuning: Tuning) -> Score:
        slots = slot.run_ms / tuning.slot_ms if self.varied else 0.0
        end_ms = slot.at_ms + tuning.slot_ms
        return Score(STUCK, math.log1p(slots), slot.run_ms / 1000, 0.0, slots, end_ms - slot.run_ms)

    def _gap(self, slot: Slot, tuning: Tuning) -> Score:
        return gap_score(slot.gap_ms, slot.at_ms, tuning)


def gap_score(gap_ms: int, end_ms: int, tuning: Tuning) -> Score:
    """The score of a silence that has lasted `gap_ms` at `end_ms`."""
    slots = gap_ms / tuning.slot_ms
    return Score(GAP, math.log1p(slots), gap_ms / 1000, 0.0, slots, end_ms - gap_ms)
