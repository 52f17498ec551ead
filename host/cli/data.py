"""`tenfold data`: what machines measured: newest values, a window, a night, sums, and all of it as a file."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from host.cli import data_shown as shown
from host.cli import times
from host.cli.database import Database
from host.cli.drawn import progress
from host.cli.sites import Ca, Cert, Key, Sites, Url, sites_of
from host.cli.telemetry import Store, opened
from host.clock import unix_ms
from host.files import whole
from host.monitor.alarms import columns
from host.settings import SettingsError
from host.store.aggregates import aggregate as summed
from host.store.anomalies import AnomalyRows
from host.store.device_alarms import device_alarms
from host.store.events import UNKNOWN, Spans, link_events, releases
from host.store.export import FORMATS
from host.store.export import export as exported
from host.store.shape import Order
from host.store.summary import summarize

app = typer.Typer(
    no_args_is_help=True, help="What machines measured: newest values, a window, a night, sums, and all of it as a file.")
AsJson = Annotated[bool, typer.Option("--json", help="For machines: JSON instead of a table.")]
Device = Annotated[str, typer.Argument(help="Device id, or its end if no other device's id ends so.")]
Devices = Annotated[list[str] | None, typer.Argument(help="Device ids, or their ends; all when none is named.")]
Channels = Annotated[list[str] | None, typer.Argument(help="Channels; all when none is named.")]
ChannelOption = Annotated[list[str] | None, typer.Option("--channel", help="Only this channel; may be repeated.")]
From = Annotated[str, typer.Option("--from", help="Begin: -12h, yesterday, 'yesterday 22:00', 06:00, ISO 8601.")]
To = Annotated[str, typer.Option("--to", help="End, in the same words.")]
Zone = Annotated[str, typer.Option("--zone", help="Time zone of what you type and see, e.g. Europe/Oslo; else this machine's.")]
BY = ("device", "site", "version", "all")
PLOT_POINTS = 2000   # of a channel, for a plot
Points = Annotated[int, typer.Option(
    min=2, max=100_000, help="With --json or --rows: at most so many of a channel, with all extremes.")]


@app.command()
def latest(devices: Devices = None, database: Database = "", as_json: AsJson = False) -> None:
    """Show the newest value of each channel.

    Example: tenfold data latest 0007
    """
    with opened(database) as store:
        names = store.devices(devices or [])
        rows = [{"device": name, **asdict(one)} for name, found in store.queries.latest_of(names).items() for one in found]
    if as_json:
        print(json.dumps(rows))
        return
    Console().print(shown.latest(rows, unix_ms()))


@app.command("range")
def range_(
    device: Device, channels: Channels = None, since: From = "-1h", until: To = "now", zone: Zone = "",
    points: Points = 1000,
    rows: Annotated[bool, typer.Option("--rows", help="The values themselves, a row a time.")] = False,
    database: Database = "", as_json: AsJson = False,
) -> None:
    """Show channels over a window: figures and a plot, or the values. A plot never hides a spike.

    Example: tenfold data range 0007 winding_temp --from -12h
    """
    with opened(database) as store:
        (name,), (from_ms, to_ms) = store.devices([device]), _window(since, until, zone)
        found = summarize(store.queries, name, channels, from_ms, to_ms, points if as_json or rows else PLOT_POINTS)
    if as_json:
        print(json.dumps(shown.as_json(name, found, from_ms, to_ms)))
        return
    where, console = times.zone_of(zone), Console()
    console.print(f"[bold]{name}[/]  {times.window(from_ms, to_ms, where)}", highlight=False)
    console.print(shown.rows(found, where) if rows else shown.plots(found, from_ms, to_ms, where, console.width))


@app.command()
def night(
    device: Device, channels: Channels = None, since: From = "", until: To = "", zone: Zone = "", database: Database = "",
    as_json: AsJson = False,
) -> None:
    """Tell what a machine did last night (22:00 to 06:00, or another window): values, gaps, drops, restarts, alarms, anomalies.

    Example: tenfold data night 0007
    """
    where = times.zone_of(zone)
    now_ms = unix_ms()
    from_ms, to_ms = times.last_night(now_ms, where)
    if since:
        from_ms, to_ms = times.moment(since, now_ms, where, "--from"), now_ms
    if until:
        to_ms = times.moment(until, now_ms, where, "--to")
    _ordered(from_ms, to_ms)
    with opened(database) as store:
        (name,) = store.devices([device])
        known = store.queries.all_channels(name)
        told = columns([one.name for one in known])
        wanted = channels or ([one.name for one in known if one.name not in told] if told else None)
        found = summarize(store.queries, name, wanted, from_ms, to_ms, PLOT_POINTS)
        rang = device_alarms(store.queries, name, channels, from_ms, to_ms)
        events = link_events(store.engine, name, from_ms, to_ms)
        ran = list(releases(store.engine, [name], from_ms, to_ms)[name])
        wrong = [one for one in AnomalyRows(store.engine).findings(from_ms, name) if one.since_ms <= to_ms]
    if as_json:
        print(json.dumps(shown.as_json(name, found, from_ms, to_ms) | {
            "alarms": [asdict(one) for one in rang], "anomalies": [one.row() for one in wrong],
            "events": [asdict(one) for one in events],
            "releases": [{"from_ms": at_ms, "release": label} for at_ms, label in ran]}))
        return
    console = Console()
    console.print(f"[bold]{name}[/]  {times.window(from_ms, to_ms, where)}", highlight=False)
    for part in shown.night(found, events, ran, rang, wrong, from_ms, to_ms, where, console.width):
        console.print(part, highlight=False)


@app.command()
def aggregate(
    devices: Devices = None, channel: ChannelOption = None, since: From = "-24h", until: To = "now", zone: Zone = "",
    by: Annotated[str, typer.Option(help="device, site, version or all.")] = "device",
    bucket: Annotated[str, typer.Option(help="Length of a bucket: 15min, 1h, 1d (of UTC); else one for the whole window.")] = "",
    sites: Sites = None, server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None, database: Database = "",
    as_json: AsJson = False,
) -> None:
    """Show minimum, mean, maximum and count of channels by device, site or firmware version.

    A reading counts for the version that ran when it was taken. Sites are the OTA server's, or those of a file.

    Example: tenfold data aggregate --by version --channel winding_temp --bucket 1h
    """
    if by not in BY:
        raise SettingsError("--by", repr(by), "one of " + ", ".join(BY))
    from_ms, to_ms = _window(since, until, zone)
    bucket_ms = times.span_ms(bucket, "--bucket") if bucket else 0
    with opened(database) as store:
        names = store.devices(devices or [])
        labels = _labels(store, names, by, from_ms, to_ms, lambda: sites_of(sites, server, ca, cert, key))
        # One bucket for the whole window: a bucket that begins at 0 and ends behind it.
        found = list(summed(store.queries, labels, channel, from_ms, to_ms, bucket_ms or to_ms + 1))
    if as_json:
        print(json.dumps([{by: one.label, **_without_label(asdict(one)), "t_ms": max(one.t_ms, from_ms)} for one in found]))
        return
    where, console = times.zone_of(zone), Console()
    console.print(times.window(from_ms, to_ms, where), highlight=False)
    console.print(shown.aggregates(found, by, where, buckets=bool(bucket_ms)))


@app.command()
def export(
    devices: Devices = None, channel: ChannelOption = None, since: From = "-24h", until: To = "now", zone: Zone = "",
    form: Annotated[str, typer.Option("--format", help="csv, parquet or arrow; by the file's ending when there is one.")] = "",
    out: Annotated[Path | None, typer.Option(help="File to write; to standard output when none is named.", dir_okay=False)] = None,
    wide: Annotated[bool, typer.Option("--wide", help="A row a time and a column a channel; else a row a reading.")] = False,
    database: Database = "", as_json: AsJson = False,
) -> None:
    """Write readings at full resolution to a file, whole or not at all; memory stays small however many there are.

    Parquet and Arrow need the extra `analysis`. With --json the file's size is told as JSON.

    Example: tenfold data export 0007 --from -7d --out machine7.parquet
    """
    chosen = form or (out.suffix.removeprefix(".").lower() if out else "") or "csv"
    if chosen not in FORMATS:
        raise SettingsError("--format", repr(chosen), "one of " + ", ".join(FORMATS))
    if out is None and as_json:
        raise SettingsError("--json", "no --out", "a file: standard output is taken by the readings")
    if out is None and chosen != "csv" and sys.stdout.isatty():
        raise SettingsError("--out", "nothing", f"a file or a pipe: {chosen} is not for a terminal")
    from_ms, to_ms = _window(since, until, zone)
    with opened(database) as store, progress(as_json or out is None) as bar:
        task = bar.add_task("reading", total=1.0)
        order = Order(tuple(store.devices(devices or [])), tuple(channel) if channel else None, from_ms, to_ms)
        content = exported(store.queries, order, chosen, wide=wide, progress=lambda share: bar.update(task, completed=share))
        written = _written(content, out)
        left_out = store.queries.undecodable
    if left_out:
        print(f"tenfold: {left_out} stored batches are not in it: schema not told yet, or damaged", file=sys.stderr)
    if as_json:
        print(json.dumps({"file": str(out), "bytes": written, "format": chosen, "from_ms": from_ms, "to_ms": to_ms,
                          "devices": len(order.devices), "left_out": left_out}))
    elif out is not None:
        print(f"{out}: {written:,} bytes, {shown.many(len(order.devices), 'device')}, "
              f"{times.window(from_ms, to_ms, times.zone_of(zone))}")


def _written(content: Iterator[bytes], out: Path | None) -> int:
    if out is not None:
        with whole(out) as file:
            return sum(file.write(part) for part in content)
    written = sum(sys.stdout.buffer.write(part) for part in content)
    sys.stdout.buffer.flush()
    return written


def _window(since: str, until: str, zone: str) -> tuple[int, int]:
    where, now_ms = times.zone_of(zone), unix_ms()
    return _ordered(times.moment(since, now_ms, where, "--from"), times.moment(until, now_ms, where, "--to"))


def _ordered(from_ms: int, to_ms: int) -> tuple[int, int]:
    if not 0 <= from_ms < to_ms:
        raise SettingsError("--to", f"a time {times.length(from_ms - to_ms)} before --from" if to_ms < from_ms else "--from itself",
                            "a time after --from")
    return from_ms, to_ms


def _labels(
    store: Store, names: list[str], by: str, from_ms: int, to_ms: int, ask_sites: Callable[[], dict[str, str]],
) -> dict[str, Spans]:
    if by == "version":
        return releases(store.engine, names, from_ms, to_ms)
    if by == "site":
        known = ask_sites()
        return {name: [(0, known.get(name) or UNKNOWN)] for name in names}
    return {name: [(0, name if by == "device" else "all")] for name in names}


def _without_label(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "label"}
