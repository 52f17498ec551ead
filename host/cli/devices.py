"""`tenfold device`: what each device runs, and why."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.cli.server import AsJson, Ca, Cert, Key, Url, connect

app = typer.Typer(no_args_is_help=True, help="What each device runs, and why.")
Device = Annotated[str, typer.Argument(help="Device id, e.g. hall-0242ac110001.")]


@app.command("list")
def list_(server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """List devices, what they run, and why they are not offered more."""
    with connect(server, ca, cert, key) as client:
        rows = list(client.devices())
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("device", "release", "slot", "trial", "bucket", "decision", "why")
    for row in rows:
        table.add_row(row["device"], row["release"], row["slot"], "trial" if row["trial"] else "", str(row["bucket"]),
                      row["decision"], row["why"])
    Console().print(table)


@app.command()
def explain(device: Device, server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    """Tell all that is known of why a device gets what it gets, as JSON."""
    with connect(server, ca, cert, key) as client:
        print(json.dumps(client.explain(device), indent=2))


@app.command()
def forgive(device: Device, server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    """Forget a device's failures, so that it is offered everything again."""
    with connect(server, ca, cert, key) as client:
        print(json.dumps(client.forgive(device)))
