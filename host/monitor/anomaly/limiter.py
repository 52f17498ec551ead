"""No device tells more false alarms than its budget allows.

Decides which findings are told on. Findings of a device that follow each other within `quiet` are one incident: a machine that
breaks shows in many channels. An incident takes one token of the device, which come back at the rate of the budget; at most one
week's (one at least) are saved. Without a token a finding is held: kept and shown, and told on as soon as there is a token, if it
still goes on then.
"""

from dataclasses import dataclass

from host.monitor.anomaly.tuning import WEEK_MS, Tuning


@dataclass(slots=True)
class Limiter:
    """One device's tokens; `told_ms` is when the last incident was last seen, -1 when there was none."""

    tokens: float = -1.0    # -1: never asked, all of them are there
    at_ms: int = 0
    told_ms: int = -1

    def admit(self, at_ms: int, tuning: Tuning) -> bool:
        """Whether a finding seen now may be told on."""
        most = max(1.0, tuning.budget_per_week)
        if self.tokens < 0:
            self.tokens, self.at_ms = most, at_ms
        self.tokens = min(most, self.tokens + max(0, at_ms - self.at_ms) * tuning.budget_per_week / WEEK_MS)
        self.at_ms = max(self.at_ms, at_ms)
        if self.told_ms < 0 or at_ms - self.told_ms > tuning.quiet_ms:
            if self.tokens < 1.0:
                return False
            self.tokens -= 1.0
        self.seen(at_ms)
        return True

    def seen(self, at_ms: int) -> None:
        """A finding that was told goes on."""
        self.told_ms = max(self.told_ms, at_ms)
