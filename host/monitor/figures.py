"""How each device does, and each release, model and site: the figures that METRICS.md defines.

Decides from values (facts.py); reads no clock and no database. A figure that nobody has told is None, never zero. A device belongs
to the release that it runs now, by its newest word; what happened to its link belongs to the release that ran then.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from host.monitor import presence
from host.monitor.connectivity import Back, Event, Links, by_device, reconnects
from host.monitor.facts import NO_SITE, UNKNOWN, Fleet, Heard, Told
from host.monitor.spread import quantile, rate

CRASHES = ("app_crashes", "task_restarts")   # as ota.rules.gate, check "crashes"
CAUSES = ("power", "soft", "watchdog", "panic", "sleep")   # node.ports.System.reset_cause; others are "other"
OTHER, UNTOLD = "other", UNKNOWN
BOOT = "boot:"            # a state message's reason at the first session of a boot
SYNC_FAILURE, SYNCED = "sync_failure", ("connects", "checkins")   # what was tried in vain; what came about
RSSI = "rssi"

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Place:
    """What a device counts for."""

    release: str = UNKNOWN
    model: str = UNKNOWN
    site: str = NO_SITE


@dataclass(frozen=True, slots=True)
class DeviceFigures:
    """One device; `links`, `resets` and `reconnects_s` over the window, all releases together."""

    device: str
    place: Place
    heard: Heard | None
    told: Told | None
    links: Links
    resets: Mapping[str, int]
    reconnects_s: tuple[float, ...]
    certificate_left_s: int | None

    @property
    def crash_free(self) -> float | None:
        """Share of crash-free hours since the boot that the newest check-in spoke of."""
        return None if self.told is None else crash_free(self.told.metrics)

    def life(self, name: str) -> int | None:
        """A field of Heard that is a sum over its life; None when it was never heard."""
        return None if self.heard is None else int(getattr(self.heard, name))

    def metric(self, name: str) -> int | None:
        """A metric of the newest check-in; None when it was not told."""
        return None if self.told is None else self.told.metrics.get(name)


@dataclass(slots=True)
class GroupFigures:
    """Some devices together.

    Attributes:
        members: devices that belong here now.
        links: over the window, of whatever device ran here then; by_device: (drops, watched days) of each of them.
        resets: reboots of the window by cause.
        sums: what check-ins added up to, ever; None when the update server did not tell.
        synced, unsynced: attempts that came about and those in vain, of releases that tell; None: none of them does.
    """

    members: list[DeviceFigures] = field(default_factory=list)
    links: Links = field(default_factory=Links)
    by_device: list[tuple[float, float]] = field(default_factory=list)
    reconnects_s: list[float] = field(default_factory=list)
    resets: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] | None = None
    synced: int | None = None
    unsynced: int | None = None

    @property
    def sync_success(self) -> float | None:
        """Share of attempts that came about, 0..1; None without any, or where no release tells."""
        if self.synced is None or self.unsynced is None or not self.synced + self.unsynced:
            return None
        return self.synced / (self.synced + self.unsynced)

    def life(self, name: str) -> int | None:
        """The members' lives together, whatever they ran then; None when none was ever heard."""
        found = [value for each in self.members if (value := each.life(name)) is not None]
        return sum(found) if found else None

    @property
    def crash_free(self) -> float | None:
        """Share of crash-free hours of all up-time that was told; None without any."""
        return None if self.sums is None else crash_free(self.sums)

    @property
    def drops_a_day(self) -> tuple[float, float, float] | None:
        """Drops a device-day with a 95 % interval; None when nothing was watched."""
        return rate(self.by_device)

    def reconnect_s(self, share: float) -> float | None:
        """A quantile of how long drops lasted; None without any that ended."""
        return quantile(self.reconnects_s, share)

    def told(self, name: str) -> list[int]:
        """A metric of the members' newest check-ins, of those that told it."""
        return [value for member in self.members if (value := member.metric(name)) is not None]


def lowest(values: Iterable[int]) -> int | None:
    """Of low-water marks; 0 is none measured yet."""
    return min((value for value in values if value), default=None)


def crash_free(sums: Mapping[str, int]) -> float | None:
    """Share of hours of up-time without a crash, 0..1: the lowest that it can be, as no two crashes need share an hour."""
    uptime_s = sums.get("uptime_s", 0)
    if uptime_s <= 0:
        return None
    return max(0.0, 1 - sum(sums.get(name, 0) for name in CRASHES) * 3600 / uptime_s)


