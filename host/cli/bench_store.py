"""`tenfold bench store`: bytes a reading on disk, and times of queries."""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from host.bench import codec, store, victoria
from host.cli.drawn import progress, right
from host.cli.server import AsJson

SIZES = ("fresh_bytes_per_reading", "rollup_bytes_per_reading", "compacted_bytes_per_reading", "columns_bytes_per_reading",
         "victoriametrics_bytes_per_reading")


def bench_store(
    files: Annotated[list[Path], typer.Argument(help="CSV files with a header; the first columns may be times.")],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer readings, a coarser month.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bytes a reading on disk: as received, with rollups, compacted; and times of queries. VictoriaMetrics beside it if installed.

    columns: the day columns alone, without rollups, names and newest batches. Everything is read back and compared. SQLite.

    Example: tenfold bench store recording.csv --quick --json
    """
    recordings = [codec.load(path, {}) for path in files]
    report: dict[str, store.Sizes] = {}
    with tempfile.TemporaryDirectory(prefix="tenfold-store-") as made, progress(as_json) as bar:
        task = bar.add_task("", total=len(recordings) + 1)
        for number, recording in enumerate(recordings):
            folder = Path(made) / str(number)
            folder.mkdir()
            said = partial(_say, bar, task, f"{recording.path.name}: ")
            report[str(recording.path)] = store.sizes(recording, folder, store.devices_for(recording, quick=quick), said)
            bar.advance(task)
        times = store.queries(Path(made), quick=quick, say=partial(_say, bar, task, ""))
    total = _total(report)
    peer = None if victoria.found() else "VictoriaMetrics is not installed (Debian: victoria-metrics): its figures are null"
    if as_json:
        print(json.dumps({**total, "files": report, "queries": times, "note": peer}))
        return
    names = ("readings", "received", "with rollups", "compacted", "columns", "VictoriaMetrics")
    table = Table("bytes a reading", *map(right, names))
    for path, figures in (*report.items(), *([("all", total)] if len(report) > 1 else [])):
        table.add_row(Path(path).name, f"{figures['readings']:,}", *(_number(figures[name], 3) for name in SIZES))  # type: ignore[literal-required]
    console = Console()
    console.print(table)
    table = Table("milliseconds", *map(right, ("received", "compacted", "VictoriaMetrics")))
    for name, one in times.items():
        table.add_row(name.replace("_", " "), *(_number(one[key], 1) for key in ("fresh_ms", "compacted_ms", "victoriametrics_ms")))
    console.print(table)
    if peer:
        print(peer)


def _say(bar: Progress, task: TaskID, who: str, what: str) -> None:
    bar.update(task, description=who + what)


def _total(report: dict[str, store.Sizes]) -> store.Sizes:
    """All files as one, by their readings."""
    readings = sum(one["readings"] for one in report.values())

    def mean(name: str) -> float:
        return sum(one["readings"] * one[name] for one in report.values()) / readings  # type: ignore[literal-required]

    peers = [one["victoriametrics_bytes_per_reading"] for one in report.values()]
    return store.Sizes(
        readings=readings, devices=sum(one["devices"] for one in report.values()), fresh_bytes_per_reading=mean(SIZES[0]),
        rollup_bytes_per_reading=mean(SIZES[1]),
        compacted_bytes_per_reading=mean(SIZES[2]), columns_bytes_per_reading=mean(SIZES[3]),
        victoriametrics_bytes_per_reading=None if None in peers else mean(SIZES[4]))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
