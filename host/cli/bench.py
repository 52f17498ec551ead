"""`tenfold bench`: measurements, each with its peers in the same run; a table for people, JSON for machines."""

import asyncio
import json
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.bench import codec, delta, drain, encode, heap, powercut
from host.bench import line as line_bench
from host.bench import ring as ring_bench
from host.cli import bench_anomaly, bench_fleet, bench_ingest, bench_store
from host.cli.drawn import progress, right
from host.cli.server import AsJson
from host.sim.boards.bench import MAX_BOARDS
from node.wire.schema import is_resolution

app = typer.Typer(no_args_is_help=True, help="Measure what is promised in figures, peers beside it.")


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
    with progress(as_json) as bar:
        task = bar.add_task("", total=sum(one.rows for one in recordings) * len(codec.SAMPLES))
        for recording in recordings:
            bar.update(task, description=recording.path.name)
            found = codec.measure(recording, lambda rows: bar.advance(task, rows))
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


@app.command(name="ring")
def bench_ring(as_json: AsJson = False) -> None:
    """Flash programmed and erased per payload byte: the ring beside littlefs, each record durable by itself.

    At 32, 200 and 1,000 bytes a record, acknowledgements included.

    Example: tenfold bench ring --json
    """
    commits: dict[str, tuple[ring_bench.Figures, ring_bench.Figures]] = {}
    with progress(as_json) as bar:
        task = bar.add_task("", total=2 * sum(map(ring_bench.records, ring_bench.COMMITS)))
        for size in ring_bench.COMMITS:
            bar.update(task, description=f"{size} bytes")
            commits[str(size)] = ring_bench.measure(size, lambda done: bar.advance(task, done))
    if as_json:
        print(json.dumps({"commits": {size: {**ours, "littlefs": littlefs} for size, (ours, littlefs) in commits.items()}}))
        return
    table = Table("", *(right(name) for name in ("bytes a record", "programmed per byte", "erases per KiB", "records")))
    for name, both in commits.items():
        for who, figures in zip(("ring", "littlefs append + flush"), both, strict=True):
            table.add_row(who, name, f"{figures['programmed_per_byte']:.3f}", f"{figures['erases_per_kib']:.3f}",
                          f"{figures['records']:,}")
    Console().print(table)


@app.command(name="encode")
def bench_encode(as_json: AsJson = False) -> None:
    """Time and garbage of encoding a reading on MicroPython, json.dumps beside it, and the least heap in which it runs.

    Batches of 60 samples of four channels, on the interpreter of this machine; of a chip, firmware/DESIGN.md tells.

    Example: tenfold bench encode --json
    """
    with progress(as_json) as bar:
        bar.add_task("MicroPython", total=None)
        report = encode.measure()
    if as_json:
        print(json.dumps(report))
        return
    table = Table("", *(right(name) for name in ("us a reading", "bytes of garbage a reading", "bytes a reading")))
    for who, cost in (("ours", report["ours"]), ("json.dumps", report["json"])):
        table.add_row(who, f"{cost['us_per_reading']:.2f}", f"{cost['garbage_bytes_per_reading']:.1f}",
                      f"{cost['bytes_per_reading']:.3f}")
    Console().print(table)
    print(f"heap needed: {report['heap_needed_kb']} KB on this 64-bit port, modules and readings included")


@app.command(name="delta")
def bench_delta(
    old: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The older image or bundle.")],
    new: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The newer one.")],
    as_json: AsJson = False,
) -> None:
    """Bytes of a delta from one image or bundle to another, peers beside it, and what applying it takes on MicroPython.

    detools is a peer where it is installed. Memory is that of the 64-bit port; of a chip, firmware/DESIGN.md tells.

    Example: tenfold bench delta out/1.2.0/artifact.bin out/1.3.0/artifact.bin
    """
    with progress(as_json) as bar:
        bar.add_task(new.name, total=None)
        report = delta.measure(old.read_bytes(), new.read_bytes())
    if as_json:
        print(json.dumps(report))
        return
    table = Table("", right("bytes"), right(f"of {report['new_bytes']:,}"))
    for name, size in (("ours", report["patch_bytes"]), *report["peers"].items()):
        table.add_row(name, f"{size:,}", f"{100 * size / report['new_bytes']:.2f} %")
    Console().print(table)
    print(f"applied in {1000 * report['apply_s']:.0f} ms on this machine; on this 64-bit port {report['peak_ram_bytes']:,} bytes "
          f"of RAM at the peak beside {report['module_bytes']:,} of modules, a heap of {report['heap_needed_kb']} KB in all")