def cause(event: Event) -> str:
    """Why a device booted, one of CAUSES, OTHER or UNTOLD."""
    if not event.reason.startswith(BOOT):
        return UNTOLD
    told = event.reason.removeprefix(BOOT)
    return told if told in CAUSES else OTHER


def places(fleet: Fleet) -> dict[str, Place]:
    """Where each known device belongs: its release by the newer of state message and check-in, the rest by the update server."""
    found = {}
    for device in sorted({*fleet.heard, *(fleet.told or {})}):
        heard, told = fleet.heard.get(device), (fleet.told or {}).get(device)
        release = heard.release if heard is not None and heard.release else ""
        if told is not None and (not release or heard is None or (not heard.online and told.at_ms > heard.since_ms)):
            release = told.release
        found[device] = Place(release or UNKNOWN, told.model if told else UNKNOWN, (told.site if told else "") or NO_SITE)
    return found


def device_figures(fleet: Fleet) -> list[DeviceFigures]:
    """Every known device, by id."""
    links: dict[str, Links] = {}
    for (device, _), each in _links(fleet).items():
        links.setdefault(device, Links()).add(each)
    resets = _resets(fleet.events, lambda event: event.device)
    backs = _backs(fleet.events, lambda back: back.device)
    ends_s, now_s = fleet.certificate_ends_s or {}, fleet.now_ms // 1000
    return [
        DeviceFigures(
            device, place, fleet.heard.get(device), (fleet.told or {}).get(device), links.get(device, Links()),
            resets.get(device, Counter()), tuple(backs.get(device, ())), ends_s[device] - now_s if device in ends_s else None)
        for device, place in places(fleet).items()
    ]


def group_figures(fleet: Fleet, group: Callable[[Place], G]) -> dict[G, GroupFigures]:
    """Figures of all groups, e.g. by `lambda place: place.release`; a place is told of each device and of each check-in's total."""
    known = places(fleet)
    found: dict[G, GroupFigures] = {}

    def key(device: str, release: str) -> G:
        now = known.get(device, Place())
        return group(Place(release or UNKNOWN, now.model, now.site))

    def of(one: G) -> GroupFigures:
        return found.setdefault(one, GroupFigures())

    telling = set()   # releases that tell of failed syncs; a sum of none is not stored, so that they are known by their devices
    for member in device_figures(fleet):
        of(group(member.place)).members.append(member)
        if member.told is not None and SYNC_FAILURE in member.told.metrics:
            telling.add((member.told.release, member.told.model))
    for (device, release), links in _links(fleet).items():
        if links == Links():
            continue
        one = of(key(device, release))
        one.links.add(links)
        one.by_device.append((links.drops, links.watched_days))
    for where, backs in _backs(fleet.events, lambda back: key(back.device, back.release)).items():
        of(where).reconnects_s += backs
    for where, causes in _resets(fleet.events, lambda event: key(event.device, event.release)).items():
        of(where).resets += causes
    for total in fleet.totals or ():
        one = of(group(Place(total.release, total.model, total.site or NO_SITE)))
        one.sums = (one.sums or Counter()) + Counter(total.sums)
        if SYNC_FAILURE in total.sums or (total.release, total.model) in telling:
            one.synced = (one.synced or 0) + sum(total.sums.get(name, 0) for name in SYNCED)
            one.unsynced = (one.unsynced or 0) + total.sums.get(SYNC_FAILURE, 0)
    return found


def _links(fleet: Fleet) -> dict[tuple[str, str], Links]:
    return by_device(fleet.start, fleet.events, fleet.from_ms, fleet.now_ms)


def _resets(events: Iterable[Event], group: Callable[[Event], G]) -> dict[G, Counter[str]]:
    found: dict[G, Counter[str]] = {}
    for event in events:
        if event.kind == presence.REBOOT:
            found.setdefault(group(event), Counter())[cause(event)] += 1
    return found


def _backs(events: Iterable[Event], group: Callable[[Back], G]) -> dict[G, list[float]]:
    found: dict[G, list[float]] = {}
    for back in reconnects(events):
        found.setdefault(group(back), []).append(back.ms / 1000)
    return found
