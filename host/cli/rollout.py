"""`tenfold rollout`: bring a release to the fleet, stage by stage."""

import contextlib
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from host.cli import watching
from host.cli.server import AsJson, Ca, Cert, Key, Url, connect
from ota.client import OtaClient
from ota.rules.filters import MAX_COUNTER

app = typer.Typer(no_args_is_help=True, help="Bring a release to the fleet, stage by stage.")
Ident = Annotated[str, typer.Argument(help="The rollout, from `tenfold rollout list`.")]


@app.command()
def start(
    manifest: Annotated[str, typer.Argument(metavar="RELEASE", help="A published release: its name, or its manifest's SHA-256.")],
    server: Url, ca: Ca, cert: Cert, key: Key,
    stage: Annotated[list[float] | None, typer.Option(help="Percent of the fleet; repeat. Default 1, 5, 10, 100.")] = None,
    soak_s: Annotated[float | None, typer.Option(help="Seconds that each stage must stay healthy. Default 1, 2, 3, 3 d.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model of the release's; repeat.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Only devices at this site; repeat.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only devices with this tag, or another that is named; repeat.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="No devices with this tag; repeat.")] = None,
    from_version: Annotated[str | None, typer.Option(help="Only devices that run this or newer: counter or release.")] = None,
    to_version: Annotated[str | None, typer.Option(help="Only devices that run this or older: counter or release.")] = None,
    window: Annotated[list[str] | None, typer.Option(
        help='Offer only at these times by the clock of each site, e.g. "mon-fri 22:00-05:00"; repeat.')] = None,
    start_at: Annotated[str | None, typer.Option(help="Not before, e.g. 2027-06-05T22:00+02:00.")] = None,
    not_after: Annotated[str | None, typer.Option(help="Nothing new from then on, e.g. 2027-07-01T00:00Z.")] = None,
) -> None:
    """Start a rollout of a published release, for all devices or for some.

    Example: tenfold rollout start 1.1.0 --stage 1 --stage 10 --stage 100 --soak-s 86400

    Example: tenfold rollout start 1.1.0 --site nord --without lab --window "sat,sun 00:00-24:00"
    """
    chosen: dict[str, Any] = {"models": model, "sites": site, "tags": {
        name: tags for name, tags in (("any", tag), ("none", without)) if tags}}
    policy: dict[str, Any] = {"stages": stage, "soak_s": soak_s, "windows": window,
                              "start_at": _time("--start-at", start_at), "not_after": _time("--not-after", not_after)}
    with connect(server, ca, cert, key) as client:
        if from_version or to_version:
            chosen["versions"] = [_counter(client, from_version, 0), _counter(client, to_version, MAX_COUNTER)]
        policy["filter"] = {name: value for name, value in chosen.items() if value}
        print(json.dumps(client.start_rollout(_manifest(client, manifest), **_given(policy))))


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
def watch(
    server: Url, ca: Ca, cert: Cert, key: Key,
    rollout: Annotated[str, typer.Argument(help="The rollout; the newest if none is named.")] = "",
    as_json: AsJson = False,
) -> None:
    """Watch a rollout until it is done, halted or aborted; exit code 1 for the last two. Example: tenfold rollout watch."""
    console, seen, told = Console(), {}, ""
    with connect(server, ca, cert, key) as client, contextlib.ExitStack() as stack:
        ident = rollout or _newest(client)
        live = None
        if console.is_terminal and not as_json:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
        for seen in watching.looks(lambda: client.rollout(ident)):
            text = json.dumps(seen) if as_json else watching.line(seen)
            if live is not None:
                live.update(watching.screen(seen), refresh=True)
            elif text != told:
                print(text, flush=True)
            told = text
    if seen["state"] != "done":
        raise typer.Exit(1)


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


@app.command()
def rollback(
    rollout: Ident,
    manifest: Annotated[str, typer.Argument(
        metavar="RELEASE", help="The published release that brings the older content again: its name, or its manifest's SHA-256.")],
    server: Url, ca: Ca, cert: Cert, key: Key,
    stage: Annotated[list[float] | None, typer.Option(help="Percent of the devices that run the bad release; repeat. "
                                                           "Default 10, 100.")] = None,
    soak_s: Annotated[float | None, typer.Option(help="Seconds that each stage must stay healthy. Default 1 h.")] = None,
    reason: str = "",
) -> None:
    """Lead the devices of a bad release back to older content, by a newer release; ends every rollout of the bad one.

    Make that release with `tenfold release again`, sign and publish it.

    Example: tenfold rollout rollback r0123456789ab 1.3.1 --stage 100 --reason "resets at night"
    """
    policy = {"stages": stage, "soak_s": soak_s}
    with connect(server, ca, cert, key) as client:
        print(json.dumps(client.rollback(rollout, _manifest(client, manifest), reason, **_given(policy))))


def _newest(client: OtaClient) -> str:
    rows = client.rollouts()
    if not rows:
        raise typer.BadParameter("rollout: there is none yet; `tenfold rollout start` makes one")
    return str(rows[0]["rollout"])


def _manifest(client: OtaClient, word: str) -> str:
    """The manifest of a release that may still be installed, given as such or by its name."""
    if re.fullmatch("[0-9a-f]{64}", word):
        return word
    return str(_named((each for each in client.releases() if each["retired_s"] is None), word)["manifest"])


def _given(policy: dict[str, Any]) -> dict[str, Any]:
    """What was chosen: the server's defaults stand in for the rest."""
    return {name: value for name, value in policy.items() if value not in (None, [], {})}


def _time(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise typer.BadParameter(f"{option}: got {text!r}, expected a time with its zone, e.g. 2027-06-05T22:00+02:00")
    return at.timestamp()


def _counter(client: OtaClient, text: str | None, default: int) -> int:
    """A release counter, given as such or by a published release's name."""
    if text is None or text.isdecimal():
        return default if text is None else int(text)
    return int(_named(client.releases(), text)["counter"])   # devices may run what was retired


def _named(releases: Iterable[dict[str, Any]], name: str) -> dict[str, Any]:
    """The one published release of a name."""
    found = [each for each in releases if each["release"] == name]
    if len(found) != 1:
        raise typer.BadParameter(f"release: {len(found)} that are published are named {name}, expected one; `tenfold archive list`")
    return found[0]


def _command(command: str, rollout: str, reason: str, server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    with connect(server, ca, cert, key) as client:
        answer = client.command(rollout, command, reason)
    asked = answer["approval"]
    print(f"{answer['rollout']}: {answer['state']}" + (f", {asked['event']} waits for approval" if asked else ""))