@app.command(name="heap")
def bench_heap(
    kb: Annotated[int, typer.Option("--heap", min=heap.LEAST_KB, help="KB of the heap that it is to work in.")] = heap.DEFAULT_KB,
    search: Annotated[bool, typer.Option("--search", help="Also find the least heap in which it works: some minutes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Memory of the whole firmware at work on MicroPython, with real servers: its peak, and what is free of the heap then.

    Example: tenfold bench heap --search
    """
    with progress(as_json) as bar:
        bar.add_task("firmware at work", total=None)
        report = asyncio.run(heap.measure(kb, search))
    if as_json:
        print(json.dumps(report))
        return
    table = Table(f"heap of {report['heap_kb']} KB, 64-bit port")
    table.add_column("", justify="right")
    table.add_row("in use at the peak", f"{report['peak_kb']:.1f} KB")
    table.add_row("free then", f"{report['free_kb']:.1f} KB, {report['free_pct']:.0f} %")
    table.add_row("records acknowledged, check-ins", f"{report['acked']}, {report['checkins']}")
    if report["smallest_kb"] is not None:
        table.add_row("least heap in which it works", f"{report['smallest_kb']} KB")
    Console().print(table)


@app.command(name="powercut")
def bench_powercut(
    exhaustive: Annotated[bool, typer.Option(help="Every operation, each cut again during recovery: some minutes.")] = False,
    replay: Annotated[str | None, typer.Option(help="Run one case alone, by the name that a failure printed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Cut the ring's power at its flash operations, in five ways, and again while it recovers; nothing committed may be lost.

    Exit code 1 when something was. Example: tenfold bench powercut --replay mixed:37:garbage:2:half
    """
    cases = [replay] if replay else list(powercut.cases(exhaustive))
    if replay:
        try:
            powercut.parse(replay)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--replay") from None
    outcomes = []
    size = max(1, min(100, len(cases) // 20))
    with progress(as_json) as bar, ProcessPoolExecutor(os.cpu_count()) as pool:
        task = bar.add_task("power cuts", total=len(cases))
        for some in pool.map(powercut.run_all, [cases[at:at + size] for at in range(0, len(cases), size)]):
            bar.advance(task, len(some))
            for outcome in some:
                if outcome is None:
                    raise typer.BadParameter(f"{replay}: the workload ends before this operation", param_hint="--replay")
                outcomes.append(outcome)
    failed = [one for one in outcomes if one.faults]
    tears = Counter(tear for one in outcomes for _, tear in powercut.parse(one.case)[1])
    report: dict[str, object] = {"cuts": tears.total(), "cases": len(outcomes), "tears": dict(tears)}
    report |= {fault: sum(fault in one.faults for one in failed) for fault in powercut.FAULTS}
    report["failures"] = [one.case for one in failed]
    if as_json:
        print(json.dumps(report))
    else:
        table = Table("power cuts of the ring")
        table.add_column("", justify="right")
        for name in ("cuts", "cases", *powercut.FAULTS):
            table.add_row(name.replace("_", " "), f"{report[name]:,}")
            if name == "cuts":
                for tear, count in tears.items():
                    table.add_row(f"  {tear}", f"{count:,}")
        Console().print(table)
        for one in failed:
            print(f"{', '.join(one.faults)}: tenfold bench powercut --replay {one.case}")
    if failed:
        raise typer.Exit(1)


@app.command(name="drain")
def bench_drain(
    batches: Annotated[int, typer.Option(min=10, max=100_000, help="Backlog in the board's ring.")] = 10_000,
    order: Annotated[str, typer.Option(help="What leaves first: oldest or newest, the setting `drain`.")] = "oldest",
    window: Annotated[int | None, typer.Option(min=1, max=32, help="Publishes under way; else the firmware's default.")] = None,
    rtt_ms: Annotated[int, typer.Option(min=0, max=5_000, help="Round trip of the link.")] = 100,
    loss_pct: Annotated[float, typer.Option(min=0, max=50, help="Segments lost, each way.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Drain a backlog from a simulated board through a bad link into a real broker and ingest, and see whether it samples on.

    The firmware on real MicroPython; the link is a proxy on this machine. Example: tenfold bench drain --batches 500 --json
    """
    if order not in drain.ORDERS:
        raise typer.BadParameter(f"got {order!r}, expected one of {', '.join(drain.ORDERS)}", param_hint="--order")
    with progress(as_json) as bar:
        task = bar.add_task("draining", total=batches)
        report = drain.measure(drain.Case(batches, order, window, rtt_ms, loss_pct),
                               lambda done: bar.update(task, completed=done))
    if as_json:
        print(json.dumps(report))
        return
    table = Table(f"{batches:,} batches, {order} first, window {report['window']}, {rtt_ms} ms, {loss_pct:g} % lost", right(""))
    for name, value in (
        ("seconds to drain", f"{report['seconds']:.1f}"), ("batches a second", f"{report['batches_per_s']:.1f}"),
        ("bytes up, a batch", f"{report['up_bytes_per_batch']:.0f}"),
        ("of them payload", f"{report['payload_bytes'] / batches:.0f}"),
        ("bytes down, a batch", f"{report['down_bytes'] / batches:.0f}"), ("records sent again", f"{report['sent_again']:,}"),
        ("segments lost", f"{report['lost_segments']:,} of {report['segments']:,}"),
        ("first fresh record after", f"{report['first_fresh_s']:.1f} s"),
        ("samples meanwhile", f"{report['samples']:,} each {report['period_ms']} ms, {report['skipped_samples']} left out"),
        ("worst gap between two", f"{report['worst_gap_ms']} ms"), ("worst lateness", f"{report['worst_late_ms']} ms"),
    ):
        table.add_row(name, value)
    Console().print(table)


@app.command(name="line")
def bench_line(
    boards: Annotated[int, typer.Option(min=1, max=MAX_BOARDS, help="Simulated boards, all at once.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Boards a minute of the production line, and CPU seconds a board, the simulated boards' own among them.

    The real line, esptool, mpremote and MicroPython; no serial cable's time. Example: tenfold bench line --boards 8 --json
    """
    with progress(as_json) as bar:
        task = bar.add_task("boards", total=boards)
        report = line_bench.measure(boards, lambda done: bar.update(task, completed=done))
    if as_json:
        print(json.dumps(report))
        return
    table = Table(f"{report['boards']} boards", right(""))
    first = report["first_pass_yield"]
    for name, value in (
        ("boards a minute", f"{report['boards_per_minute']:.1f}"), ("CPU seconds a board", f"{report['cpu_s_per_board']:.1f}"),
        ("seconds in all", f"{report['seconds']:.1f}"), ("first-pass yield", "-" if first is None else f"{100 * first:.0f} %"),
        *((f"seconds of {step}", f"{seconds:.2f}") for step, seconds in report["steps"].items()),
    ):
        table.add_row(name, value)
    Console().print(table)


app.command(name="anomaly")(bench_anomaly.bench_anomaly)
app.command(name="store")(bench_store.bench_store)
app.command(name="herd")(bench_fleet.bench_herd)
app.command(name="campaign")(bench_fleet.bench_campaign)
app.command(name="checkin")(bench_fleet.bench_checkin)
app.command(name="enrol")(bench_fleet.bench_enrol)
app.command(name="ingest")(bench_ingest.bench_ingest)
app.command(name="faults")(bench_ingest.bench_faults)


def _resolutions(words: list[str]) -> dict[str, str]:
    steps = {}
    for word in words:
        name, _, step = word.partition("=")
        if not name or not is_resolution(step):
            raise typer.BadParameter(f"got {word!r}, expected NAME=STEP such as oil=0.01 or count=1", param_hint="--resolution")
        steps[name] = step
    return steps


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
