"""`tenfold bench`: measurements, each with its peers in the same run; a table for people, JSON for machines."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from host.bench import codec
from host.cli.server import AsJson
from node.wire.schema import is_resolution

app = typer.Typer(no_args_is_help=True, help="Measure what is promised in figures, peers beside it.")


@app.callback()
def _group() -> None:
    """Keep `codec` a command of a group."""


@app.command(name="codec")
def bench_codec(
    files: Annotated[list[Path], typer.Argument(help="CSV files with a header; the first columns may be times.")],
    resolution: Annotated[list[str] | None, typer.Option(
        help="NAME=STEP, e.g. oil=0.01, of a channel or column; else the step that the file's digits show. Repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bytes per reading of recorded data: our batches, and JSON, SenML-CBOR, msgpack and varints beside them.

    At 1, 12, 60 and 360 samples a batch. entropy_floor is the order-0 entropy of the steps: no header, no first values.

    Example: tenfold bench codec recording.csv --resolution oil=0.01
    """
    steps = _resolutions(resolution or [])
    recordings = [codec.load(path, steps) for path in files]
    if unknown := set(steps).difference(*(one.told for one in recordings)):
        names = sorted({name for one in recordings for name, _, _ in one.channels})
        raise typer.BadParameter(f"no file has {', '.join(sorted(unknown))}; there are {', '.join(names)}",
                                 param_hint="--resolution")
    total: dict[int, codec.Count] = {}
    report: dict[str, dict[str, codec.Figures]] = {}
    with _progress(as_json) as progress:
        task = progress.add_task("", total=sum(one.rows for one in recordings) * len(codec.SAMPLES))
        for recording in recordings:
            progress.update(task, description=recording.path.name)
            found = codec.measure(recording, lambda rows: progress.advance(task, rows))
            report[str(recording.path)] = {str(samples): count.figures() for samples, count in found.items()}
            for samples, count in found.items():
                total.setdefault(samples, codec.Count()).add(count)
    whole = {str(samples): count.figures() for samples, count in sorted(total.items())}
    if as_json:
        print(json.dumps({"files": report, "total": whole}))
        return
    console = Console()
    for recording in recordings:
        console.print(f"[bold]{recording.path.name}[/]: {recording.rows:,} rows each {recording.period_ms / 1000:g} s; "
                      + ", ".join(f"{name} {step}" for name, _, step in recording.channels))
        for note in recording.notes:
            console.print(f"  [dim]{note}[/]")
        console.print(_table(report[str(recording.path)]))
    if len(recordings) > 1:
        console.print(f"[bold]all {len(recordings)} files[/]")
        console.print(_table(whole))


def _resolutions(words: list[str]) -> dict[str, str]:
    steps = {}
    for word in words:
        name, _, step = word.partition("=")
        if not name or not is_resolution(step):
            raise typer.BadParameter(f"got {word!r}, expected NAME=STEP such as oil=0.01 or count=1", param_hint="--resolution")
        steps[name] = step
    return steps


def _progress(quiet: bool) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), transient=True,
                    console=Console(stderr=True), disable=quiet or not sys.stderr.isatty())


def _table(figures: dict[str, codec.Figures]) -> Table:
    table = Table()
    table.add_column("bytes per reading", no_wrap=True)
    for samples in figures:
        table.add_column(f"{samples} a batch", justify="right", no_wrap=True)
    lines: dict[str, list[str]] = {}
    for one in figures.values():
        ours = one["bytes_per_reading"]
        lines.setdefault("[bold]ours[/]", []).append(f"[bold]{ours:.3f}[/]")
        for name, size in one["peers"].items():
            lines.setdefault(name, []).append(f"{size:.2f} [dim]×{size / ours:.1f}[/]")
        lines.setdefault("[dim]entropy floor[/]", []).append(f"[dim]{one['entropy_floor']:.3f}[/]")
    for name, cells in lines.items():
        table.add_row(name, *cells)
    return table
