"""Who is offline and which release drops connections: figures in the order in which a person wants to read them.

Decides what stands first and which release is worse than the others by more than chance. Shapes for tables and JSON, no formatting.
"""

from collections.abc import Callable
from dataclasses import dataclass

from host.monitor.facts import Fleet
from host.monitor.figures import GroupFigures, Place, device_figures, group_figures
from host.monitor.spread import rate


@dataclass(frozen=True, slots=True)
class OfflineRow:
    """A device whose last will has come; `reason` is what it said when it connected last, `checkin_ms` None: not told."""

    device: str
    since_ms: int
    release: str
    model: str
    site: str
    reason: str
    record_ms: int | None
    checkin_ms: int | None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A release or a site.

    Attributes:
        drops_a_day, drops_low, drops_high: a device-day, with a 95 % interval; None: nothing was watched.
        worse: even the low end is above the rate of all other groups together.
        crash_free: share of hours; None: not told.
    """

    name: str
    devices: int
    online: int
    online_share: float | None
    drops: int
    drops_a_day: float | None
    drops_low: float | None
    drops_high: float | None
    worse: bool
    back_p50_s: float | None
    back_p95_s: float | None
    reboots: int
    rollbacks: int
    crash_free: float | None
    certificate_left_s: int | None


def offline_rows(fleet: Fleet) -> list[OfflineRow]:
    """Devices that are offline, the longest gone first."""
    rows = [
        OfflineRow(
            each.device, each.heard.since_ms, each.place.release, each.place.model, each.place.site, each.heard.reason,
            each.heard.last_ms or None, None if each.told is None else each.told.at_ms)
        for each in device_figures(fleet) if each.heard is not None and each.heard.online is False
    ]
    return sorted(rows, key=lambda row: (row.since_ms, row.device))


def release_rows(fleet: Fleet) -> list[GroupRow]:
    """Releases, the one that surely drops most first; those of which nothing was watched last."""
    rows = _rows(fleet, lambda place: place.release)
    return sorted(rows, key=lambda row: (-(row.drops_low or 0), -(row.drops_a_day or 0), row.name))


def site_rows(fleet: Fleet) -> list[GroupRow]:
    """Sites, the one with most devices that are not online first."""
    rows = _rows(fleet, lambda place: place.site)
    return sorted(rows, key=lambda row: (row.online - row.devices, -(row.drops_low or 0), row.name))


def summary(fleet: Fleet) -> dict[str, int]:
    """The whole fleet in a few numbers."""
    devices = device_figures(fleet)
    heard = [each.heard for each in devices if each.heard is not None]
    online = [each.online for each in heard]
    return {
        "devices": len(devices), "online": online.count(True), "offline": online.count(False),
        "unknown": len(devices) - online.count(True) - online.count(False),
        "clock_unknown": sum(each.clock_known is False for each in heard), "late": sum(each.late for each in heard),
        "lost": sum(each.lost for each in heard), "sensors_bad": sum(each.metric("sensors_bad") or 0 for each in devices),
    }


def _rows(fleet: Fleet, group: Callable[[Place], str]) -> list[GroupRow]:
    groups = group_figures(fleet, group)
    return [_row(name, one, [other for key, other in groups.items() if key != name]) for name, one in groups.items()
            if one.members or one.links.watched_days]


def _row(name: str, one: GroupFigures, others: list[GroupFigures]) -> GroupRow:
    mean, low, high = one.drops_a_day or (None, None, None)
    rest = rate([each for other in others for each in other.by_device])
    ends_s = [each.certificate_left_s for each in one.members if each.certificate_left_s is not None]
    online = sum(each.heard is not None and each.heard.online is True for each in one.members)
    return GroupRow(
        name, len(one.members), online, one.links.online_share, one.links.drops, mean, low, high,
        low is not None and rest is not None and low > rest[0], one.reconnect_s(0.5), one.reconnect_s(0.95),
        one.links.reboots, one.links.rollbacks, one.crash_free, min(ends_s, default=None))
