"""One channel's detector: scores against thresholds that are calibrated on its own past.

Decides when a score is a finding, from when to when, and what is told of it. A threshold is what the scores of the past exceed as
rarely as the channel's share of the budget asks (peaks.py), and never below FLOOR. Until `settle` and `warm` blocks are over
nothing is found, and `warm` says how far it is. Does not decide whether a finding is told on: limiter.py does.
"""

import math
from dataclasses import dataclass, field, replace

from host.clock import WEEK_MS
from host.monitor.anomaly.cycle import Cycle
from host.monitor.anomaly.findings import Finding
from host.monitor.anomaly.peaks import Peaks, threshold
from host.monitor.anomaly.scores import DRIFT, GAP, KINDS, LEVEL, SHAPE, SPIKE, STUCK, Score, Scores, gap_score
from host.monitor.anomaly.slots import Folder, Times, Values
from host.monitor.anomaly.tuning import Tuning

# Below these nothing is unusual, however calm the past was. Sigmas; of drift, sigmas x slots; of stuck and gap, ln(1 + slots).
FLOOR = {LEVEL: 4.0, SPIKE: 6.0, DRIFT: 10.0, STUCK: 1.4, GAP: 1.4, SHAPE: 6.0}   # 1.4: three slots
END_SHARE = 0.5      # a finding ends when its score is below this share of the threshold
DRIFT_MOST = 2.0     # limits that a sum of drift may reach: what it gathered beyond would take as long to be forgotten
TWICE = math.log(2.0)   # stuck and gap: a length below twice the longest one of the past is nothing


@dataclass(slots=True)
class Channel:
    """The detector of one channel of one device.

    Attributes:
        streams: scores of the device that share its budget, told by the owner.
        first_block: number of the block that its first slot lay in; -1 before.
        open, ended: findings that go on, and the last that ended, by kind.
    """

    device: str
    name: str
    unit: str = ""
    streams: int = len(KINDS)
    folder: Folder = field(default_factory=lambda: Folder(0))
    scores: Scores = field(default_factory=Scores)
    cycle: Cycle = field(default_factory=Cycle)
    peaks: dict[str, Peaks] = field(default_factory=lambda: {kind: Peaks() for kind in KINDS})
    first_block: int = -1
    open: dict[str, Finding] = field(default_factory=dict)
    ended: dict[str, Finding] = field(default_factory=dict)
    _limits: dict[str, float] = field(default_factory=dict)

    def take(self, times: Times, values: Values, now_ms: int, tuning: Tuning) -> list[Finding]:
        """Take readings; give findings that began, went on or ended by them, each in its newest state, oldest first."""
        self.folder.slot_ms = tuning.slot_ms
        times, values = self.folder.sift(times, values, now_ms)
        changed: dict[tuple[str, int], Finding] = {}
        for slot in self.folder.fold(times, values):
            block = slot.at_ms // tuning.block_ms
            if self.first_block < 0 or block < self.first_block:
                self.first_block = block
            scores = self.scores.step(slot, tuning, hold_scale=LEVEL in self.open)
            for score in scores:
                found = self._judge(score, slot.at_ms + tuning.slot_ms, tuning)
                if found:
                    changed[found.kind, found.since_ms] = found
            self._relearn(slot.at_ms, tuning)
        least = self.scores.baseline.least
        for at_ms, score in self.cycle.take(times, values, least, tuning, hold=SHAPE in self.open):
            found = self._judge(score, at_ms, tuning)
            if found:
                changed[found.kind, found.since_ms] = found
            known = self.open.get(SHAPE)
            if known and at_ms - known.since_ms > tuning.relearn_ms:
                self.cycle.relearn()
        return list(changed.values())

    def silent(self, until_ms: int, tuning: Tuning) -> list[Finding]:
        """Judge how long the channel has said nothing."""
        if self.folder.last_ms < 0 or until_ms <= self.folder.last_ms:
            return []
        score = gap_score(until_ms - self.folder.last_ms, until_ms, tuning)
        found = self._judge(score, until_ms, tuning, learn=False)
        return [found] if found else []

    def warm(self, tuning: Tuning) -> tuple[int, int]:
        """Blocks that were learnt from, and blocks that are needed."""
        needed = tuning.settle_blocks + tuning.warm_blocks
        return min(needed, tuning.settle_blocks * bool(self.peaks[GAP].highs) + len(self.peaks[GAP].highs)), needed

    def limit(self, kind: str, tuning: Tuning) -> float | None:
        """The threshold of a kind; None while there is none."""
        highs = self.peaks[kind].highs
        if len(highs) < tuning.warm_blocks:
            return None
        if kind not in self._limits:
            chance = tuning.budget_per_week * tuning.block_ms / WEEK_MS / max(1, self.streams)
            least = max(highs) + TWICE if kind in (STUCK, GAP) else 0.0
            self._limits[kind] = max(FLOOR[kind], least, threshold(highs, chance))
        return self._limits[kind]

    def forget_limits(self) -> None:
        """The budget is shared by another number of streams now."""
        self._limits.clear()

    def _judge(self, score: Score, at_ms: int, tuning: Tuning, *, learn: bool = True) -> Finding | None:
        limit = self.limit(score.kind, tuning)
        if learn:
            self._calibrate(score, at_ms, limit, tuning)
        if limit is None:
            return None
        known, beyond = self.open.get(score.kind), score.score > limit
        if known is None:
            if not beyond:
                return None
            before = self.ended.get(score.kind)
            again = before is not None and at_ms - before.last_ms <= tuning.quiet_ms
            found = (replace(before, until_ms=None, held=None, again_ms=at_ms).going_on(score, at_ms)
                     if before is not None and again else Finding.of(self.device, self.name, self.unit, score, limit, at_ms))
        elif beyond:
            found = known.going_on(score, at_ms)
        elif score.score > limit * END_SHARE:
            found = replace(known, last_ms=at_ms)
        else:
            del self.open[score.kind]
            self.ended[score.kind] = replace(known, until_ms=at_ms)
            return self.ended[score.kind]
        self.open[score.kind] = found
        if score.kind == DRIFT:
            self.scores.bound_drift(DRIFT_MOST * limit)
        return found

    def _calibrate(self, score: Score, at_ms: int, limit: float | None, tuning: Tuning) -> None:
        block = (at_ms - 1) // tuning.block_ms
        known = self.open.get(score.kind)
        if block - self.first_block < tuning.settle_blocks or (known and known.found_ms <= block * tuning.block_ms):
            return   # a finding that lasts counts in the block that it began in: a long fault would hide the next one
        peaks = self.peaks[score.kind]
        counts = max(peaks.highs) if limit is not None and score.score > limit else score.score
        if peaks.step(block, counts, tuning.kept_blocks):
            self._limits.pop(score.kind, None)

    def _relearn(self, at_ms: int, tuning: Tuning) -> None:
        """A level that stayed for so long is the usual one: the next slots begin from it."""
        known = self.open.get(LEVEL)
        if known and at_ms - known.since_ms > tuning.relearn_ms:
            self.scores.baseline.level += self.scores.near
            self.scores.near = 0.0
            self.scores.up.total = self.scores.down.total = 0.0
