"""What `tenfold data` shows people: tables, sparklines and plots of what was found."""

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from host.cli import times
from host.cli.drawn import filled, right, whole
from host.cli.plotted import field, sparkline
from host.clock import DAY_MS
from host.monitor.alarms import Alarm
from host.monitor.anomaly.findings import Finding
from host.monitor.presence import KINDS
from host.store.aggregates import Aggregate
from host.store.events import LinkRow
from host.store.summary import ChannelSummary, Summary

PLOT_HEIGHT = 6      # lines
SPARK_WIDTH = 8      # characters, at least; the rest of the terminal is given to it
BORDER = 3           # characters of a column beside its words
LABEL = 12           # characters beside a plot
HAPPENED_SHOWN = 40
WORDS = {"drop": "connection lost", "connect": "connected", "reboot": "restarted", "update": "updated to",
         "rollback": "rolled back to"}


def latest(rows: Sequence[dict[str, Any]], now_ms: int) -> Table:
    """Newest values; the device's name stands once."""
    lines, before = [], ""
    for row in rows:
        ago = "" if row["t_ms"] is None else times.length(max(0, now_ms - row["t_ms"])) + " ago"
        value = "" if row["value"] is None else f"{row['value']:g}"
        state = {"good": "", "old": "silent since", "none": "no value lately"}[row["quality"]]
        when = ago if row["t_ms"] is not None or row["value"] is None else "clock not known yet"
        lines.append([row["device"] if row["device"] != before else "", row["channel"], value, row["unit"], when, state])
        before = row["device"]
    return filled([whole("device"), whole("channel"), right("value"), "unit", right("sampled"), "state"], lines)


def as_json(device: str, found: Summary, from_ms: int, to_ms: int) -> dict[str, Any]:
    """What a device measured in a window, for machines."""
    return {"device": device, "from_ms": from_ms, "to_ms": to_ms, "channels": [_channel(one) for one in found.channels],
            "usual_interval_ms": found.usual_ms, "gaps": [{"from_ms": one.from_ms, "to_ms": one.to_ms} for one in found.gaps]}


def _channel(one: ChannelSummary) -> dict[str, Any]:
    t_ms, values = one.points.result()
    return {"name": one.channel.name, "unit": one.channel.unit, "resolution": str(one.channel.resolution), "count": one.count,
            "min": one.min, "min_ms": one.min_ms, "mean": one.mean, "max": one.max, "max_ms": one.max_ms, "first_ms": one.first_ms,
            "last_ms": one.last_ms, "last": one.last, "longest_interval_ms": one.longest_ms, "t": t_ms, "v": values}


def plots(found: Summary, from_ms: int, to_ms: int, zone: tzinfo, width: int) -> RenderableType:
    """A plot a channel, with its figures above and its scale beside it."""
    if not found.channels:
        return Text("no readings in this window")
    across, parts = max(20, min(width, 120) - LABEL - 1), []
    for one in found.channels:
        t_ms, values = one.points.result()
        lines = field(t_ms, values, from_ms, to_ms, across, PLOT_HEIGHT)
        scale = [_value(one, one.max), *[""] * (PLOT_HEIGHT - 2), _value(one, one.min)]
        parts.append(Text.assemble(
            ("\n" + one.channel.name, "bold"), f" {one.channel.unit}  min {_value(one, one.min)}  mean {_value(one, one.mean)}  "
            f"max {_value(one, one.max)}  last {_value(one, one.last)}  {one.count:,} readings"))
        parts += [Text(f"{mark:>{LABEL}} {line}", no_wrap=True) for mark, line in zip(scale, lines, strict=True)]
    begin, end = (times.shown(at, zone, day=to_ms - from_ms > DAY_MS) for at in (from_ms, to_ms))
    parts.append(Text(" " * (LABEL + 1) + begin + " " * max(1, across - len(begin) - len(end)) + end, style="dim", no_wrap=True))
    return Group(*parts)


