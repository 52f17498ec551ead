"""`tenfold sensors`: what boards measure with, and what replaces it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host import second_source
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
    as_json: AsJson = False,
) -> None:
    """Print what each quantity of a configuration is measured with, who makes it, and what replaces it.

    A replacement gives the same quantity and is another maker's; what hangs on the same bus is named first.

    Example: tenfold sensors second-source --config site.json
    """
    needs = second_source.catalogue() if site is None else second_source.of_configuration(config.parse(site.read_bytes(), Config()))
    alone = [need for need in needs if need.alone]
    if as_json:
        print(json.dumps({"needs": [asdict(need) for need in needs], "alone": [asdict(need) for need in alone]}))
        return
    table = Table("channel" if site else "quantity", "measured with", "maker", "on", "replaced by", "driver after")
    for need in needs:
        used = need.used
        table.add_row(need.channel or need.quantity, used.parts, used.maker, used.bus, _words(need), used.datasheet)
    Console().print(table)
    for need in alone:
        print(f"no second source: {need.channel or need.quantity}, {need.used.parts} ({need.used.maker})")


def _words(need: second_source.Need) -> str:
    if need.used.maker == second_source.ANY:
        return "any other: what differs is configuration"
    return "\n".join(f"{part.parts} ({part.maker}, {part.bus})" for part in need.replacements) or "nothing"
