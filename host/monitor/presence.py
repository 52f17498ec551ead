"""Who is online: a table of states.

Decides what a device's state message or last will changes and which link events it makes. Reads no clock and no database;
host.ingest feeds it and keeps the rows. Only state messages count: batches may have waited in the broker and prove nothing
about now.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class State(Enum):
    UNKNOWN = "unknown"   # never heard of
    ONLINE = "online"
    OFFLINE = "offline"


class Signal(Enum):
    """What a message says, relative to what was known."""

    STILL = "still"          # on, as known: a retained copy, or the device telling its oldest record anew within a session
    BACK = "back"            # on, same boot and release, with another reason: the link alone was lost
    REBOOTED = "rebooted"    # on, another boot, same release
    UPDATED = "updated"      # on, a release with a higher counter
    REVERTED = "reverted"    # on, a release with a lower counter: a trial failed
    GONE = "gone"            # the last will


CONNECT, DROP, REBOOT, UPDATE, ROLLBACK = "connect", "drop", "reboot", "update", "rollback"
KINDS: Final = (CONNECT, DROP, REBOOT, UPDATE, ROLLBACK)

# (state, signal) -> (next state, link events). Online and on again: the drop was never announced (NATS discards the will when
# the same client id connects anew), so it is added here. A drop for an update is taken back by connectivity.py.
TABLE: Final[dict[tuple[State, Signal], tuple[State, tuple[str, ...]]]] = {
    (State.UNKNOWN, Signal.STILL): (State.ONLINE, (CONNECT,)),
    (State.UNKNOWN, Signal.BACK): (State.ONLINE, (CONNECT,)),
    (State.UNKNOWN, Signal.REBOOTED): (State.ONLINE, (CONNECT,)),
    (State.UNKNOWN, Signal.UPDATED): (State.ONLINE, (CONNECT,)),
    (State.UNKNOWN, Signal.REVERTED): (State.ONLINE, (CONNECT,)),
    (State.UNKNOWN, Signal.GONE): (State.OFFLINE, ()),
    (State.OFFLINE, Signal.STILL): (State.ONLINE, (CONNECT,)),
    (State.OFFLINE, Signal.BACK): (State.ONLINE, (CONNECT,)),
    (State.OFFLINE, Signal.REBOOTED): (State.ONLINE, (REBOOT, CONNECT)),
    (State.OFFLINE, Signal.UPDATED): (State.ONLINE, (UPDATE, CONNECT)),
    (State.OFFLINE, Signal.REVERTED): (State.ONLINE, (ROLLBACK, CONNECT)),
    (State.OFFLINE, Signal.GONE): (State.OFFLINE, ()),
    (State.ONLINE, Signal.STILL): (State.ONLINE, ()),
    (State.ONLINE, Signal.BACK): (State.ONLINE, (DROP, CONNECT)),
    (State.ONLINE, Signal.REBOOTED): (State.ONLINE, (DROP, REBOOT, CONNECT)),
    (State.ONLINE, Signal.UPDATED): (State.ONLINE, (DROP, UPDATE, CONNECT)),
    (State.ONLINE, Signal.REVERTED): (State.ONLINE, (DROP, ROLLBACK, CONNECT)),
    (State.ONLINE, Signal.GONE): (State.OFFLINE, (DROP,)),
}


@dataclass(frozen=True, slots=True)
class Presence:
    """What is known of one device's link. `since_ms` is when `state` began, `heard_ms` its newest state message."""

    state: State = State.UNKNOWN
    since_ms: int = 0
    boot: int = 0
    release: str = ""
    counter: int = 0
    reason: str = ""
    heard_ms: int = 0


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """One change of a link. A drop names the release that was running, the others the one that runs now and the device's reason."""

    kind: str
    at_ms: int
    release: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a device says of itself when it has connected; `reason` is why its last connection ended."""

    boot: int
    release: str
    counter: int
    reason: str = ""


def hear_on(known: Presence, hello: Hello, at_ms: int, *, copy: bool = False) -> tuple[Presence, tuple[LinkEvent, ...]]:
    """A device says that it is connected.

    Args:
        at_ms: when the message was received, Unix milliseconds.
        copy: the broker's retained copy or a repetition; it tells nothing new unless it differs from what is known.

    Returns:
        The new presence and the events, oldest first.
    """
    state, kinds = TABLE[known.state, _signal(known, hello, copy=copy)]
    if copy and not kinds:
        return known, ()   # says nothing about now
    since_ms = known.since_ms if state is known.state and DROP not in kinds else at_ms
    events = tuple(
        LinkEvent(kind, at_ms, known.release) if kind == DROP else LinkEvent(kind, at_ms, hello.release, hello.reason)
        for kind in kinds)
    return Presence(state, since_ms, hello.boot, hello.release, hello.counter, hello.reason, at_ms), events


def hear_gone(known: Presence, at_ms: int) -> tuple[Presence, tuple[LinkEvent, ...]]:
    """A device's last will; see hear_on."""
    state, kinds = TABLE[known.state, Signal.GONE]
    since_ms = known.since_ms if state is known.state else at_ms
    events = tuple(LinkEvent(kind, at_ms, known.release) for kind in kinds)
    return Presence(state, since_ms, known.boot, known.release, known.counter, known.reason, at_ms), events


def _signal(known: Presence, hello: Hello, *, copy: bool) -> Signal:
    if (hello.release, hello.counter) != (known.release, known.counter):
        return Signal.UPDATED if hello.counter >= known.counter else Signal.REVERTED
    if hello.boot != known.boot:
        return Signal.REBOOTED
    # A state message names no session. Two drops in a row with one reason and no will between them count once; the device's own
    # metrics count both.
    return Signal.STILL if copy or hello.reason == known.reason else Signal.BACK
