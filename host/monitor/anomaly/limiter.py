"""No device tells more false alarms than its budget allows.

Decides which findings are told on. What a device finds within `quiet` of an incident's beginning belongs to it: a machine that
breaks shows in many channels. Incidents are counted over a sliding time: with a budget of 1 a week, no seven days hold a second
one; with half of one, no fourteen; with 2.5, no 8.4 days hold a fourth. Without room a finding is held: kept and shown, and told
on as soon as there is room, if it still goes on then. A finding that goes on, or comes again, keeps no incident open.
"""

import math
from bisect import insort
from dataclasses import dataclass, field

from host.clock import WEEK_MS
from host.monitor.anomaly.tuning import Tuning


@dataclass(slots=True)
class Limiter:
    """When one device's last incidents began, in the order of time."""

    begun_ms: list[int] = field(default_factory=list)

    def admit(self, at_ms: int, tuning: Tuning) -> bool:
        """Whether a finding seen now may be told on. Findings may come a little out of order: the count holds for all times."""
        most, over_ms = span(tuning)
        if any(0 <= at_ms - begun <= tuning.quiet_ms for begun in self.begun_ms):
            return True
        near = sorted([*(one for one in self.begun_ms if abs(one - at_ms) < over_ms), at_ms])
        if any(last - first < over_ms for first, last in zip(near, near[most:], strict=False)):
            return False
        insort(self.begun_ms, at_ms)
        newest = self.begun_ms[-1]
        self.begun_ms = [one for one in self.begun_ms if newest - one < 2 * over_ms + tuning.quiet_ms]
        return True

    def left(self, now_ms: int, tuning: Tuning) -> int:
        """How many incidents may still begin now."""
        most, over_ms = span(tuning)
        return max(0, most - sum(now_ms - over_ms < one <= now_ms for one in self.begun_ms))


def span(tuning: Tuning) -> tuple[int, int]:
    """How many incidents may begin in how many ms."""
    most = max(1, math.ceil(tuning.budget_per_week))
    return most, round(most * WEEK_MS / tuning.budget_per_week)
