"""`tenfold bench herd`, `campaign`, `checkin` and `enrol`: what fleets do to servers, and what happens to fleets."""

import asyncio
import json
import sys
from math import ceil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.bench import campaign, checkin, cores, enrol, fleet, goosebit, herd
from host.cli.drawn import BLOCKS, progress, right
from host.cli.server import AsJson

BARS = 20   # columns of a plot


def bench_herd(
    devices: Annotated[int, typer.Option(min=1, max=1_000_000, help="That come back together.")] = 10_000,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second that the servers were built for.")] = 100.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same herd.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Simulate a fleet after a common outage: connections to the broker, and check-ins, second by second.

    The device's own decisions and the server's, in simulated time. Example: tenfold bench herd --devices 10000 --json
    """
    with progress(as_json) as bar:
        task = bar.add_task("outages", total=len(herd.OUTAGES_S))
        report = herd.measure(devices, rate, seed, lambda: bar.advance(task))
    if as_json:
        print(json.dumps(report))
        return
    console = Console()
    console.print(f"{devices:,} devices, servers built for {rate:g} requests a second: a period of {report['period_s']} s")
    for title, outcomes in (("connections", report["broker"]), ("check-ins", report["checkins"])):
        bar_s = -(-max(len(one["arrivals"]) for one in outcomes) // BARS)
        table = Table(title, *map(right, ("peak/s", "of rate", "served in", "requests")), f"arrivals, {bar_s} s a bar")
        for one in outcomes:
            table.add_row(
                f"away {one['outage_s']} s" if one["outage_s"] else "power cut", f"{one['peak_per_s']:,}",
                f"×{one['peak_over_rate']:.2f}", f"{one['seconds']:.0f} s", f"{one['requests']:.2f}",
                _bars(one["arrivals"], rate, bar_s))
        console.print(table)


def bench_campaign(
    devices: Annotated[int, typer.Option(min=1, max=200, help="Boards, each a process of MicroPython.")] = 50,
    cuts: Annotated[int, typer.Option(min=0, max=100, help="Power cuts a board, from the rollout's start.")] = 5,
    seed: Annotated[int, typer.Option(help="Fixes the waits between cuts.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Update a fleet of real firmware while its power and its links fail at random: who arrives, and who is gone for good.

    How much CPU there is, is measured first: where it does not carry so many boards, all goes slower by the same factor.
    Exit code 1 when a board did not arrive or a committed reading is lost. Example: tenfold bench campaign --devices 10 --json
    """
    with progress(as_json) as bar:
        task = bar.add_task("preparing", total=devices)
        report = asyncio.run(campaign.measure(
            campaign.Case(devices, cuts, seed, cores.spare()),
            lambda what, done: bar.update(task, description=what, completed=done)))
    if as_json:
        print(json.dumps(report))
    else:
        middle_s, last_s = report["arrival_s"]
        table = Table(f"{devices} devices on {report['cores']:.2f} cores, {report['slower']:.1f} times as slow", right(""))
        for name, value in (
            ("arrived", f"{report['arrived']} of {devices}"), ("bricked", f"{report['bricked']}"),
            ("committed readings lost", f"{report['lost']:,}"),
            ("power cuts", f"{report['power_cuts']:,}"), ("while a board installed", f"{report['installing']:,}"),
            ("that left a slot half written", f"{report['midway']:,}"),
            ("resets by a watchdog", f"{report['starved']:,}"), ("connections broken", f"{report['breaks']:,}"),
            ("times a board fell back and went again", f"{report['fell_back']}"),
            ("arrival of the middle one, the last", f"{middle_s:.0f} s, {last_s:.0f} s"),
            ("updated by a delta alone", f"{report['by_delta']}"),
            ("of the release, a device", f"{report['fetched_bytes']:,.0f} bytes, its bundle has {report['artifact_bytes']:,}"),
            ("in all from the update server, a device", f"{report['down_bytes']:,.0f} bytes, TLS and check-ins included"),
        ):
            table.add_row(name, value)
        Console().print(table)
        if report["kept"]:
            print(f"logs and flash files: {report['kept']}")
    if report["arrived"] < devices or report["lost"]:
        raise typer.Exit(1)


def bench_checkin(
    quick: Annotated[bool, typer.Option("--quick", help="The two smaller fleets, for a shorter time.")] = False,
    peer: Annotated[Path | None, typer.Option(
        "--goosebit", envvar=goosebit.PYTHON_ENV, help=f"Python of an environment that holds gooseBit {goosebit.VERSION}.")] = None,
    as_json: AsJson = False,
) -> None:
    """Idle check-ins by CPU second of the real update server with 2,000, 20,000 and 100,000 known devices, gooseBit beside it.

    Mutual TLS, connections kept or a full handshake each. Example: tenfold bench checkin --goosebit ~/goosebit/bin/python
    """
    sizes = checkin.QUICK if quick else checkin.SIZES
    if peer is None:
        print(f"gooseBit is left out; to have it: python3 -m venv DIR, DIR/bin/pip install goosebit=={goosebit.VERSION}, "
              "then --goosebit DIR/bin/python", file=sys.stderr)
    else:
        try:
            goosebit.version(peer)
        except goosebit.PeerError as error:
            raise typer.BadParameter(str(error), param_hint="--goosebit") from None
    with progress(as_json) as bar:
        task = bar.add_task("", total=checkin.steps(sizes, peer=peer))
        report = checkin.measure(
            sizes, quick=quick, peer=peer, step=lambda what: bar.update(task, description=what, advance=1))
    if as_json:
        print(json.dumps({**report["sizes"], "peers": report["peers"]}))
        return
    columns = ("a CPU second", "a second", "p50 ms", "p99 ms")
    rows = [(f"{size} devices", one) for size, one in report["sizes"].items()]
    rows += [(f"{name}, {size} devices", one) for name, found in report["peers"].items() for size, one in found.items()]
    console = Console()
    for title in ("connections kept", "a full handshake each"):
        table = Table("", *map(right, (*columns, "RSS MB")), title=title)
        for name, one in rows:
            rate: fleet.Rate = one if title == "connections kept" else one["handshake"]
            table.add_row(name, *_rate(rate), f"{one['rss_mb']:.0f}")
        console.print(table)


def bench_enrol(as_json: AsJson = False) -> None:
    """Enrolments a second of the real enrolment server, each with a full handshake and recorded in the ledger; signatures a second.

    One server process; what counts on a shared machine is its CPU second. Example: tenfold bench enrol --json
    """
    with progress(as_json) as bar:
        task = bar.add_task("", total=enrol.STEPS)
        report = enrol.measure(
            enrol.DEVICES, enrol.SECONDS, enrol.SIGN_S, lambda what: bar.update(task, description=what, advance=1))
    if as_json:
        print(json.dumps(report))
        return
    table = Table("enrolments, a full handshake each", right(""))
    for name, value in (
        ("a second", f"{report['enrolments_per_s']:,.0f}"),
        ("a CPU second of the server", f"{report['enrolments_per_cpu_s']:,.0f}"),
        ("answered in, half of them, 99 %", f"{report['p50_ms']:.0f} ms, {report['p99_ms']:.0f} ms"),
        ("answered; in the ledger, its chain verified", f"{report['enrolments']:,}; {report['recorded']:,}"),
        ("server processes, cores that they had", f"{report['servers']}, {report['server_cores']:.2f}"),
        ("client processes, of a core the busiest had", f"{report['clients']}, {report['client_pct']} %"),
        ("certificates signed a second, a CPU second, by one thread",
         f"{report['signatures_per_s']:,.0f}, {report['signatures_per_cpu_s']:,.0f}"),
    ):
        table.add_row(name, value)
    Console().print(table)


def _rate(one: fleet.Rate) -> list[str]:
    return [f"{one['per_cpu_second']:,.0f}", f"{one['per_wall_second']:,.0f}", f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}"]


def _bars(arrivals: list[int], rate: float, bar_s: int) -> str:
    """Mean arrivals over time as bars; a full one is the rate or more."""
    parts = (arrivals[at:at + bar_s] for at in range(0, len(arrivals), bar_s))
    return "".join(BLOCKS[min(ceil(sum(part) / len(part) / rate * 8), 8)] for part in parts)
