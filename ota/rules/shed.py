"""How the server keeps its load on a slope: how long devices wait, how many check-ins and updates it takes up a second.

A request that is put off is never an attempt: nothing is counted against the device. Chance and time are arguments. Each process
keeps its own tokens: n of them take n times the rate.
"""

from typing import NamedTuple

HEADROOM = 0.8            # of a rate is what a period aims at: arrivals are spread by chance, and the rate is for their peaks
PROMISED = 0.5            # of a rate is promised to those who were turned away; the rest is for who comes by its own clock
MAX_PERIOD_S = 86_400     # a device hears from us at least daily, however large the fleet
DEVICE_JITTER = 0.1       # of a period is what a device adds to its place in it at most (node.agent.scatter.place_in_ms)
JITTER = 0.5              # retry-after is stretched by up to this share, so that those turned away do not come back together


def period(base_s: float, devices: int, per_s: float) -> int:
    """Tell the check-in period, in whole seconds, that keeps a fleet under a rate.

    Args:
        base_s: the period when there is no need to slow down.
        devices: active ones.
        per_s: check-ins per second that this server is to see at most.
    """
    return max(1, min(MAX_PERIOD_S, round(max(base_s, devices / (HEADROOM * per_s)))))


def before(period_s: int, wait_s: float) -> int:
    """Shorten a period so that a device comes back within some seconds: it takes its place in it, and up to a tenth more."""
    return max(1, min(period_s, int(wait_s / (1 + DEVICE_JITTER))))


def retry_after(seconds: float, chance: float) -> int:
    """Tell how long one device that was turned away waits; `chance` is 0..1, even."""
    return max(1, round(seconds * (1 + JITTER * chance)))


class Tokens(NamedTuple):
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
        if level >= 1.0:
            return Tokens(self.rate, self.burst, level - 1.0, now_s), 0.0
        return Tokens(self.rate, self.burst, level, now_s), (1.0 - level) / self.rate


class Admission(NamedTuple):
    """Who is let in at once, and when each of the others may come again; `promised_s` is when the last one was told to.

    For a server that answers 503 with Retry-After. Everybody who is turned away hears another time, later ones later, so that they
    come back as a slope and not as the crowd that they were; none waits longer than MAX_PERIOD_S.
    """

    tokens: Tokens
    promised_s: float

    def admit(self, now_s: float) -> tuple["Admission", float]:
        """Judge one request.

        Returns:
            The state after it, and 0.0 when it is let in, else the seconds to tell it as Retry-After (round up).
        """
        tokens, wait_s = self.tokens.take(now_s)
        if not wait_s:
            return Admission(tokens, self.promised_s), 0.0
        gap_s = 1 / (PROMISED * tokens.rate)
        promised_s = min(max(now_s + wait_s, self.promised_s + gap_s), now_s + MAX_PERIOD_S)
        return Admission(tokens, promised_s), promised_s - now_s


def admission(rate: float, now_s: float) -> Admission:
    """Begin: a second's requests may come at once, and nobody has been promised anything."""
    burst = max(1.0, rate)
    return Admission(Tokens(rate, burst, burst, now_s), 0.0)
