"""One group of a rule's members: what is told of it, and when.

Decides by the level that was told last and the level now, so that a site outage is told once, and its end once. A change waits for
`wait_s`; between two notices lie at least `every_s`, and twice as much with each flap. Sends nothing and writes no words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from host.clock import HOUR_MS
from host.monitor.alerting.member import Member, State
from host.monitor.alerting.rules import Rule


class Level(Enum):
    NONE = "none"   # nothing fires
    SOME = "some"   # members fire, each for itself
    WIDE = "wide"   # so many that it is one outage


class Kind(Enum):
    """What a notice says."""

    FIRING = "firing"       # it begins, or it became an outage
    CHANGED = "changed"     # other members fire than were told
    EASED = "eased"         # the outage is over; some still fire
    REPEAT = "repeat"       # still firing
    RESOLVED = "resolved"   # nothing fires any more


# (level that was told, level now) -> what is to be told.
TABLE: Final[dict[tuple[Level, Level], Kind | None]] = {
    (Level.NONE, Level.NONE): None,
    (Level.NONE, Level.SOME): Kind.FIRING,
    (Level.NONE, Level.WIDE): Kind.FIRING,
    (Level.SOME, Level.NONE): Kind.RESOLVED,
    (Level.SOME, Level.SOME): None,   # CHANGED when it is about others than were told
    (Level.SOME, Level.WIDE): Kind.FIRING,
    (Level.WIDE, Level.NONE): Kind.RESOLVED,
    (Level.WIDE, Level.SOME): Kind.EASED,
    (Level.WIDE, Level.WIDE): None,
}

FLAP_WINDOW_MS = 6 * HOUR_MS   # firing again within this after a notice is a flap
FLAP_MOST_MS = 4 * HOUR_MS     # the interval of a flapping group grows up to this; below the window, or it would be forgotten
FLAPPING = 3                     # flaps from which a notice says so


@dataclass(frozen=True, slots=True)
class Group:
    """What is kept of a group. Times are Unix milliseconds.

    Attributes:
        key: see rules.key_of; of its labels by `group_by`.
        severity: the rule's; kept, because a group outlives a rule that is taken out of the file.
        told: the level that was told last. told_ms: the last notice; 0: none yet.
        since_ms: when the first notice of the present alert went out.
        change_ms: since when something waits to be told; None: nothing does.
    """

    key: str
    severity: str
    told: Level = Level.NONE
    told_ms: int = 0
    since_ms: int = 0
    change_ms: int | None = None
    flaps: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A group's members in this tick: those that are not ok, whether mute, and how many there are in all."""

    members: Sequence[tuple[Member, bool]] = field(default_factory=tuple)
    total: int = 0

    def firing(self) -> list[Member]:
        return [member for member, mute in self.members if member.state is State.FIRING and not mute]

    def over(self) -> list[Member]:
        """Those of which somebody was told that they fire, and that do not any more."""
        return [member for member, mute in self.members if member.state is State.RESOLVED and member.told and not mute]

    def held_mute(self) -> bool:
        """Tell whether there is something that was told and may not be told of now."""
        return any(mute and member.told and member.state in (State.FIRING, State.RESOLVED) for member, mute in self.members)


def level(rule: Rule, group: Group, seen: Seen) -> Level:
    """Tell how bad a group is, by its members that are not mute; one whose told members are all mute stays as it was told."""
    firing = len(seen.firing())
    if firing == 0:
        return group.told if seen.held_mute() else Level.NONE
    if rule.is_wide(firing, seen.total, was=group.told is Level.WIDE):
        return Level.WIDE
    return Level.NONE if rule.wide_only else Level.SOME


def decide(rule: Rule, group: Group, seen: Seen, now_ms: int) -> tuple[Group, Kind | None]:
    """Tell what to say of a group now, if anything.

    Returns:
        The group, the same object when nothing has changed, and the kind of notice that goes out now.
    """
    now = level(rule, group, seen)
    kind = TABLE[group.told, now]
    if kind is None and now is Level.SOME and (seen.over() or any(not member.told for member in seen.firing())):
        kind = Kind.CHANGED
    if kind is None:
        group = group if group.change_ms is None else replace(group, change_ms=None)
        if rule.repeat_s and seen.firing() and _past(now_ms, group.told_ms, rule.repeat_s * 1000):
            return replace(group, told_ms=now_ms), Kind.REPEAT
        return group, None
    begun_ms = now_ms if group.change_ms is None else group.change_ms
    if not (_past(now_ms, begun_ms, rule.wait_s * 1000) and _past(now_ms, group.told_ms, interval_ms(rule, group))):
        return (group if group.change_ms is not None else replace(group, change_ms=begun_ms)), None
    flaps, since_ms = group.flaps, group.since_ms
    if group.told is Level.NONE:
        flaps = flaps + 1 if group.told_ms and not _past(now_ms, group.told_ms, FLAP_WINDOW_MS) else 0
        since_ms = now_ms
    return Group(group.key, rule.severity, now, now_ms, since_ms, None, flaps), kind


def interval_ms(rule: Rule, group: Group) -> float:
    """Tell the least time between two notices of a group."""
    every_ms = rule.every_s * 1000
    return max(every_ms, min(every_ms * 2.0 ** min(group.flaps, 20), FLAP_MOST_MS))


def is_done(group: Group, now_ms: int) -> bool:
    """Tell whether a group without members may be forgotten: with its flaps, nobody waits for a word of it."""
    return group.told is Level.NONE and _past(now_ms, group.told_ms, FLAP_WINDOW_MS)


def _past(now_ms: int, then_ms: int, ms: float) -> bool:
    """Tell whether a time has passed; one that lies ahead has: the clock was set back, and nothing may wait for it."""
    return now_ms < then_ms or now_ms - then_ms >= ms
