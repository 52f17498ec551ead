"""`tenfold bench ingest` and `faults`: how much a host takes, and whether it loses any of it."""

import json
import shutil
import sys
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from host.bench import faults, ingest, postgres
from host.cli.drawn import progress, right
from host.cli.server import AsJson

_FAULT_COLUMNS: tuple[Literal["times", "sent", "stored", "lost", "twice", "readings_sent", "readings_stored", "again",
                              "quarantined"], ...] = (
    "times", "sent", "stored", "lost", "twice", "readings_sent", "readings_stored", "again", "quarantined")


def bench_ingest(
    quick: Annotated[bool, typer.Option("--quick", help=f"{ingest.QUICK_S:g} s each, not {ingest.SECONDS:g}.")] = False,
    seconds: Annotated[float | None, typer.Option(min=2, max=3600, help="For each database; 600 shows if memory grows.")] = None,
    devices: Annotated[int, typer.Option(min=1, max=10_000, help="Each with its own certificate and connection.")] = ingest.DEVICES,
    victoria: Annotated[str | None, typer.Option(
        "--victoria", envvar="TENFOLD_VICTORIA", help="VictoriaMetrics' program. Default: victoria-metrics on PATH.")] = None,
    as_json: AsJson = False,
) -> None:
    """Readings a second from the broker to the durable ack, with SQLite and PostgreSQL; peers with the same readings.

    Real nats-server over mutual TLS, real ingest, real devices' batches of 240 readings; all of it shares this machine's cores.

    Example: tenfold bench ingest --quick --json
    """
    program = victoria or shutil.which("victoria-metrics")
    if program is None:
        print("VictoriaMetrics is left out; on Debian: apt-get install victoria-metrics", file=sys.stderr)
    with progress(as_json) as bar:
        task = bar.add_task("", total=ingest.STEPS)
        report = ingest.measure(devices, seconds or (ingest.QUICK_S if quick else ingest.SECONDS), program,
                                lambda what: bar.update(task, description=what, advance=1))
    if report["postgresql"] is None:
        print("PostgreSQL is left out; on Debian: apt-get install postgresql, then pip install 'psycopg[binary]'", file=sys.stderr)
    if as_json:
        print(json.dumps(report))
        return
    console = Console()
    table = Table(f"{report['devices']} devices, {report['window']} batches under way each", *map(right, (
        "readings/s", "p50 ms", "p99 ms", "batches/s", "cores: broker", "ingest", "devices", "database", "ingest MB")))
    for name, one in (("SQLite", report["sqlite"]), ("PostgreSQL", report["postgresql"])):
        if one is not None:
            table.add_row(
                name, f"{one['readings_per_s']:,}", f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}", f"{one['batches_per_s']:,}",
                f"{one['broker_cores']:.2f}", f"{one['ingest_cores']:.2f}", f"{one['devices_cores']:.2f}",
                f"{one['database_cores']:.2f}", f"{one['rss_start_mb']:.0f} to {one['rss_end_mb']:.0f}")
    console.print(table)
    peers = Table("peers, without a broker", right("readings/s"))
    for peer, found in report["peers"].items():
        peers.add_row(peer, "not installed" if found is None else f"{found['readings_per_s']:,}")
    console.print(peers)


def bench_faults(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer records, shorter stalls, PostgreSQL's own faults only.")] = False,
    only: Annotated[str | None, typer.Option(help="Cases whose name has this in it, e.g. disk.")] = None,
    as_json: AsJson = False,
) -> None:
    """Kill broker, ingest and database, stall and fill the database, and let devices repeat, shuffle and talk nonsense.

    Readings sent must be readings stored, once. Exit code 1 when they are not, or when a fault did not come while they were on
    their way.

    Example: tenfold bench faults --quick
    """
    postgresql = postgres.programs() is not None
    if not postgresql:
        print("PostgreSQL is left out; on Debian: apt-get install postgresql, then pip install 'psycopg[binary]'", file=sys.stderr)
    todo = [case for case in faults.cases(postgresql=postgresql, quick=quick)
            if only is None or only in f"{case.name} {case.database}"]
    if not todo:
        raise typer.BadParameter(f"no case has {only!r} in its name", param_hint="--only")
    with progress(as_json) as bar:
        task = bar.add_task("", total=len(todo))
        rows = faults.measure(todo, lambda what: bar.update(task, description=what, advance=1), quick=quick)
    if as_json:
        print(json.dumps({"faults": rows, "bad": any(map(faults.is_bad, rows))}))
    else:
        table = Table("fault", "database", *map(right, (
            "times", "records sent", "stored", "lost", "twice", "readings sent", "stored", "sent again", "kept aside", "s")))
        for row in rows:
            table.add_row(row["fault"], row["database"], *(f"{row[name]:,}" for name in _FAULT_COLUMNS), f"{row['seconds']:.0f}",
                          style="red" if faults.is_bad(row) else "")
        Console().print(table)
        for row in rows:
            if row["not_happened"]:
                print(f"{row['fault']}, {row['database']}: did not happen as told: {', '.join(row['not_happened'])}")
    if any(map(faults.is_bad, rows)):
        raise typer.Exit(1)
