"""`tenfold config`: what devices measure and how, over the air: checked whole, tried by the device, kept if that stays healthy."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.cli import times
from host.cli.server import AsJson, Ca, Cert, Key, Url, connect
from node.errors import CallerError
from ota.rules.configs import checked

app = typer.Typer(no_args_is_help=True, help="What devices measure and how, changed over the air.")
LINE = "the line's"   # a configuration without a name
File = Annotated[Path, typer.Argument(help="JSON: channels and what else may be delivered, see firmware/README.md.",
                                      exists=True, dir_okay=False)]


@app.command()
def check(file: File) -> None:
    """Check a configuration as the devices will, without sending it. Example: tenfold config check pumps.json."""
    try:
        name, text = checked(file.read_bytes())
    except CallerError as error:
        raise typer.BadParameter(str(error)) from None
    print(f"{name}  {len(text)} bytes, good")


@app.command()
def send(
    file: File, server: Url, ca: Ca, cert: Cert, key: Key,
    devices: Annotated[list[str] | None, typer.Argument(help="Device ids.")] = None,
    model: Annotated[str | None, typer.Option(help="All devices of this model that have ever checked in.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the order.")] = "", as_json: AsJson = False,
) -> None:
    """Have devices run a configuration. They take it with their next check-in, try it, and go back if it does them no good.

    Example: tenfold config send pumps.json hall-0242ac110001 --reason "one reading a second"
    """
    with connect(server, ca, cert, key) as client:
        name = client.add_config(file.read_text(), reason)
        answer = client.order_config(name, devices or [], model, reason)
    if as_json:
        print(json.dumps(answer))
        return
    print(f"configuration {name} is meant for {answer['devices']} devices; see what becomes of it: tenfold config show DEVICE")


@app.command("list")
def list_(server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """List configurations, and how many devices should run, do run and failed each."""
    with connect(server, ca, cert, key) as client:
        rows = client.configs()
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("configuration", "kept since", "by", "note", "wanted", "running", "failed")
    for row in rows["configs"]:
        counts = (str(row[key]) for key in ("wanted", "running", "failed"))
        table.add_row(row["name"], times.utc(row["added_s"] * 1000), row["added_by"], row["note"], *counts)
    Console().print(table)


@app.command()
def show(device: Annotated[str, typer.Argument(help="Device id.")], server: Url, ca: Ca, cert: Cert, key: Key,
         as_json: AsJson = False) -> None:
    """Show what configuration a device runs and should run, and its history."""
    with connect(server, ca, cert, key) as client:
        shown = client.device_config(device)
    if as_json:
        print(json.dumps(shown))
        return
    on_trial = " on trial" if shown["config_trial"] else ""
    print(f"{device} runs {shown['config'] or LINE}{on_trial}, is meant to run {shown['config_wanted'] or LINE}")
    if shown["config_failed"]:
        print(f"gave up {shown['config_failed']}: {shown['config_reason']}")
    table = Table("when", "event", "configuration", "why")
    for row in shown["history"]:
        table.add_row(times.utc(row["at_s"] * 1000), row["event"], row["name"] or LINE, row["reason"])
    Console().print(table)


@app.command()
def body(name: Annotated[str, typer.Argument(help="As `list` shows it.")], server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    """Print a configuration that is kept."""
    with connect(server, ca, cert, key) as client:
        print(client.config_body(name))
