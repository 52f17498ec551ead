"""How well devices stay connected, device by device and release by release.

Decides how link events add up over a window of time: connects, drops, reboots, roll-backs, time online, time until a device was
back. Events and times are arguments; host.store.queries reads the rows. A drop is counted for the release that was running
when it happened; a drop that ended in an update is the update's and not counted.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from host.clock import DAY_MS
from host.monitor import presence

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Event:
    """One row of link_event."""

    device: str
    at_ms: int
    kind: str
    release: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One device's link at one moment."""

    online: bool
    release: str


@dataclass(slots=True)
class Links:
    """Links of some devices over the window.

    Attributes:
        devices: devices that end the window here.
        online: those of them that are online at the window's end.
        watched_days: device-days for which it was known whether they were online.
        online_days: device-days online.
    """

    devices: int = 0
    online: int = 0
    connects: int = 0
    drops: int = 0
    reboots: int = 0
    updates: int = 0
    rollbacks: int = 0
    watched_days: float = 0.0
    online_days: float = 0.0

    @property
    def online_share(self) -> float | None:
        """Share of the watched time online, 0..1; None when nothing was watched: unknown is not zero."""
        return self.online_days / self.watched_days if self.watched_days else None

    @property
    def drops_per_device_day(self) -> float | None:
        return self.drops / self.watched_days if self.watched_days else None

    def add(self, other: "Links") -> None:
        """Add another's sums to these."""
        for each in fields(Links):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class ReleaseLinks(Links):
    """One release's links over the window; `devices` are those whose newest release this is."""

    release: str = ""


@dataclass(frozen=True, slots=True)
class Back:
    """A device that dropped within the window was back after `ms`; `release` is the one that dropped."""

    device: str
    release: str
    ms: int


@dataclass(slots=True)
class _Track:
    """One device while the window is walked through."""

    link: Link
    since_ms: int
    drop: Links | None = field(default=None)   # where its newest drop was counted, until the reason is known


def by_release(start: Mapping[str, Link], events: Iterable[Event], from_ms: int, to_ms: int) -> list[ReleaseLinks]:
    """Sum the window by release, in the order of their names; see by_device."""
    sums: dict[str, ReleaseLinks] = {}
    for (_, release), links in by_device(start, events, from_ms, to_ms).items():
        sums.setdefault(release, ReleaseLinks(release=release)).add(links)
    return sorted(sums.values(), key=lambda links: links.release)


def by_device(
    start: Mapping[str, Link], events: Iterable[Event], from_ms: int, to_ms: int,
) -> dict[tuple[str, str], Links]:
    """Sum the window [from_ms, to_ms) by device and release.

    Args:
        start: device -> link when the window begins; devices never heard before it are absent.
        events: those within the window, oldest first.
    """
    sums: dict[tuple[str, str], Links] = {}
    tracks = {device: _Track(link, from_ms) for device, link in start.items()}

    def of(device: str, release: str) -> Links:
        return sums.setdefault((device, release), Links())

    for event in events:
        track = tracks.get(event.device)
        if track is not None:
            _watch(of(event.device, track.link.release), track, event.at_ms)
        else:
            track = tracks[event.device] = _Track(Link(False, event.release), event.at_ms)
        _count(of(event.device, event.release), event, track)
    for device, track in tracks.items():
        links = of(device, track.link.release)
        _watch(links, track, to_ms)
        links.devices += 1
        links.online += track.link.online
    return sums


def merged(sums: Mapping[tuple[str, str], Links], group: Callable[[str, str], G]) -> dict[G, Links]:
    """Add up what by_device gives, by any group of (device, release)."""
    found: dict[G, Links] = {}
    for (device, release), links in sums.items():
        found.setdefault(group(device, release), Links()).add(links)
    return found


def reconnects(events: Iterable[Event]) -> list[Back]:
    """How long each drop within the window lasted; those that ended in an update or have not ended are left out."""
    dropped: dict[str, Event] = {}
    found = []
    for event in events:
        if event.kind == presence.DROP:
            dropped[event.device] = event
        elif event.kind == presence.UPDATE:
            dropped.pop(event.device, None)
        elif event.kind == presence.CONNECT and (drop := dropped.pop(event.device, None)) is not None:
            found.append(Back(event.device, drop.release, event.at_ms - drop.at_ms))
    return found


def _watch(links: Links, track: _Track, until_ms: int) -> None:
    days = (until_ms - track.since_ms) / DAY_MS
    links.watched_days += days
    links.online_days += days if track.link.online else 0.0
    track.since_ms = until_ms


def _count(links: Links, event: Event, track: _Track) -> None:
    if event.kind == presence.DROP:
        links.drops += 1
        track.drop = links
    elif event.kind == presence.UPDATE:
        links.updates += 1
        if track.drop is not None:
            track.drop.drops -= 1
            track.drop = None
    elif event.kind == presence.ROLLBACK:
        links.rollbacks += 1
    elif event.kind == presence.REBOOT:
        links.reboots += 1
    elif event.kind == presence.CONNECT:
        links.connects += 1
        track.drop = None
    track.link = Link(event.kind == presence.CONNECT, event.release)
