"""`tenfold db`: whether the telemetry database is sound."""

import json

import typer

from host.cli.database import Database
from host.cli.drawn import progress
from host.cli.server import AsJson
from host.cli.upkeep import opened
from host.store.check import check as checked

app = typer.Typer(no_args_is_help=True, help="Whether the telemetry database is sound.")


@app.command()
def check(database: Database = "", as_json: AsJson = False) -> None:
    """Read everything once and tell what does not hold: files, sums, names, day columns, rollups. Exit code 1: something.

    Safe beside ingest. Example: tenfold db check --database sqlite:///telemetry.db
    """
    with opened(database) as engine, progress(as_json) as bar:
        task = bar.add_task("", total=None)
        found = checked(engine, lambda what: bar.update(task, description=what))
    if as_json:
        print(json.dumps({"sound": not found, "findings": found}))
    else:
        print("\n".join(found) if found else "sound")
    if found:
        raise typer.Exit(1)
