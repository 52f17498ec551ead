"""How well devices stay connected, release by release.

Decides how link events add up over a window of time: connects, drops, reboots, roll-backs, time online, for each firmware
release. Events and times are arguments; host.store.queries reads the rows. A drop is counted for the release that was running
when it happened; a drop that ended in an update is the update's and not counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from host.monitor import presence

MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Event:
    """One row of link_event."""

    device: str
    at_ms: int
    kind: str
    release: str


@dataclass(frozen=True, slots=True)
class Link:
    """One device's link at one moment."""

    online: bool
    release: str


@dataclass(slots=True)
class ReleaseLinks:
    """One release's links over the window.

    Attributes:
        devices: devices whose newest release this is.
        online: those of them that are online at the window's end.
        watched_days: device-days for which it was known whether they were online.
        online_days: device-days online.
    """

    release: str
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


@dataclass(slots=True)
class _Track:
    """One device while the window is walked through."""

    link: Link
    since_ms: int
    drop: ReleaseLinks | None = field(default=None)   # where its newest drop was counted, until the reason is known


def by_release(start: Mapping[str, Link], events: Iterable[Event], from_ms: int, to_ms: int) -> list[ReleaseLinks]:
    """Sum the window [from_ms, to_ms).

    Args:
        start: device -> link when the window begins; devices never heard before it are absent.
        events: those within the window, oldest first.

    Returns:
        One entry for each release seen, in the order of their names.
    """
    sums: dict[str, ReleaseLinks] = {}
    tracks = {device: _Track(link, from_ms) for device, link in start.items()}

    def of(release: str) -> ReleaseLinks:
        return sums.setdefault(release, ReleaseLinks(release))

    for event in events:
        track = tracks.get(event.device)
        if track is not None:
            _watch(of(track.link.release), track, event.at_ms)
        else:
            track = tracks[event.device] = _Track(Link(False, event.release), event.at_ms)
        _count(of(event.release), event, track)
    for track in tracks.values():
        links = of(track.link.release)
        _watch(links, track, to_ms)
        links.devices += 1
        links.online += track.link.online
    return sorted(sums.values(), key=lambda links: links.release)


def _watch(links: ReleaseLinks, track: _Track, until_ms: int) -> None:
    days = (until_ms - track.since_ms) / MS_PER_DAY
    links.watched_days += days
    links.online_days += days if track.link.online else 0.0
    track.since_ms = until_ms


def _count(links: ReleaseLinks, event: Event, track: _Track) -> None:
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
