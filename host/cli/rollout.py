"""`tenfold rollout`: bring a release to the fleet, stage by stage."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.cli.server import AsJson, Ca, Cert, Key, Url, connect

app = typer.Typer(no_args_is_help=True, help="Bring a release to the fleet, stage by stage.")
Ident = Annotated[str, typer.Argument(help="The rollout, from `tenfold rollout list`.")]


@app.command()
def start(
    manifest: Annotated[str, typer.Argument(help="SHA-256 of the published manifest.")],
    server: Url, ca: Ca, cert: Cert, key: Key,
    stage: Annotated[list[float] | None, typer.Option(help="Percent of the fleet; repeat. Default 1, 5, 10, 100.")] = None,
    soak_s: Annotated[float | None, typer.Option(help="Seconds that each stage must stay healthy. Default 1, 2, 3, 3 d.")] = None,
) -> None:
    """Start a rollout of a published release.

    Example: tenfold rollout start 3b2b… --stage 1 --stage 10 --stage 100 --soak-s 86400
    """
    policy: dict[str, Any] = {"stages": stage or None, "soak_s": soak_s}
    with connect(server, ca, cert, key) as client:
        print(json.dumps(client.start_rollout(manifest, **{name: value for name, value in policy.items() if value is not None})))


@app.command("list")
def list_(server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """List rollouts, newest first."""
    with connect(server, ca, cert, key) as client:
        rows = client.rollouts()
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("rollout", "release", "state", "stage", "devices", "why")
    for row in rows:
        stages = " → ".join(f"[bold]{pct:g} %[/]" if at == row["stage"] else f"{pct:g} %" for at, pct in enumerate(row["stages"]))
        table.add_row(row["rollout"], row["release"], row["state"], stages, f"{row['offered']}/{row['population']}", row["reason"])
    Console().print(table)


@app.command()
def show(rollout: Ident, server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    """Show stages, gate, history and devices of one rollout, as JSON."""
    with connect(server, ca, cert, key) as client:
        print(json.dumps(client.rollout(rollout), indent=2))


@app.command()
def pause(rollout: Ident, server: Url, ca: Ca, cert: Cert, key: Key, reason: str = "") -> None:
    """Stop offering it; devices under way go on."""
    _command("pause", rollout, reason, server, ca, cert, key)


@app.command()
def resume(rollout: Ident, server: Url, ca: Ca, cert: Cert, key: Key, reason: str = "") -> None:
    """Go on after a pause or a halt: you have looked at the failures."""
    _command("resume", rollout, reason, server, ca, cert, key)


@app.command()
def approve(rollout: Ident, server: Url, ca: Ca, cert: Cert, key: Key, reason: str = "") -> None:
    """Let happen what another person asked for: a start, or going on after a halt."""
    _command("approve", rollout, reason, server, ca, cert, key)


@app.command()
def abort(rollout: Ident, server: Url, ca: Ca, cert: Cert, key: Key, reason: str = "") -> None:
    """End it for good."""
    _command("abort", rollout, reason, server, ca, cert, key)


def _command(command: str, rollout: str, reason: str, server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    with connect(server, ca, cert, key) as client:
        answer = client.command(rollout, command, reason)
    asked = answer["approval"]
    print(f"{answer['rollout']}: {answer['state']}" + (f", {asked['event']} waits for approval" if asked else ""))
