"""A finding: what looks wrong, where, how far, since when, and what was expected instead.

Decides how a finding is told, in numbers and in one sentence. Finds nothing itself.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from host.clock import HOUR_MS, duration
from host.monitor.anomaly.scores import DRIFT, GAP, LEVEL, SHAPE, SPIKE, STUCK, Score
from host.monitor.sample import Sample

TOGETHER = "together"   # several channels at once: the forest's
ALL = "*"               # channel of a finding about the whole device
METRIC = "tenfold_anomaly_score"
OVER_MS = HOUR_MS     # so long is 0 told of what ended: an alert ends by a sample, not by silence


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that looks wrong.

    Attributes:
        channel: a channel or metric; ALL for the whole device.
        since_ms, found_ms, last_ms, until_ms: when it began, was first and last seen beyond the limit, and ended (None: goes on).
        score, limit: the highest score and what it was not to exceed; see scores.py for the kinds' own measures.
        value, expected, sigmas: when it was at its highest; in the channel's unit (stuck, gap: seconds), and robust sigmas
            (stuck, gap: slots).
        times: how often it went beyond the limit.
        again_ms: when it last began again after it had ended; the budget counts that as it counts a beginning.
        held: kept back by the budget: shown, not told on; None while the limiter was not asked.
        feature: of TOGETHER, what of the channel is farthest from usual; see features.py. Of SHAPE, where in the cycle.
    """

    device: str
    channel: str
    kind: str
    unit: str
    since_ms: int
    found_ms: int
    last_ms: int
    score: float
    limit: float
    value: float
    expected: float
    sigmas: float
    until_ms: int | None = None
    times: int = 1
    held: bool | None = None
    feature: str = ""
    again_ms: int | None = None

    @classmethod
    def of(cls, device: str, channel: str, unit: str, score: Score, limit: float, at_ms: int) -> "Finding":
        return cls(device, channel, score.kind, unit, min(score.since_ms, at_ms), at_ms, at_ms, score.score, limit, score.value,
                   score.expected, score.sigmas, feature=score.part)

    @property
    def excess(self) -> float:
        """How far beyond the limit, as a factor: what findings of all kinds are sorted by."""
        return self.score / self.limit if self.limit else self.score

    def going_on(self, score: Score, at_ms: int) -> "Finding":
        """The same finding, seen again."""
        again = replace(self, last_ms=at_ms, times=self.times + 1)
        if score.score < self.score:
            return again
        return replace(again, score=score.score, value=score.value, expected=score.expected, sigmas=score.sigmas,
                       feature=score.part)

    def row(self) -> dict[str, Any]:
        """All of it, for machines."""
        return asdict(self) | {"excess": self.excess, "says": self.says()}

    def says(self) -> str:
        """How far, in one sentence."""
        unit = f" {self.unit}" if self.unit else ""
        value, expected, off = (f"{_short(each)}{unit}" for each in (self.value, self.expected, abs(self.value - self.expected)))
        side = "above" if self.value >= self.expected else "below"
        if self.kind == STUCK:
            return f"no change for {duration(self.value)}, {_times(self)}"
        if self.kind == GAP:
            return f"no reading for {duration(self.value)}, {_times(self)}"
        if self.kind == SPIKE:
            return f"{value} among {expected}, {abs(self.sigmas):.1f} sigmas {side}"
        if self.kind == TOGETHER:
            return f"does not fit the other channels: {self.feature} {value} where {expected} is usual"
        if self.kind == SHAPE:
            return f"{self.feature}, {value} where {expected} is usual, {abs(self.sigmas):.1f} sigmas {side}"
        what = {LEVEL: "", DRIFT: "on average "}.get(self.kind, "")
        return f"{what}{value} where {expected} is usual: {off} {side}, {abs(self.sigmas):.1f} sigmas"


def scores_of(findings: Iterable[Finding], now_ms: int) -> list[Sample]:
    """What alerts are told: the highest excess of each channel, of findings that are told on; 1 is the limit, 0 is over."""
    worst: dict[tuple[str, str], float] = {}
    for one in findings:
        if not one.held and (one.until_ms is None or one.until_ms > now_ms - OVER_MS):
            name = one.device, one.channel
            worst[name] = max(worst.get(name, 0.0), one.excess if one.until_ms is None else 0.0)
    return [Sample(METRIC, {"device": device, "channel": channel}, value) for (device, channel), value in sorted(worst.items())]


def _times(found: Finding) -> str:
    return f"{found.sigmas:.0f} slots"


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
