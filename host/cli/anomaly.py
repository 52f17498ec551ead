"""`tenfold anomaly`: what looks wrong, why, and when a limit will be reached."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
import typer
from rich.console import Console
from sqlalchemy import Engine, inspect

from host.cli.database import Database, present
from host.cli.drawn import BLOCKS, filled, progress, right, whole
from host.cli.server import AsJson
from host.clock import DAY_MS, duration, unix_ms
from host.db import DatabaseError, migrate, open_engine
from host.monitor.anomalies import PAST_DAYS, Anomalies, worst_first
from host.monitor.anomaly.findings import ALL, Finding
from host.monitor.anomaly.forest import ModelError
from host.monitor.anomaly.scores import KINDS
from host.monitor.anomaly.trend import NO_TREND, NOT_IN_SIGHT, REACHED, UNKNOWN, Forecast, forecast
from host.monitor.anomaly.tuning import Tuning
from host.store.anomalies import AnomalyRows
from host.store.queries import Queries

SPARKS = 16              # characters of a sparkline
SPARK_MS = DAY_MS        # what it shows before a finding began
SERIES_POINTS = 200_000  # of a channel that a trend is looked for in

app = typer.Typer(no_args_is_help=True, help="What looks wrong, why, and when a limit will be reached.")
Device = Annotated[str, typer.Argument(help="Device id, e.g. hall-0242ac110001.")]
Zone = Annotated[str, typer.Option(help="IANA time zone by whose clock days begin, e.g. Europe/Oslo.")]
Budget = Annotated[float, typer.Option(min=0.01, max=100, help="False alarms of a device a week that are put up with.")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="Days of the past that are looked at.")]


@app.command("list")
def list_(
    database: Database = "", days: Annotated[int, typer.Option(min=0, help="Also what ended in so many days.")] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Also what the budget holds back.")] = False,
    zone: Zone = "UTC", budget: Budget = 1.0, as_json: AsJson = False,
) -> None:
    """List what looks wrong in the whole fleet, the farthest first: channel, kind, how far, since when.

    Reads on from where `tenfold upkeep` or `tenfold anomaly train` stopped; without one, from 28 days ago. Writes nothing.

    Example: tenfold anomaly list --database sqlite:///build/demo/telemetry.db
    """
    with _anomalies(database, _tuning(zone, budget)) as anomalies, progress(as_json) as bar:
        now_ms, names, found, warm = unix_ms(), anomalies.devices(), [], 0
        task = bar.add_task("devices", total=len(names))
        for name in names:
            anomalies.catch_up(name)
            watch = anomalies.watch(name)
            warm += watch.is_warm()
            found += [*watch.open(), *(one for one in watch.recent if one.last_ms >= now_ms - days * DAY_MS)]
            bar.advance(task)
        shown = worst_first(one for one in found if everything or not one.held)
        sparks = [_spark(anomalies, one, now_ms) for one in shown]
    held = sum(bool(one.held) for one in found)
    if as_json:
        print(json.dumps({"devices": len(names), "warm": warm, "held": held, "findings": [one.row() for one in shown]}))
        return
    if shown:
        Console().print(filled(
            [whole("device"), whole("channel"), "kind", right("× limit"), "what", whole("since (UTC)"), whole("day before, since")],
            [[one.device, one.channel, one.kind, f"{one.excess:.1f}", one.says() + (" (held)" if one.held else ""),
              _at(one.since_ms) + ("" if one.until_ms is None else f", {duration((one.until_ms - one.since_ms) / 1000)}"), spark]
             for one, spark in zip(shown, sparks, strict=True)]))
    print(f"{len(shown)} findings on {len(names)} devices"
          + (f", {held} held back by the budget (--all)" if held and not everything else "")
          + (f"; {len(names) - warm} devices are still learning" if warm < len(names) else ""))


@app.command()
def explain(
    device: Device, database: Database = "", zone: Zone = "UTC", budget: Budget = 1.0, as_json: AsJson = False,
) -> None:
    """Tell what a device's detectors know: what they expect of each channel now, from when on they speak, and what they found.

    Example: tenfold anomaly explain hall-0242ac110001
    """
    with _anomalies(database, _tuning(zone, budget)) as anomalies:
        _known(anomalies, device)
        anomalies.catch_up(device)
        watch, now_ms = anomalies.watch(device), unix_ms()
    channels: list[dict[str, Any]] = []
    for channel in watch.channels.values():
        expected = channel.scores.baseline.expected(now_ms, watch.tuning)
        learnt, needed = channel.warm(watch.tuning)
        channels.append({
            "channel": channel.name, "unit": channel.unit, "last": channel.folder.last, "last_ms": channel.folder.last_ms,
            "expected": expected.value, "sigma": expected.sigma, "blocks_learnt": learnt, "blocks_needed": needed,
            "limits": {kind: channel.limit(kind, watch.tuning) for kind in KINDS}, "refused": channel.folder.refused})
    found = worst_first([*watch.open(), *watch.recent])
    if as_json:
        print(json.dumps({"device": device, "alarms_left": watch.limiter.left(now_ms, watch.tuning), "channels": channels,
                          "findings": [one.row() for one in found]}))
        return
    Console().print(filled(
        [whole("channel"), right("last"), right("expected now"), right("sigma"), "unit", whole("learnt"),
         *(right(f"{kind} limit") for kind in KINDS)],
        [[one["channel"], f"{one['last']:.5g}", f"{one['expected']:.5g}", f"{one['sigma']:.3g}", one["unit"],
          f"{one['blocks_learnt']} of {one['blocks_needed']}",
          *("" if limit is None else f"{limit:.1f}" for limit in one["limits"].values())] for one in channels]))
    for one in found:
        ended = "goes on" if one.until_ms is None else f"ended {_at(one.until_ms)}"
        print(f"{one.channel}: {one.kind} since {_at(one.since_ms)}, {ended}: {one.says()}; {one.excess:.1f} × its limit"
              + (", held back by the budget" if one.held else ""))
    if not found:
        print("nothing found")


@app.command()
def train(
    database: Database = "", zone: Zone = "UTC", budget: Budget = 1.0, days: Days = PAST_DAYS,
    forests: Annotated[bool, typer.Option(help="Also grow each device's isolation forest; needs scikit-learn.")] = True,
    as_json: AsJson = False,
) -> None:
    """Bring all detectors to now and keep them, what they found, and a new isolation forest for each device.

    `tenfold upkeep` does it by schedule. Example: tenfold anomaly train --days 28
    """
    started = time.monotonic()
    with _anomalies(database, _tuning(zone, budget), write=True) as anomalies, progress(as_json) as bar:
        names, found, grown, why = anomalies.devices(), 0, 0, dict[str, str]()
        task = bar.add_task("devices", total=len(names))
        for name in names:
            if forests:
                try:
                    anomalies.train(name, days)
                    grown += 1
                except ModelError as error:
                    why[name] = str(error)
            found += len(anomalies.catch_up(name))
            bar.advance(task)
    seconds = time.monotonic() - started
    if as_json:
        print(json.dumps({"devices": len(names), "findings_changed": found, "forests": grown, "without_forest": why,
                          "seconds": seconds}), flush=True)
    else:
        print(f"{len(names)} devices in {seconds:.1f} s: {found} findings changed, {grown} forests grown", flush=True)
        for name, reason in why.items():
            print(f"  {name} has no new forest: {reason}", flush=True)


@app.command("forecast")
def forecast_(
    device: Device, channel: Annotated[str, typer.Argument(help="Channel, e.g. oil.")],
    limit: Annotated[float, typer.Option(help="What it must not reach, in the channel's unit.")],
    database: Database = "", days: Days = 30,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.99, help="Of the interval.")] = 0.9, as_json: AsJson = False,
) -> None:
    """Foretell when a channel reaches a limit, as an interval, if it goes on as in the past.

    Example: tenfold anomaly forecast hall-0242ac110001 oil --limit 80 --days 30
    """
    now_ms = unix_ms()
    with _anomalies(database, Tuning()) as anomalies:
        _known(anomalies, device)
        units = anomalies.units(device)
        if channel not in units:
            raise typer.BadParameter(f"got {channel!r}, expected one of {', '.join(units) or 'none: no schema is known'}",
                                     param_hint="CHANNEL")
        times, values = anomalies.series(device, channel, now_ms - days * DAY_MS, now_ms, SERIES_POINTS)
    told = forecast(times, values, limit, now_ms, confidence=confidence)
    unit = units[channel][0]
    if as_json:
        print(json.dumps({name: None if isinstance(value, float) and np.isnan(value) else value for name, value in (
            (name, getattr(told, name)) for name in Forecast.__slots__)} | {"device": device, "channel": channel, "unit": unit,
                                                                            "says": _foretold(told, unit, now_ms)}))
        return
    print(f"{device} {channel}: {_foretold(told, unit, now_ms)}")


def _foretold(told: Forecast, unit: str, now_ms: int) -> str:
    limit = f"{told.limit:g} {unit}".strip()
    slope = (f"{told.slope_per_day:+.3g} {unit} a day ({told.low_per_day:+.3g} to {told.high_per_day:+.3g}), "
             f"now {told.level:.4g}").replace("  ", " ")
    slope += "; it bends, so the interval spans from straight on to bending on" if told.bends else ""
    if told.answer == UNKNOWN:
        return f"too little is known: {told.blocks} blocks of time with readings; look further back (--days) or wait"
    if told.answer == REACHED:
        return f"is at or beyond {limit} already; {slope}"
    if told.answer == NO_TREND:
        return f"no trend towards {limit}; {slope}"
    soon, late = (None if at is None else (at - now_ms) / DAY_MS for at in (told.from_ms, told.to_ms))
    span = f"in {_days(soon)} days or later" if late is None else f"in {_days(soon)}–{_days(late)} days"
    if told.answer == NOT_IN_SIGHT:
        return f"{limit} is not in sight (more than ten times as far as the past that is known); {slope}"
    return f"reaches {limit} {span}, {told.confidence:.0%} sure if it goes on so; {slope}"


def _days(days: float | None) -> str:
    return "?" if days is None else f"{days:.1f}" if days < 9.95 else f"{days:.0f}"


@contextmanager
def _anomalies(url: str, tuning: Tuning, *, write: bool = False) -> Iterator[Anomalies]:
    engine = _opened(url, write=write)
    try:
        rows = AnomalyRows(engine)
        yield Anomalies(Queries(engine), rows, tuning, writer=rows if write else None)
    finally:
        engine.dispose()


def _opened(url: str, *, write: bool) -> Engine:
    """Open a database that is there; a question makes none, and changes none."""
    engine = open_engine(present(url), read_only=not write)
    if write:
        migrate(engine, "host.store")
    elif not inspect(engine).has_table("anomaly_state"):
        raise DatabaseError(f"database {engine.url!r} is not of this version; start ingest or run `tenfold anomaly train` once")
    return engine


def _tuning(zone: str, budget: float) -> Tuning:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise typer.BadParameter(f"got {zone!r}, expected an IANA time zone such as Europe/Oslo", param_hint="--zone") from None
    return Tuning(zone=zone, budget_per_week=budget)


def _known(anomalies: Anomalies, device: str) -> None:
    names = anomalies.devices()
    if device not in names:
        raise typer.BadParameter(f"got {device!r}, expected one of the {len(names)} devices that were ever heard"
                                 + (f", such as {names[0]}" if names else ""), param_hint="DEVICE")


def _spark(anomalies: Anomalies, one: Finding, now_ms: int) -> str:
    if one.channel == ALL:
        return ""
    from_ms = max(one.since_ms - SPARK_MS, now_ms - PAST_DAYS * DAY_MS)
    times, values = anomalies.series(one.device, one.channel, from_ms, now_ms, 8 * SPARKS)
    if not len(values):
        return ""
    place = np.minimum((times - from_ms) * SPARKS // max(1, now_ms - from_ms), SPARKS - 1)
    low, high = float(values.min()), float(values.max())
    sums, counts = np.bincount(place, values, SPARKS), np.bincount(place, minlength=SPARKS)
    return "".join(BLOCKS[1 + int((total / count - low) / ((high - low) or 1.0) * 7.999)] if count else BLOCKS[0]
                   for total, count in zip(sums, counts, strict=True))


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
