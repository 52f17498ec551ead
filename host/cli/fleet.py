"""`tenfold fleet`: who is online, who is not and since when, which version drops connections; and the monitor's word to gates."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from host.cli import fleet_shown as shown
from host.cli.database import Database, opened
from host.cli.drawn import filled, right, whole
from host.cli.known import Ca, Cert, Hours, Key, Known, Ledger, Sources, Url, read
from host.cli.server import AsJson
from host.clock import duration, unix_ms
from host.monitor.standing import GroupRow, device_rows, model_rows, offline_rows, release_rows, site_rows, summary
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

    With --json each site has every figure of host/monitor/METRICS.md, as in `versions`, `models` and `devices`; null is unknown.

    Example: tenfold fleet status --hours 1
    """
    known = _read(database, server, ca, cert, key, ledger, hours)
    rows, all_of_it = site_rows(known.fleet), summary(known.fleet)
    if as_json:
        print(json.dumps({"fleet": all_of_it, "sites": [asdict(row) for row in rows], "notes": list(known.notes)}))
        return
    console = Console()
    console.print("  ".join(shown.words(all_of_it)), highlight=False)
    console.print(filled(
        [whole("site"), right("devices"), right("online"), right("share"), right("drops a day"), right("back in"), right("boots"),
         right("crash free"), right("cert. left")],
        [[row.name, str(row.devices), shown.online(row), shown.pct(row.online_share), shown.rate(row), shown.back(row),
          shown.count(row.reboots), shown.pct(row.crash_free), shown.days(row.certificate_left_s)] for row in rows]))
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
            [[row.device, shown.at(row.since_ms), f"[red]{duration((now_ms - row.since_ms) / 1000)}[/]", row.release, row.site,
              shown.checked_in(row, now_ms), row.reason] for row in rows[:limit]]))
        if len(rows) > limit:
            console.print(f"and {len(rows) - limit} more: --limit")
        for name, count in shown.whole_sites(known, rows):
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
    _tell_groups(known, "versions", "release", release_rows(known.fleet), hours, as_json)


@app.command()
def models(
    database: Database = "", server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None, hours: Hours = 24,
    as_json: AsJson = False,
) -> None:
    """Tell how each model does, as `versions` does of releases.

    Example: tenfold fleet models --hours 168
    """
    known = _read(database, server, ca, cert, key, "", hours)
    _tell_groups(known, "models", "model", model_rows(known.fleet), hours, as_json)


@app.command()
def devices(
    database: Database = "", server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None, ledger: Ledger = "",
    site: Annotated[str | None, typer.Option(help="Only devices of this site.")] = None,
    hours: Hours = 24, limit: Limit = 50, as_json: AsJson = False,
) -> None:
    """Tell how each device does: its drops, Wi-Fi signal, failed syncs since boot, ring, lost records, alarms. Those offline first.

    An empty cell is unknown, or none of what is lost or in alarm. With --json all devices, with every figure of
    host/monitor/METRICS.md; null is unknown.

    Example: tenfold fleet devices --site nord
    """
    known = _read(database, server, ca, cert, key, ledger, hours)
    rows = [row for row in device_rows(known.fleet) if site is None or row.site == site]
    if as_json:
        print(json.dumps({"devices": [asdict(row) for row in rows], "notes": list(known.notes)}))
        return
    console = Console()
    console.print(filled(
        [whole("device"), whole("release"), right("drops"), right("dBm"), right("failed syncs"), right("ring"), right("lost"),
         right("alarm")],
        [shown.device(row) for row in rows[:limit]]))
    if len(rows) > limit:
        console.print(f"and {len(rows) - limit} more: --limit")
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
    return read(Sources(database, server, ca, cert, key, ledger), unix_ms(), hours)


def _tell_groups(known: Known, key: str, name: str, rows: list[GroupRow], hours: float, as_json: bool) -> None:
    if as_json:
        print(json.dumps({key: [asdict(row) for row in rows], "notes": list(known.notes)}))
        return
    console = Console()
    console.print(filled(
        [whole(name), right("devices"), right("online"), right("share"), right("drops a day"), right("back in"),
         right("boots"), right("rolled back"), right("crash free")],
        [[row.name, str(row.devices), shown.online(row), shown.pct(row.online_share),
          f"{shown.rate(row)} {shown.interval(row)}".strip(), shown.back(row), shown.count(row.reboots), shown.count(row.rollbacks),
          shown.pct(row.crash_free)] for row in rows]))
    _tell(console, known, hours)


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
