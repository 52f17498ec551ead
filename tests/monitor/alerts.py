"""A fleet for alert rules, and alerts that go through the real engine tick by tick."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from host.monitor.alerting.engine import Memory, Notice, Tick, step
from host.monitor.alerting.rules import Rule
from host.monitor.alerting.silences import Silence
from host.monitor.sample import Sample
from host.settings import validated

TICK_S = 30
METRIC = "tenfold_device_offline_seconds"
LOST, WELL = 1000.0, 0.0
MINUTE = 60


def rule(**changes: Any) -> Rule:
    """A rule on one value, told at once, unless a test says otherwise."""
    base = {"name": "offline", "metric": METRIC, "above": 900, "wait_s": 0, "every_s": 0}
    return validated(Rule, base | changes)


def site_rule(**changes: Any) -> Rule:
    return rule(**{"group_by": ["site"], "wide_share": 0.5, "wait_s": 60, "every_s": 300} | changes)


def samples(values: dict[str, float], site: str = "nord", release: str = "1.0.0") -> list[Sample]:
    return [Sample(METRIC, {"device": device, "site": site, "release": release}, value) for device, value in values.items()]


def fleet(count: int) -> list[str]:
    return [f"hall-{number:012x}" for number in range(count)]


@dataclass
class Watch:
    """Rules at work; what they said is in `notices`."""

    rules: Sequence[Rule]
    memory: Memory = field(default_factory=Memory)
    silences: list[Silence] = field(default_factory=list)
    now_ms: int = 1_800_000_000_000
    notices: list[Notice] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)

    def tick(self, given: Iterable[Sample], seconds: float = TICK_S) -> list[Notice]:
        """Let time pass, then evaluate."""
        self.now_ms += int(seconds * 1000)
        done = step(self.rules, self.memory, given, self.silences, self.now_ms, most_ms=3 * TICK_S * 1000)
        self.memory = done.memory
        self.ticks.append(done)
        self.notices += done.notices
        return list(done.notices)

    def kinds(self) -> list[str]:
        return [each.kind.value for each in self.notices]
