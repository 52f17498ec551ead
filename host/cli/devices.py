"""`tenfold devices`: what each device runs, and why; where it stands, its tags and its history."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.cli import times
from host.cli.drawn import filled, right, whole
from host.cli.server import AsJson, Ca, Cert, Key, Url, connect
from ota.client import OtaClient
from ota.rules import windows

app = typer.Typer(no_args_is_help=True, help="What each device runs, and why; where it stands, its tags and its history.")
Device = Annotated[str, typer.Argument(help="Device id, e.g. hall-0242ac110001.")]
Devices = Annotated[list[str] | None, typer.Argument(help="Device ids.")]
File = Annotated[Path | None, typer.Option(help="More device ids, one a line.", exists=True, dir_okay=False)]
Model = Annotated[str | None, typer.Option(help="All devices of this model that have ever checked in.")]
AN_ORDER = 10_000   # devices that the server takes at once


@app.command("list")
def list_(server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """List devices, what they run, and why they are not offered more."""
    with connect(server, ca, cert, key) as client:
        rows = list(client.devices())
    if as_json:
        print(json.dumps(rows))
        return
    Console().print(filled(
        [whole("device"), "site", "tags", whole("release"), whole("slot"), right("bucket"), whole("decision"), "why"],
        [[row["device"], row["site"], " ".join(row["tags"]), row["release"], row["slot"] + (", trial" if row["trial"] else ""),
          "" if row["bucket"] is None else str(row["bucket"]), row["decision"], row["why"]] for row in rows]))


@app.command()
def explain(device: Device, server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """Tell exactly why a device gets what it gets: every rollout that was asked, in order, with its numbers.

    Example: tenfold devices explain hall-0242ac110001
    """
    with connect(server, ca, cert, key) as client:
        found = client.explain(device)
    print(json.dumps(found, indent=2) if as_json else "\n".join(explained(found)))


@app.command()
def forgive(device: Device, server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    """Forget a device's failures, so that it is offered everything again."""
    with connect(server, ca, cert, key) as client:
        print(json.dumps(client.forgive(device)))


@app.command()
def tag(
    name: Annotated[str, typer.Argument(help="The tag.")], server: Url, ca: Ca, cert: Cert, key: Key, devices: Devices = None,
    file: File = None, model: Model = None,
) -> None:
    """Give devices a tag.

    Example: tenfold devices tag pilot --file pilots.txt
    """
    with connect(server, ca, cert, key) as client:
        _changed(client, devices, file, model, tag=[name])


@app.command()
def untag(
    name: Annotated[str, typer.Argument(help="The tag.")], server: Url, ca: Ca, cert: Cert, key: Key, devices: Devices = None,
    file: File = None, model: Model = None,
) -> None:
    """Take a tag off devices.

    Example: tenfold devices untag pilot --model hall
    """
    with connect(server, ca, cert, key) as client:
        _changed(client, devices, file, model, untag=[name])


@app.command()
def site(
    name: Annotated[str, typer.Argument(help='The site; "" takes devices from theirs.')],
    server: Url, ca: Ca, cert: Cert, key: Key, devices: Devices = None, file: File = None, model: Model = None,
    zone: Annotated[str | None, typer.Option(help="The site's IANA time zone; maintenance windows are by its clock.")] = None,
) -> None:
    """Tell where devices stand, and where that is.

    Example: tenfold devices site nord hall-0242ac110001 --zone Europe/Oslo
    """
    with connect(server, ca, cert, key) as client:
        if zone is not None:
            print(json.dumps(client.set_zone(name, zone)))
        if devices or file or model or zone is None:
            _changed(client, devices, file, model, site=name)


@app.command()
def labels(server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """List sites, their time zones, and tags, with the number of devices of each."""
    with connect(server, ca, cert, key) as client:
        found = client.labels()
    if as_json:
        print(json.dumps(found))
        return
    table = Table("site", "tag", "zone", "devices")
    for row in found["sites"]:
        table.add_row(row["site"], "", row["zone"] + ("" if row["known"] else ", unknown to the server"), str(row["devices"]))
    for row in found["tags"]:
        table.add_row("", row["tag"], "", str(row["devices"]))
    Console().print(table)


@app.command()
def history(
    device: Device, server: Url, ca: Ca, cert: Cert, key: Key,
    limit: Annotated[int, typer.Option(min=1, help="As many entries at most, the newest.")] = 100, as_json: AsJson = False,
) -> None:
    """Tell what happened to a device, the newest first.

    Example: tenfold devices history hall-0242ac110001
    """
    with connect(server, ca, cert, key) as client:
        rows = list(client.history(device, limit))
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("when (UTC)", "event", "counter", "what")
    for row in rows:
        at = times.utc(row["at_s"] * 1000)
        table.add_row(at, row["event"], str(row["counter"] or ""), row["detail"])
    Console().print(table)


def explained(found: dict[str, Any]) -> Iterator[str]:
    """What the server says of one device, as lines for people."""
    tags = f", tags {' '.join(found['tags'])}" if found["tags"] else ""
    trial = ", on trial" if found["trial"] else ""
    yield (f"{found['device']} ({found['model']}) runs {found['release']}, counter {found['counter']}{trial}; "
           f"site {found['site'] or 'none'} ({found['zone']}){tags}; heard {_ago(found['now_s'] - found['last_seen_s'])} ago")
    yield f"is told: {found['decision']}, {found['why']}"
    for number, row in enumerate(found["rollouts"], 1):
        yield (f"{number}. {row['rollout']} ({row['state']}) of {row['release']}, counter {row['counter']}: "
               f"{row['decision']}, {row['why']}")
        yield from (f"   {line}" for line in _numbers(row))
    if not found["rollouts"]:
        yield "no rollout is for its model"


def _numbers(row: dict[str, Any]) -> Iterator[str]:
    if row["detail"]:
        yield row["detail"]
    if row["until_s"]:
        opens, closes = (_shown(row[key], row["zone"]) for key in ("from_s", "until_s"))
        yield f"{', '.join(row['windows'])}: opens {opens}, closes {closes}"
    elif row["from_s"]:
        yield f"again from {_shown(row['from_s'], row['zone'])}"
    places = "any number" if row["capacity"] is None else row["capacity"]
    member = "in" if row["bucket"] < row["limit"] else "not in"
    yield (f"bucket {row['bucket']}, {member} stage {row['stage'] + 1} ({row['pct']:g} %), which is below {row['limit']}; "
           f"{row['offered']} of {places} places taken")
    if row["attempt"]:
        yield f"attempt: {row['attempt']}{', ' + row['attempt_reason'] if row['attempt_reason'] else ''}"
    if row["failures"]:
        yield f"came back {row['failures']} times; quarantined at {row['quarantine_after']}"
    if row["path"]:
        yield "path: " + ", then ".join(
            f"{stop['release']} (counter {stop['counter']}, {stop['down_bytes']:,} bytes)" for stop in row["path"])


def _changed(client: OtaClient, devices: list[str] | None, file: Path | None, model: str | None, **change: Any) -> None:
    named = [*(devices or []), *([] if file is None else file.read_text().split())]
    changed = 0
    for start in range(0, max(1, len(named)), AN_ORDER):
        answer = client.label(named[start:start + AN_ORDER], model=model if start == 0 else None, **change)
        changed += answer["changed"]
    print(f"{changed} devices changed")


def _shown(at_s: float, zone: str) -> str:
    here = windows.zone(zone if windows.is_known(zone) else "UTC")
    return datetime.fromtimestamp(at_s, here).strftime("%a %Y-%m-%d %H:%M %Z")


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
