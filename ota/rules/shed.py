"""How the server keeps its load on a slope: how long devices wait, and how many updates start a second.

A request that is put off is never an attempt: nothing is counted against the device. Chance and time are arguments.
"""

from dataclasses import dataclass, replace

MAX_PERIOD_S = 86_400     # a device hears from us at least daily, however large the fleet
JITTER = 0.5              # retry-after is stretched by up to this share, so that those turned away do not come back together


def period(base_s: float, devices: int, per_s: float) -> int:
    """Tell the check-in period, in whole seconds, that keeps a fleet under a rate.

    Args:
        base_s: the period when there is no need to slow down.
        devices: active ones.
        per_s: check-ins per second that this server is to see at most.
    """
    return max(1, min(MAX_PERIOD_S, round(max(base_s, devices / per_s))))


def retry_after(seconds: float, chance: float) -> int:
    """Tell how long one device that was turned away waits; `chance` is 0..1, even."""
    return max(1, round(seconds * (1 + JITTER * chance)))


@dataclass(frozen=True)
class Tokens:
    """A token bucket: `rate` a second, at most `burst` at once."""

    rate: float
    burst: float
    level: float
    at_s: float

    def take(self, now_s: float) -> tuple["Tokens", float]:
        """Take one token.

        Returns:
            The bucket after it, and 0.0; or the bucket without a change of its level, and the seconds until there is one.
        """
        level = min(self.burst, self.level + max(0.0, now_s - self.at_s) * self.rate)
        here = replace(self, level=level, at_s=now_s)
        if level >= 1.0:
            return replace(here, level=level - 1.0), 0.0
        return here, (1.0 - level) / self.rate
