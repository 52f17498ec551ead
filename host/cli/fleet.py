"""`tenfold fleet`: who is online, who is not and since when, which version drops connections; and the monitor's word to gates."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from host.cli.database import Database, opened
from host.cli.drawn import filled, right, whole
from host.cli.known import Ca, Cert, Hours, Key, Known, Ledger, Sources, Url, read
from host.cli.server import AsJson
from host.monitor.standing import GroupRow, OfflineRow, offline_rows, release_rows, site_rows, summary
from host.settings import SettingsError
from host.upkeep import gates
from ota.client import OtaClient

app = typer.Typer(no_args_is_help=True, help="Who is online, who is not, and which version drops connections.")
Limit = Annotated[int, typer.Option(min=1, help="Rows at most.")]


@app.command()
def status(
    database: Database = "", server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None, ledger: Ledger = "",
    hours: Hours = 24, as_json: AsJson = False,
) -> None:
    """Tell how the fleet does: devices online, and each site with its drops, crashes and the first certificate to end.

    Example: tenfold fleet status --hours 1
    """
    known = _read(database, server, ca, cert, key, ledger, hours)
    rows, all_of_it = site_rows(known.fleet), summary(known.fleet)
    if as_json:
        print(json.dumps({"fleet": all_of_it, "sites": [asdict(row) for row in rows], "notes": list(known.notes)}))
        return
    console = Console()
    console.print("  ".join(_words(all_of_it)), highlight=False)
    console.print(filled(
        [whole("site"), right("devices"), right("online"), right("share"), right("drops a day"), right("back in"), right("boots"),
         right("crash free"), right("cert. left")],
        [[row.name, str(row.devices), _online(row), _pct(row.online_share), _rate(row), _back(row), _count(row.reboots),
          _pct(row.crash_free), _days(row.certificate_left_s)] for row in rows]))
    _tell(console, known, hours)


@app.command()
def offline(
    database: Database = "", server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None,
    site: Annotated[str | None, typer.Option(help="Only devices of this site.")] = None,
    limit: Limit = 50, as_json: AsJson = False,
) -> None:
    """Tell who is offline: since when, what it ran, what it said last, where it stands. The longest gone first.

    `check in` is how long ago it last reached the OTA server: where that is less, it is cut off from the broker only.

    Example: tenfold fleet offline --site nord
    """
    known = _read(database, server, ca, cert, key, "", 1)
    rows = [row for row in offline_rows(known.fleet) if site is None or row.site == site]
    if as_json:
        print(json.dumps({"offline": [asdict(row) for row in rows], "notes": list(known.notes)}))
        return
    console = Console()
    now_ms = known.fleet.now_ms
    if not rows:
        console.print("[green]nobody is offline[/]")
    else:
        console.print(filled(
            [whole("device"), whole("since (UTC)"), right("for"), "release", "site", right("check in"), "said last"],
            [[row.device, _at(row.since_ms), f"[red]{_span((now_ms - row.since_ms) / 1000)}[/]", row.release, row.site,
              _checked_in(row, now_ms), row.reason] for row in rows[:limit]]))
        if len(rows) > limit:
            console.print(f"and {len(rows) - limit} more: --limit")
        for name, count in _whole_sites(known, rows):
            console.print(f"[bold red]all {count} devices of {name} are offline[/]: its power or its network?", highlight=False)
    _tell(console, known, None)


@app.command()
def versions(
    database: Database = "", server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None, hours: Hours = 24,
    as_json: AsJson = False,
) -> None:
    """Tell which version drops connections, the worst first.

    Drops a device-day stand with a 95 % interval; red: even its low end is above what all other versions together have.

    Example: tenfold fleet versions --hours 168
    """
    known = _read(database, server, ca, cert, key, "", hours)
    rows = release_rows(known.fleet)
    if as_json:
        print(json.dumps({"versions": [asdict(row) for row in rows], "notes": list(known.notes)}))
        return
    console = Console()
    console.print(filled(
        [whole("release"), right("devices"), right("online"), right("share"), right("drops a day"), right("back in"),
         right("boots"), right("rolled back"), right("crash free")],
        [[row.name, str(row.devices), _online(row), _pct(row.online_share), f"{_rate(row)} {_interval(row)}".strip(), _back(row),
          _count(row.reboots), _count(row.rollbacks), _pct(row.crash_free)] for row in rows]))
    _tell(console, known, hours)


@app.command()
def feed(
    server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None, database: Database = "", as_json: AsJson = False,
) -> None:
    """Tell the OTA server how links did since the last time, for the rollout gates' check `links`. `tenfold upkeep` does it hourly.

    From the first time on gates wait for it: silence never passes. `tenfold fleet unfeed` ends that.

    Example: tenfold fleet feed
    """
    with _server(server, ca, cert, key) as client, opened(database) as engine:
        told = gates.feed(engine, client, int(time.time()))
    if as_json:
        print(json.dumps({"rows": 0, "left_out": 0} if told is None else asdict(told)))
    elif told is None:
        print("told already, nothing to add")
    else:
        left = f"; {told.left_out} left out: never checked in" if told.left_out else ""
        print(f"told of {told.until_s - told.from_s} s of links in {told.rows} groups{left}")


@app.command()
def unfeed(server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None) -> None:
    """Tell the OTA server that no monitor tells of links any more: gates do not wait for one."""
    with _server(server, ca, cert, key) as client:
        client.end_links()
    print("gates do not wait for a monitor any more")


def _read(
    database: str, server: str, ca: Path | None, cert: Path | None, key: Path | None, ledger: str, hours: float,
) -> Known:
    return read(Sources(database, server, ca, cert, key, ledger), time.time_ns() // 1_000_000, hours)


def _server(server: str, ca: Path | None, cert: Path | None, key: Path | None) -> OtaClient:
    client = Sources("", server, ca, cert, key).client()
    if client is None:
        raise SettingsError("--server", "nothing", "the OTA server with --ca, --cert and --key, or their TENFOLD_… variables")
    return client


def _tell(console: Console, known: Known, hours: float | None) -> None:
    if hours is not None:
        console.print(f"[dim]share, drops, back in, boots: the last {hours:g} h; back in: median and 95 % of drops that ended[/]",
                      highlight=False)
    for note in known.notes:
        console.print(f"[yellow]note: {note}[/]", highlight=False)


def _words(fleet: dict[str, Any]) -> Sequence[str]:
    online = "green" if fleet["online"] == fleet["devices"] else "yellow"
    return [
        f"[bold]{fleet['devices']}[/] devices", f"[{online}]{fleet['online']} online[/]", f"{fleet['offline']} offline",
        *([f"{fleet['unknown']} never heard at the broker"] if fleet["unknown"] else []),
        *([f"[yellow]{fleet['clock_unknown']} without a clock[/]"] if fleet["clock_unknown"] else []),
        *([f"[yellow]{fleet['lost']:,} records lost by full rings[/]"] if fleet["lost"] else []),
        *([f"{fleet['late']:,} late batches"] if fleet["late"] else []),
        *([f"[yellow]{fleet['sensors_bad']} sensors bad[/]"] if fleet["sensors_bad"] else []),
    ]


def _whole_sites(known: Known, rows: Sequence[OfflineRow]) -> list[tuple[str, int]]:
    """Sites of more than one device that are offline as a whole."""
    away = {site.name: site.devices for site in site_rows(known.fleet) if site.devices > 1 and not site.online}
    return [(name, count) for name, count in away.items() if sum(row.site == name for row in rows) == count]


def _online(row: GroupRow) -> str:
    return str(row.online) if row.online == row.devices else f"[yellow]{row.online}[/]"


def _rate(row: GroupRow) -> str:
    if row.drops_a_day is None:
        return "unknown"
    return f"[bold red]{_short(row.drops_a_day)}[/]" if row.worse else _short(row.drops_a_day)


def _interval(row: GroupRow) -> str:
    return "" if row.drops_low is None or row.drops_high is None else f"{_short(row.drops_low)}–{_short(row.drops_high)}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _back(row: GroupRow) -> str:
    if row.back_p50_s is None or row.back_p95_s is None:
        return ""
    return f"{_span(row.back_p50_s)}, {_span(row.back_p95_s)}"


def _pct(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.4g} %"


def _count(number: int) -> str:
    return str(number) if number else ""


def _days(seconds: int | None) -> str:
    if seconds is None:
        return ""
    return f"[bold red]{seconds / 86_400:.0f} d[/]" if seconds < 30 * 86_400 else f"{seconds / 86_400:.0f} d"


def _checked_in(row: OfflineRow, now_ms: int) -> str:
    if row.checkin_ms is None:
        return ""
    shown = _span((now_ms - row.checkin_ms) / 1000)
    return f"[yellow]{shown}[/]" if row.checkin_ms > row.since_ms else shown


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%m-%d %H:%M")


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
