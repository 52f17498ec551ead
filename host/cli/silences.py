"""`tenfold alerts silence`: hear nothing of some alerts for a while."""

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console

from host.cli.alerts_common import UNITS_S, database, matchers, seconds, when
from host.cli.database import Database
from host.cli.drawn import filled, right, whole
from host.cli.server import AsJson
from host.cli.who import me
from host.clock import unix_ms
from host.monitor.alerting.silences import Silence
from host.store import alerts

app = typer.Typer(no_args_is_help=True, help="Hear nothing of some alerts for a while; their states and history go on.")
MOST_S = 90 * UNITS_S["d"]


@app.command()
def add(
    labels: Annotated[list[str], typer.Argument(metavar="LABEL=PATTERN…", help="All must match, e.g. site=nord rule=device-*.")],
    reason: Annotated[str, typer.Option(help="Why; it is shown to everybody.")],
    for_: Annotated[str, typer.Option("--for", help="How long, e.g. 30m, 2h, 3d; at most 90 days.")] = "2h",
    by: Annotated[str, typer.Option(help="Who wants it; default you.")] = "",
    url: Database = "", as_json: AsJson = False,
) -> None:
    """Mute notices for a while. Labels are those of the samples, and `rule` and `severity`.

    Example: tenfold alerts silence add site=nord --for 2h --reason "works on the roof"
    """
    told, from_ms, lasts_s = matchers(labels), unix_ms(), seconds("--for", for_)
    if not 0 < lasts_s <= MOST_S:
        raise typer.BadParameter(f"got {for_}, expected at most 90 days: a rule that nobody wants is changed, not silenced",
                                 param_hint="--for")
    with database(url, write=True) as connection:
        made = alerts.add_silence(connection, Silence(
            0, told, from_ms, from_ms + int(lasts_s * 1000), (by or me())[:100], reason[:500]))
    print(json.dumps(dataclasses.asdict(made)) if as_json else f"silence {made.ident} until {when(made.until_ms)}")


@app.command("list")
def list_(url: Database = "", as_json: AsJson = False) -> None:
    """List silences that have not ended."""
    with database(url) as connection:
        rows = alerts.silences(connection, ending_after_ms=unix_ms())
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in rows]))
        return
    Console().print(filled(
        [right("silence"), whole("matchers"), whole("until"), "by", "why"],
        [[str(each.ident), " ".join(f"{label}={pattern}" for label, pattern in each.matchers.items()), when(each.until_ms),
          each.author, each.reason] for each in rows]))


@app.command()
def end(
    ident: Annotated[int, typer.Argument(metavar="SILENCE", help="Its number, from `tenfold alerts silence list`.")],
    url: Database = "",
) -> None:
    """End a silence now: what still fires is told."""
    with database(url, write=True) as connection:
        if not alerts.end_silence(connection, ident, unix_ms()):
            raise typer.BadParameter(f"got {ident}, expected a silence that has not ended; see `tenfold alerts silence list`")
    print(f"silence {ident} has ended")