def rows(found: Summary, zone: tzinfo) -> Table:
    """The values, a row a time."""
    cells: dict[int, dict[int, str]] = {}
    for column, one in enumerate(found.channels):
        for at, value in zip(*one.points.result(), strict=True):
            cells.setdefault(at, {})[column] = _value(one, value)
    names = [right(f"{one.channel.name} [{one.channel.unit}]" if one.channel.unit else one.channel.name) for one in found.channels]
    table = Table(whole("time"), *names)
    for at, row in sorted(cells.items()):
        table.add_row(f"{times.shown(at, zone)}.{at % 1000:03d}", *(row.get(column, "") for column in range(len(names))))
    return table


def night(
    found: Summary, events: Sequence[LinkRow], ran: Sequence[tuple[int, str]], rang: Sequence[Alarm], wrong: Sequence[Finding],
    from_ms: int, to_ms: int, zone: tzinfo, width: int,
) -> Iterator[RenderableType]:
    """The story of a window: what ran, the channels, the gaps, what happened to the link, the alarms, what looked wrong."""
    counts = {kind: sum(one.kind == kind for one in events) for kind in KINDS}
    drops = max(0, counts["drop"] - counts["update"])   # an update ends the link too: host.monitor.connectivity
    yield (f"firmware {', then '.join(label for _, label in ran)}; {many(drops, 'lost connection')}, "
           f"{many(counts['reboot'], 'restart')}, {many(counts['update'], 'update')}, {many(counts['rollback'], 'roll-back')}, "
           f"{many(len(found.gaps), 'gap')}" + (f", {many(len(rang), 'alarm')}" if rang else ""))
    if not found.channels:
        yield "no readings in this window"
    else:
        names = ("channel", "unit", "min", "mean", "max", "at", "readings")
        rows = [(one.channel.name, one.channel.unit, *(_value(one, each) for each in (one.min, one.mean, one.max)),
                 times.shown(one.max_ms, zone, day=False), f"{one.count:,}") for one in found.channels]
        taken = sum(max(map(len, cells)) + BORDER for cells in zip(names, *rows, strict=True)) + BORDER + 1
        across = max(SPARK_WIDTH, width - taken)
        table = Table(whole("channel"), "unit", right("min"), right("mean"), right("max"), "at", right("readings"), whole("course"))
        for one, cells in zip(found.channels, rows, strict=True):
            table.add_row(*cells, sparkline(*one.points.result(), from_ms, to_ms, across))
        yield table
    happened = [(gap.from_ms, f"no readings for {times.length(gap.length_ms)}") for gap in found.gaps]
    for event in events:
        release = f" {event.release}" if event.kind in ("update", "rollback") else ""
        happened.append((event.at_ms, WORDS.get(event.kind, event.kind) + release))
    for alarm in rang:
        before = f", since {times.shown(alarm.from_ms, zone)}" if alarm.from_ms < from_ms else ""
        happened.append((max(from_ms, alarm.from_ms), alarm.says() + before))
        if alarm.until_ms is not None:
            lasted = times.length(alarm.until_ms - alarm.from_ms)
            happened.append((alarm.until_ms, f"{alarm.channel} well again ({alarm.end_value:g}) after {lasted}"))
    happened += [(max(from_ms, one.since_ms), f"{one.channel}: {one.kind}, {one.says()}") for one in wrong]
    happened.sort(key=lambda one: one[0])
    for at_ms, what in happened[:HAPPENED_SHOWN]:
        yield f"{times.shown(at_ms, zone)}  {what}"
    if len(happened) > HAPPENED_SHOWN:
        yield f"and {len(happened) - HAPPENED_SHOWN} more; --json has them all"


def aggregates(found: Sequence[Aggregate], by: str, zone: tzinfo, *, buckets: bool) -> Table:
    """Sums, a row a bucket."""
    return filled(
        [whole(by), whole("channel"), whole("from"), right("min"), right("mean"), right("max"), "unit", right("readings")],
        [[one.label, one.channel, times.shown(one.t_ms, zone) if buckets else "", f"{one.min:g}", f"{one.mean:.6g}", f"{one.max:g}",
          one.unit, f"{one.count:,}"] for one in found])


def _value(one: ChannelSummary, value: float) -> str:
    return f"{value:.{one.channel.places}f}"


def many(count: int, what: str) -> str:
    """Count things in words."""
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
