"""Silences: what nobody wants to be told of for a while.

Decides which members are mute. A silence never changes a state: what still fires when it ends is told then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from host.monitor.alerting.rules import matches


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence, from `from_ms` to before `until_ms` (Unix milliseconds).

    Attributes:
        matchers: label -> pattern as in a rule's `where`; `rule` and `severity` are labels here too.
    """

    ident: int
    matchers: Mapping[str, str]
    from_ms: int
    until_ms: int
    author: str
    reason: str

    def is_active(self, now_ms: int) -> bool:
        return self.from_ms <= now_ms < self.until_ms


def active(silences: Iterable[Silence], now_ms: int) -> tuple[Silence, ...]:
    """Choose those that hold now."""
    return tuple(each for each in silences if each.is_active(now_ms))


def is_mute(silences: Iterable[Silence], rule: str, severity: str, labels: Mapping[str, str]) -> bool:
    """Tell whether one of these silences is about a member."""
    told = {**labels, "rule": rule, "severity": severity}
    return any(matches(each.matchers, told) for each in silences)
