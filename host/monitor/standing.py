"""Who is offline and which release drops connections: figures in the order in which a person wants to read them.

Decides what stands first and which release is worse than the others by more than chance. Shapes for tables and JSON, no formatting.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from host.monitor.facts import Fleet
from host.monitor.figures import RSSI, SYNC_FAILURE, DeviceFigures, GroupFigures, Place, device_figures, group_figures, lowest
from host.monitor.spread import quantile, rate


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
    """A release, a model or a site. None: nobody has told.

    Attributes:
        drops_a_day, drops_low, drops_high: a device-day, with a 95 % interval; None: nothing was watched.
        worse: even the low end is above the rate of all other groups together.
        resets: reboots by cause. crash_free: share of hours.
        tx_bytes, rx_bytes, msgs, ring_dropped, sync_failures: sums of check-ins, ever. sync_success: share.
        stored_bytes, records, readings, late, unclocked, lost: of the lives of the devices that are here now.
        ring_used: of the fullest ring. rssi_dbm, rssi_dbm_min: median and weakest. heap_free, idf_block: the lowest.
        alarms: channels beyond a limit. clock_unknown: devices.
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
    resets: Mapping[str, int]
    tx_bytes: int | None
    rx_bytes: int | None
    msgs: int | None
    stored_bytes: int | None
    records: int | None
    readings: int | None
    late: int | None
    unclocked: int | None
    lost: int | None
    ring_used: int | None
    ring_dropped: int | None
    sync_success: float | None
    sync_failures: int | None
    rssi_dbm: float | None
    rssi_dbm_min: int | None
    heap_free: int | None
    idf_block: int | None
    clock_unknown: int
    alarms: int | None


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device; names as in GroupRow. None: nobody has told.

    Attributes:
        online: None: never heard at the broker.
        tx_bytes, rx_bytes, msgs, sync_failures: since its boot. clock_known: of its newest boot.
    """

    device: str
    release: str
    model: str
    site: str
    online: bool | None
    online_share: float | None
    drops: int | None
    drops_a_day: float | None
    back_p50_s: float | None
    back_p95_s: float | None
    resets: Mapping[str, int]
    crash_free: float | None
    tx_bytes: int | None
    rx_bytes: int | None
    msgs: int | None
    stored_bytes: int | None
    records: int | None
    readings: int | None
    late: int | None
    unclocked: int | None
    lost: int | None
    ring_used: int | None
    ring_dropped: int | None
    sync_failures: int | None
    rssi_dbm: int | None
    heap_free: int | None
    idf_block: int | None
    clock_known: bool | None
    sensors_bad: int | None
    alarms: int | None
    checkin_ms: int | None
    certificate_left_s: int | None


def device_rows(fleet: Fleet) -> list[DeviceRow]:
    """Every known device, those that are not online first, then by id."""
    return sorted((_device(each) for each in device_figures(fleet)), key=lambda row: (row.online is True, row.device))


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


def model_rows(fleet: Fleet) -> list[GroupRow]:
    """Models, by name."""
    return sorted(_rows(fleet, lambda place: place.model), key=lambda row: row.name)


def site_rows(fleet: Fleet) -> list[GroupRow]:
    """Sites, the one with most devices that are not online first."""
    rows = _rows(fleet, lambda place: place.site)
    return sorted(rows, key=lambda row: (row.online - row.devices, -(row.drops_low or 0), row.name))


def summary(fleet: Fleet) -> dict[str, int | None]:
    """The whole fleet in a few numbers; of failed syncs and the weakest signal None, when no device tells of them."""
    devices = device_figures(fleet)
    heard = [each.heard for each in devices if each.heard is not None]
    online = [each.online for each in heard]

    def told(name: str) -> list[int]:
        return [value for each in devices if (value := each.metric(name)) is not None]

    return {
        "devices": len(devices), "online": online.count(True), "offline": online.count(False),
        "unknown": len(devices) - online.count(True) - online.count(False),
        "clock_unknown": sum(each.clock_known is False for each in heard), "late": sum(each.late for each in heard),
        "lost": sum(each.lost for each in heard), "sensors_bad": sum(each.metric("sensors_bad") or 0 for each in devices),
        "alarms": sum(each.metric("alarms") or 0 for each in devices), "sync_failures": _sum(told(SYNC_FAILURE)),
        "rssi_dbm_min": min(told(RSSI), default=None),
    }


def _device(each: DeviceFigures) -> DeviceRow:
    heard, links, told, life = each.heard, each.links, each.metric, each.life
    return DeviceRow(
        device=each.device, release=each.place.release, model=each.place.model, site=each.place.site,
        online=None if heard is None else heard.online, online_share=links.online_share,
        drops=links.drops if links.watched_days else None, drops_a_day=links.drops_per_device_day,
        back_p50_s=quantile(each.reconnects_s, 0.5), back_p95_s=quantile(each.reconnects_s, 0.95), resets=dict(each.resets),
        crash_free=each.crash_free, tx_bytes=told("tx_bytes"), rx_bytes=told("rx_bytes"), msgs=told("msgs"),
        stored_bytes=life("bytes"), records=life("records"), readings=life("readings"), late=life("late"),
        unclocked=life("unclocked"), lost=life("lost"), ring_used=told("ring_used"), ring_dropped=told("ring_dropped"),
        sync_failures=told(SYNC_FAILURE), rssi_dbm=told(RSSI), heap_free=told("heap_free") or None,
        idf_block=told("idf_block") or None, clock_known=None if heard is None else heard.clock_known,
        sensors_bad=told("sensors_bad"), alarms=told("alarms"), checkin_ms=None if each.told is None else each.told.at_ms,
        certificate_left_s=each.certificate_left_s)


def _rows(fleet: Fleet, group: Callable[[Place], str]) -> list[GroupRow]:
    groups = group_figures(fleet, group)
    return [_row(name, one, [other for key, other in groups.items() if key != name]) for name, one in groups.items()
            if one.members or one.links.watched_days]


def _row(name: str, one: GroupFigures, others: list[GroupFigures]) -> GroupRow:
    mean, low, high = one.drops_a_day or (None, None, None)
    rest = rate([each for other in others for each in other.by_device])
    ends_s = [each.certificate_left_s for each in one.members if each.certificate_left_s is not None]
    online = sum(each.heard is not None and each.heard.online is True for each in one.members)
    sums, life, told = one.sums, one.life, one.told
    return GroupRow(
        name=name, devices=len(one.members), online=online, online_share=one.links.online_share, drops=one.links.drops,
        drops_a_day=mean, drops_low=low, drops_high=high, worse=low is not None and rest is not None and low > rest[0],
        back_p50_s=one.reconnect_s(0.5), back_p95_s=one.reconnect_s(0.95), reboots=one.links.reboots,
        rollbacks=one.links.rollbacks, crash_free=one.crash_free, certificate_left_s=min(ends_s, default=None),
        resets=dict(one.resets), tx_bytes=None if sums is None else sums["tx_bytes"],
        rx_bytes=None if sums is None else sums["rx_bytes"], msgs=None if sums is None else sums["msgs"],
        stored_bytes=life("bytes"), records=life("records"), readings=life("readings"), late=life("late"),
        unclocked=life("unclocked"), lost=life("lost"), ring_used=max(told("ring_used"), default=None),
        ring_dropped=None if sums is None else sums["ring_dropped"], sync_success=one.sync_success, sync_failures=one.unsynced,
        rssi_dbm=quantile(told(RSSI), 0.5), rssi_dbm_min=min(told(RSSI), default=None), heap_free=lowest(told("heap_free")),
        idf_block=lowest(told("idf_block")),
        clock_unknown=sum(each.heard is not None and each.heard.clock_known is False for each in one.members),
        alarms=_sum(told("alarms")))


def _sum(values: list[int]) -> int | None:
    return sum(values) if values else None
