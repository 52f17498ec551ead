"""`tenfold budget`: what a configuration costs a board over the years, before it is flashed."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from host.boards.profile import Board
from host.budget import budget as rules
from host.budget import wire
from host.cli import boards
from host.cli.application import read_application
from host.cli.server import AsJson
from host.sim import workday
from host.sim.plant import FIRMWARE
from node import config as site
from node.settings import Config
from node.wire import bundle as bundle_format
from node.wire import identity
from ota.release import bundle, drivers
from provisioning.line import room
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import SECTOR_BYTES, ImageError, read_partitions

EXAMPLE = FIRMWARE / "image" / "site.json"
EXIT_MISSED, EXIT_UNMEASURED = 1, 3
BAR = 12   # characters; the margin is in the middle
COLOURS = {rules.OK: "green", rules.MISSED: "red", rules.UNMEASURED: "yellow", rules.TOLD: "dim"}


def budget(
    board: Annotated[str, typer.Option(help="A profile in firmware/image/boards, or a file of that form.")] = "esp32-generic",
    config: Annotated[Path, typer.Option(help="The device's configuration, as /state/site.json.")] = EXAMPLE,
    data: Annotated[Path | None, typer.Option(help="CSV of readings like the device's; else a quiet machine's noise.")] = None,
    stock: Annotated[Path | None, typer.Option(help="MicroPython's image for the board; else the profile's figure.")] = None,
    boots: Annotated[float, typer.Option(min=0, help="Starts a day.")] = 1,
    reconnects: Annotated[float, typer.Option(min=0, help="Broken sessions a day.")] = 4,
    updates: Annotated[float, typer.Option(min=0, help="Releases a year.")] = 12,
    as_json: AsJson = False,
) -> None:
    """Flash life, ring depth, bytes on the wire, RAM and flash to spare: what a configuration costs a board over the years.

    Exit code 1 when a margin of the board is missed, 3 when none is, but something was never measured on that board.

    Example: tenfold budget --board esp32-generic --config site.json --data recording.csv
    """
    profile = boards.load(board)
    parsed = site.parse(config.read_bytes(), Config())
    device = identity.device_id(parsed.product, workday.MAC)
    rows = workday.recorded(parsed, data) if data else workday.noise(parsed)
    typical = _work(parsed, rows)
    plain = workday.unfiltered(parsed)
    worst = _work(plain, workday.incompressible(plain))
    sizes = _sizes(profile, parsed, config.read_bytes(), stock)
    assumed = wire.Assumed(reconnects, boots, updates)
    flows = wire.flows(parsed, device, typical.records_a_day, typical.record_bytes, tls_sessions=2 if profile.psram_bytes else 1,
                       bundle_bytes=sizes.bundle, assumed=assumed)
    found = rules.budget(profile, parsed, typical, worst, sizes, flows, boots=boots, updates_a_year=updates)
    readings = f"readings: {data}, a row a sample" if data else "readings: noise of 1.5 steps on a wandering level, no alarms"
    if as_json:
        print(json.dumps(_report(board, config, found, readings)))
    else:
        _show(f"{config} on {board}", found, readings)
    if found.with_verdict(rules.MISSED):
        sys.exit(EXIT_MISSED)
    if found.with_verdict(rules.UNMEASURED):
        sys.exit(EXIT_UNMEASURED)


def _work(config: Config, rows: Iterator[workday.Row]) -> rules.Work:
    day = workday.work(config, rows)
    mean = sum(day.records) / len(day.records)
    return rules.Work(day.records_a_day, day.readings_a_day, day.sectors_a_day, mean, max(day.records))


def _sizes(board: Board, config: Config, raw: bytes, stock: Path | None) -> rules.Sizes:
    """What the firmware of this folder takes, compiled and laid out as on the line."""
    csv = FIRMWARE / "image" / board.partitions
    parts = {one.label: one.size for one in read_partitions(csv)}
    files = bundle.compile_tree(FIRMWARE, fetch_umqtt(), drivers=drivers.named([raw]))
    image = board.image_bytes
    if stock is not None:
        application = read_application(stock)
        if application.chip != board.chip:
            raise ImageError(f"{stock}: got an application for {application.chip}, expected {board.chip}")
        image = len(application.content)
    used = room.used_bytes(csv, FIRMWARE, files, config.model, raw)
    return rules.Sizes(parts["ring"] // SECTOR_BYTES, parts["vfs"], used, parts["ota_0"], image,
                       len(bundle_format.build(dict(files))), sum(len(files[name]) for name in rules.RESIDENT))


def _report(board: str, config: Path, found: rules.Budget, readings: str) -> dict[str, object]:
    lines = {line.key: {"value": line.value, "unit": line.unit, "at_least": line.at_least, "verdict": line.verdict,
                        "detail": line.detail, **({"advice": line.advice} if line.verdict == rules.MISSED else {})}
             for line in found.lines}
    flows = {flow.name: {"up": round(flow.up), "down": round(flow.down)} for flow in found.flows}
    return {"board": board, "config": str(config), "lines": lines, "wire_bytes_a_day": flows, "assumed": [readings, *found.assumed],
            "missed": [line.key for line in found.with_verdict(rules.MISSED)],
            "not_measured": [line.key for line in found.with_verdict(rules.UNMEASURED)]}


def _show(title: str, found: rules.Budget, readings: str) -> None:
    console = Console()
    table = Table(title=escape(title), title_justify="left")
    for name in ("", "", "value", "at least", "verdict"):
        table.add_column(name, justify="right" if name in ("value", "at least") else "left", no_wrap=True)
    for line in found.lines:
        value = "?" if line.value is None else f"{_short(line.value)} {line.unit}"
        at_least = "" if line.at_least is None else f"{line.at_least:g} {line.unit}"
        colour = COLOURS[line.verdict]
        table.add_row(line.title, _bar(line), value, at_least, f"[{colour}]{line.verdict}[/]")
    console.print(table)
    for line in found.lines:
        console.print(f"[dim]{line.title}:[/] {line.detail}")
    total = sum(flow.both for flow in found.flows)
    console.print("[dim]of that:[/] " + ", ".join(f"{flow.name} {flow.both / 1000:,.0f} KB ({100 * flow.both / total:.0f} %)"
                                              for flow in found.flows))
    for text in (readings, *found.assumed):
        console.print(f"[dim]assumed: {escape(text)}[/]")
    for line in found.with_verdict(rules.MISSED):
        got = f"{_short(line.value or 0)} {line.unit}, at least {line.at_least:g}"
        console.print(f"[red]{line.title}: {got}.[/] Change: {line.advice}")
    for line in found.with_verdict(rules.UNMEASURED):
        console.print(f"[yellow]{line.title}: not measured:[/] {line.detail}")


def _bar(line: rules.Line) -> str:
    """Full at twice the margin, which is the mark."""
    if line.value is None or not line.at_least:
        return ""
    full = round(BAR * min(1.0, max(0.0, line.value / line.at_least / 2)))
    bar = "█" * full + "·" * (BAR - full)
    return bar[:BAR // 2] + "│" + bar[BAR // 2:]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
