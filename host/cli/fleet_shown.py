"""What `tenfold fleet` shows people: cells and words. Decides colours and how short a number is, nothing of what is true."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from host.cli.data_shown import many
from host.cli.known import Known
from host.clock import duration
from host.monitor.standing import DeviceRow, GroupRow, OfflineRow, site_rows

WEAK_DBM = -80   # below it Wi-Fi falls back to its slowest rates, and frames are lost


def words(fleet: dict[str, Any]) -> Sequence[str]:
    """The fleet in a line."""
    online = "green" if fleet["online"] == fleet["devices"] else "yellow"
    return [
        f"[bold]{fleet['devices']}[/] devices", f"[{online}]{fleet['online']} online[/]", f"{fleet['offline']} offline",
        *([f"{fleet['unknown']} never heard at the broker"] if fleet["unknown"] else []),
        *([f"[yellow]{fleet['clock_unknown']} without a clock[/]"] if fleet["clock_unknown"] else []),
        *([f"[yellow]{fleet['lost']:,} records lost by full rings[/]"] if fleet["lost"] else []),
        *([f"{fleet['late']:,} late batches"] if fleet["late"] else []),
        *([f"[yellow]{fleet['sensors_bad']} sensors bad[/]"] if fleet["sensors_bad"] else []),
        *([f"[yellow]{many(fleet['alarms'], 'alarm')}[/]"] if fleet["alarms"] else []),
        *([many(fleet["sync_failures"], "failed sync")] if fleet["sync_failures"] else []),
        *([f"weakest signal {signal(fleet['rssi_dbm_min'])} dBm"] if fleet["rssi_dbm_min"] is not None else []),
    ]


def whole_sites(known: Known, rows: Sequence[OfflineRow]) -> list[tuple[str, int]]:
    """Sites of more than one device that are offline as a whole."""
    away = {site.name: site.devices for site in site_rows(known.fleet) if site.devices > 1 and not site.online}
    return [(name, count) for name, count in away.items() if sum(row.site == name for row in rows) == count]


def device(row: DeviceRow) -> list[str]:
    """Cells of a device."""
    name = row.device if row.online is not False else f"[red]{row.device}[/]"
    return [name, row.release, told(row.drops), signal(row.rssi_dbm), told(row.sync_failures), size(row.ring_used),
            count(row.lost or 0), count(row.alarms or 0)]


def told(number: int | None) -> str:
    """A number; nothing when it is unknown."""
    return "" if number is None else str(number)


def signal(dbm: int | None) -> str:
    """A radio's, in dBm; on a cable or a modem there is none."""
    if dbm is None:
        return ""
    return f"[red]{dbm}[/]" if dbm < WEAK_DBM else str(dbm)


def size(number: int | None) -> str:
    """Bytes."""
    if number is None:
        return ""
    return f"{number / 1024:.0f} KB" if number >= 10_240 else f"{number} B"


def online(row: GroupRow) -> str:
    """How many are online; yellow when not all are."""
    return str(row.online) if row.online == row.devices else f"[yellow]{row.online}[/]"


def rate(row: GroupRow) -> str:
    """Drops a device-day; red where the release is worse than the others."""
    if row.drops_a_day is None:
        return "unknown"
    return f"[bold red]{short(row.drops_a_day)}[/]" if row.worse else short(row.drops_a_day)


def interval(row: GroupRow) -> str:
    """Its 95 % interval."""
    return "" if row.drops_low is None or row.drops_high is None else f"{short(row.drops_low)}–{short(row.drops_high)}"


def short(value: float) -> str:
    """A number in two digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def back(row: GroupRow) -> str:
    """Median and 95 % of how long drops lasted."""
    if row.back_p50_s is None or row.back_p95_s is None:
        return ""
    return f"{duration(row.back_p50_s)}, {duration(row.back_p95_s)}"


def pct(share: float | None) -> str:
    """A share."""
    return "unknown" if share is None else f"{100 * share:.4g} %"


def count(number: int) -> str:
    """A number; nothing for none."""
    return str(number) if number else ""


def days(seconds: int | None) -> str:
    """Until a certificate ends; red below 30 days."""
    if seconds is None:
        return ""
    return f"[bold red]{seconds / 86_400:.0f} d[/]" if seconds < 30 * 86_400 else f"{seconds / 86_400:.0f} d"


def checked_in(row: OfflineRow, now_ms: int) -> str:
    """How long ago; yellow when it was after its link had gone."""
    if row.checkin_ms is None:
        return ""
    shown = duration((now_ms - row.checkin_ms) / 1000)
    return f"[yellow]{shown}[/]" if row.checkin_ms > row.since_ms else shown


def at(ms: int) -> str:
    """A moment, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%m-%d %H:%M")
