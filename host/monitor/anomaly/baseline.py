"""What a channel usually reads at this hour, and how far it usually is from that.

Decides the expected value (a level, and an offset for each hour of workdays and of weekends) and the robust scale (for each hour
of the day, leaning on the scale of all hours until the hour is known). Averages forget with a bounded weight, and what goes into
them is cut, so that a fault teaches little. Memory: 124 numbers. Knows no thresholds.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from host.monitor.anomaly.tuning import Tuning

HOURS = 24
CUT_SIGMAS = 3.0          # of what goes into the averages
FREE_SLOTS = 24           # at the start nothing is cut: the scale is not known yet
KNOWN_VISITS = 2          # slots of an hour before its own offset is used; until then that of the other days
SIGMAS_PER_MEAN_DEVIATION = 1.2533   # sqrt(pi / 2): of a normal distribution
LEAST_SHARE = 1e-9        # of the level: below it a scale is rounding


@dataclass(slots=True)
class Scale:
    """A robust scale of numbers around 0: their mean distance, of which each counts at most CUT_SIGMAS."""

    mean: float = 0.0
    seen: int = 0

    def sigma(self, least: float) -> float:
        return max(self.mean * SIGMAS_PER_MEAN_DEVIATION, least)

    def learn(self, off: float, memory: int, least: float) -> None:
        distance = abs(off)
        if self.seen >= FREE_SLOTS:
            distance = min(distance, CUT_SIGMAS * self.sigma(least))
        self.seen += 1
        self.mean += (distance - self.mean) / min(self.seen, memory)


@dataclass(frozen=True, slots=True)
class Expected:
    """What is usual at one time; `sigma` in the channel's unit."""

    value: float
    sigma: float


@dataclass(slots=True)
class Baseline:
    """The baseline of one channel; `least` is the smallest scale that means anything, a step of its resolution."""

    least: float = 0.0
    level: float = 0.0
    seen: int = 0
    scale: Scale = field(default_factory=Scale)
    offsets: list[float] = field(default_factory=lambda: [0.0] * (2 * HOURS))
    visits: list[int] = field(default_factory=lambda: [0] * (2 * HOURS))
    scales: list[Scale] = field(default_factory=lambda: [Scale() for _ in range(HOURS)])

    def expected(self, at_ms: int, tuning: Tuning) -> Expected:
        """What is usual in the slot that starts at `at_ms`."""
        if not tuning.season:
            return Expected(self.level, self.scale.sigma(self._least()))
        bucket = bucket_of(at_ms, tuning.zone)
        own = self.scales[bucket % HOURS]
        lean = max(1, tuning.memory_slots // HOURS)
        mean = (own.seen * own.mean + lean * self.scale.mean) / (own.seen + lean)
        return Expected(self.level + self._offset(bucket), max(mean * SIGMAS_PER_MEAN_DEVIATION, self._least()))

    def learn(self, value: float, at_ms: int, tuning: Tuning, *, hold_scale: bool = False) -> None:
        """Take the centre of a slot; with `hold_scale` (a finding is open) the scale does not grow with the fault."""
        if not self.seen:
            self.level = value
        expected = self.expected(at_ms, tuning)
        off = value - expected.value
        memory = tuning.memory_slots
        if not hold_scale:
            self.scale.learn(off, max(FREE_SLOTS, memory // 4), self._least())
        if self.seen >= FREE_SLOTS:
            most = CUT_SIGMAS * max(expected.sigma, self._least())
            off = max(-most, min(off, most))
        self.seen += 1
        step = off / min(self.seen, memory)
        self.level += step
        if tuning.season:
            bucket = bucket_of(at_ms, tuning.zone)
            if not hold_scale:
                self.scales[bucket % HOURS].learn(off, max(FREE_SLOTS, memory // HOURS), self._least())
            if self.visits[bucket] < KNOWN_VISITS:
                self.offsets[bucket] = self._offset(bucket)
            self.visits[bucket] += 1
            self.offsets[bucket] += (off - step) / min(self.visits[bucket] + KNOWN_VISITS, max(FREE_SLOTS, memory // HOURS))

    def _offset(self, bucket: int) -> float:
        other = (bucket + HOURS) % (2 * HOURS)
        known = self.visits[bucket] >= KNOWN_VISITS or self.visits[other] < KNOWN_VISITS
        return self.offsets[bucket if known else other]

    def _least(self) -> float:
        return max(self.least, abs(self.level) * LEAST_SHARE, 1e-12)


def bucket_of(at_ms: int, zone: str) -> int:
    """The hour of the day, 0..23 on workdays, 24..47 at weekends."""
    local = datetime.fromtimestamp(at_ms / 1000, _zone(zone))
    return local.hour + (HOURS if local.weekday() >= 5 else 0)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
