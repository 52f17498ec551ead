"""One member of a rule (one device, one channel, one release): a table of states.

Decides how a member moves from state to state by what its samples say. A sample that is missing proves nothing: it never ends an
alert and adds nothing to the time that a breach must last. Whom to tell is group.py's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from host.monitor.alerting.rules import Rule


class State(Enum):
    OK = "ok"               # not kept
    PENDING = "pending"     # breached, not for long enough
    FIRING = "firing"
    RESOLVED = "resolved"   # over; kept until whoever was told of it is told so


class Signal(Enum):
    """What a tick says of a member."""

    BREACHED = "breached"     # beyond the level, not for long enough
    HELD = "held"             # beyond the level for long enough
    BETWEEN = "between"       # between level and clear level
    CLEAR = "clear"           # at the clear level or better
    MISSING = "missing"       # no sample
    FORGOTTEN = "forgotten"   # no sample for so long that it is given up
    TOLD = "told"             # its end was told, or nobody knew of it


TABLE: Final[dict[tuple[State, Signal], State]] = {
    (State.OK, Signal.BREACHED): State.PENDING,
    (State.OK, Signal.HELD): State.FIRING,
    (State.OK, Signal.BETWEEN): State.OK,
    (State.OK, Signal.CLEAR): State.OK,
    (State.OK, Signal.MISSING): State.OK,
    (State.OK, Signal.FORGOTTEN): State.OK,
    (State.OK, Signal.TOLD): State.OK,
    (State.PENDING, Signal.BREACHED): State.PENDING,
    (State.PENDING, Signal.HELD): State.FIRING,
    (State.PENDING, Signal.BETWEEN): State.OK,
    (State.PENDING, Signal.CLEAR): State.OK,
    (State.PENDING, Signal.MISSING): State.PENDING,
    (State.PENDING, Signal.FORGOTTEN): State.OK,
    (State.PENDING, Signal.TOLD): State.PENDING,
    (State.FIRING, Signal.BREACHED): State.FIRING,
    (State.FIRING, Signal.HELD): State.FIRING,
    (State.FIRING, Signal.BETWEEN): State.FIRING,
    (State.FIRING, Signal.CLEAR): State.RESOLVED,
    (State.FIRING, Signal.MISSING): State.FIRING,
    (State.FIRING, Signal.FORGOTTEN): State.RESOLVED,
    (State.FIRING, Signal.TOLD): State.FIRING,
    (State.RESOLVED, Signal.BREACHED): State.RESOLVED,   # until it has lasted: a flap that nobody needs to hear of
    (State.RESOLVED, Signal.HELD): State.FIRING,
    (State.RESOLVED, Signal.BETWEEN): State.RESOLVED,
    (State.RESOLVED, Signal.CLEAR): State.RESOLVED,
    (State.RESOLVED, Signal.MISSING): State.RESOLVED,
    (State.RESOLVED, Signal.FORGOTTEN): State.RESOLVED,
    (State.RESOLVED, Signal.TOLD): State.OK,
}

SEEN_STEP_MS = 600_000   # of a firing member only such steps of its newest sample are kept: each tick would be a row written


@dataclass(frozen=True, slots=True)
class Member:
    """What is kept of one member that is not ok. Times are Unix milliseconds.

    Attributes:
        key: its identity, see engine.identity. group: its group's key.
        since_ms: when `state` began. held_ms: how long the present breach was seen; None: there is none.
        seen_ms: newest sample; of a firing one to SEEN_STEP_MS.
        value: at that sample; None: given up, nothing was heard for too long.
        told: somebody was told that it fires.
    """

    key: str
    group: str
    labels: Mapping[str, str]
    state: State = State.OK
    since_ms: int = 0
    held_ms: int | None = None
    seen_ms: int = 0
    value: float | None = None
    told: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tick says of one member: its labels, its group's key and its value."""

    labels: Mapping[str, str]
    group: str
    value: float


def step(rule: Rule, member: Member, seen: Observation | None, now_ms: int, most_ms: int) -> Member:
    """Move one member by one tick.

    Args:
        seen: None when there was no sample.
        most_ms: time since the tick before counts up to this: of a longer gap nothing is known.

    Returns:
        The same object when nothing has changed.
    """
    if seen is None:
        forgotten = now_ms - member.seen_ms >= rule.forget_s * 1000
        after = TABLE[member.state, Signal.FORGOTTEN if forgotten else Signal.MISSING]
        if after is member.state:
            return member
        return replace(member, state=after, since_ms=now_ms, held_ms=None, value=None)
    held_ms = None
    if rule.breached(seen.value):
        held_ms = 0 if member.held_ms is None else member.held_ms + min(max(now_ms - member.seen_ms, 0), most_ms)
        signal = Signal.HELD if held_ms >= rule.for_s * 1000 else Signal.BREACHED
    else:
        signal = Signal.CLEAR if rule.cleared(seen.value) else Signal.BETWEEN
    after = TABLE[member.state, signal]
    if seen.group != member.group:   # it has moved: another group, where nobody was told
        member = replace(member, group=seen.group, labels=seen.labels, told=False)
    elif seen.labels != member.labels:
        member = replace(member, labels=seen.labels)
    if after is State.FIRING and member.state is State.FIRING and 0 <= now_ms - member.seen_ms < SEEN_STEP_MS:
        return member
    since_ms = member.since_ms if after is member.state else now_ms
    return replace(member, state=after, since_ms=since_ms, held_ms=held_ms, seen_ms=now_ms, value=seen.value)
