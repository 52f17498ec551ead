"""`tenfold sensors`: what boards measure with, and what replaces it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host import second_source
from host.boards.parts import Need as PartNeed
from host.boards.parts import needs as parts_of
from host.cli import boards
from host.cli.server import AsJson
from node import config
from node.settings import Config

app = typer.Typer(no_args_is_help=True, help="Sensors of boards.")


@app.callback()
def group() -> None:
    """Sensors of boards."""


@app.command("second-source")
def second_source_of(
    site: Annotated[Path | None, typer.Option("--config", help="A device's site.json; without it, every driver there is.")] = None,
    board: Annotated[str | None, typer.Option(help="A profile: its parts; without --config, what is soldered to it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what each quantity of a configuration is measured with, what a board is made of, who makes it, and what replaces it.

    A replacement gives the same quantity and is another maker's; what hangs on the same bus, or on the same pads, is named first.

    Example: tenfold sensors second-source --board wt32-eth01 --config site.json
    """
    parts = [] if board is None else _parts(board)
    needs = second_source.catalogue() if site is None else second_source.of_configuration(config.parse(site.read_bytes(), Config()))
    if board is not None and site is None:
        soldered = boards.read(board).sensors
        needs = [need for need in needs if need.used.driver in soldered]
    alone = [need for need in needs if need.alone]
    if as_json:
        print(json.dumps({"needs": [asdict(need) for need in needs], "alone": [asdict(need) for need in alone],
                          "parts": [{**asdict(part), "alone": part.alone} for part in parts]}))
        return
    if parts:
        _show(parts)
    if board is not None and not needs:
        return
    table = Table("channel" if site else "quantity", "measured with", "maker", "on", "replaced by", "driver after")
    for need in needs:
        used = need.used
        table.add_row(need.channel or need.quantity, used.parts, used.maker, used.bus, _words(need), used.datasheet)
    Console().print(table)
    for need in alone:
        print(f"no second source: {need.channel or need.quantity}, {need.used.parts} ({need.used.maker})")


def _parts(board: str) -> list[PartNeed]:
    """What a board is made of; its replacements are looked for among the profiles that come with the firmware."""
    profile = boards.load(board)
    return parts_of(board, {**{name: boards.load(name) for name in boards.names()}, board: profile}, boards.parts(profile))


def _show(parts: list[PartNeed]) -> None:
    table = Table("part", "", "maker", "replaced by")
    for part in parts:
        others = "\n".join(f"{other.name} ({other.maker}{', same pads' if other.drops_in else ''})" for other in part.replacements)
        table.add_row(part.role, part.name, part.maker, others or "nothing")
    Console().print(table)
    for part in parts:
        if part.alone:
            print(f"no second source: {part.role}, {part.name} ({part.maker})")


def _words(need: second_source.Need) -> str:
    if need.used.maker == second_source.ANY:
        return "any other: what differs is configuration"
    return "\n".join(f"{part.parts} ({part.maker}, {part.bus})" for part in need.replacements) or "nothing"
