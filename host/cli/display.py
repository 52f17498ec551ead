"""How a running demo looks in a terminal, and as plain lines where there is none."""

import asyncio
import contextlib
import signal
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from host.sim.run import Run
from host.sim.view import DeviceFace, RolloutFace, State, Step, View

REFRESH_HZ = 5        # smooth enough for a spinner, cheap enough for a loaded machine
DEVICES_A_LINE = 6    # 15 columns each
NOTES = 4             # the newest; all of them stand in the log of a run without a terminal
LINE_EVERY_S = 10.0   # without a terminal: a sign of life at least this often
SYMBOL = {State.WAITING: "[dim]·[/]", State.DONE: "[green]✓[/]", State.FAILED: "[red]✗[/]"}
RELEASE_COLOURS = ("cyan", "green", "magenta", "yellow", "blue")


async def shown(run: Run, view: View, console: Console) -> bool:
    """Do a run and draw it meanwhile; Ctrl-C and its like interrupt it. Gives and raises what the run does."""
    task = asyncio.create_task(run.run())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, run.interrupt)
    drawing = asyncio.create_task(show(view, console))
    try:
        return await task
    finally:
        drawing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await drawing


async def show(view: View, console: Console) -> None:
    """Draw until cancelled: a live screen on a terminal, one line for each change elsewhere."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=REFRESH_HZ, transient=False) as live:
            try:
                while True:
                    live.update(_screen(view, console.height))
                    await asyncio.sleep(1 / REFRESH_HZ)
            finally:
                live.update(_screen(view, console.height), refresh=True)
    else:
        await _lines(view, console)


async def _lines(view: View, console: Console) -> None:
    told: dict[int, State] = {}
    last_s = time.monotonic()
    notes = 0
    try:
        while True:
            last_s = _tell_changes(view, console, told, last_s)
            for note in view.notes[notes:]:
                notes += 1
                _line(console, view, "note", note)
            await asyncio.sleep(0.2)
    finally:
        _tell_changes(view, console, told, last_s)


def _tell_changes(view: View, console: Console, told: dict[int, State], last_s: float) -> float:
    now_s = time.monotonic()
    for number, step in enumerate(view.steps):
        if step.state is not told.get(number, State.WAITING) and not (step.state is State.RUNNING and step.seconds < 1):
            told[number] = step.state
            last_s = now_s
            _line(console, view, step.state, f"{step.title}  {step.detail}")
    running = [step for step in view.steps if step.state is State.RUNNING]
    if running and now_s - last_s > LINE_EVERY_S:
        last_s = now_s
        _line(console, view, "…", f"{running[-1].title}  {running[-1].detail}")
    return last_s


def _line(console: Console, view: View, word: str, text: str) -> None:
    console.print(f"{time.monotonic() - view.started_s:6.1f} s  {word:8} {text}", markup=False, highlight=False)


def _screen(view: View, height: int) -> RenderableType:
    online = sum(face.online for face in view.devices.values())
    head = Text.assemble(
        ("Tenfold", "bold"), "  ", (view.console_url, "underline blue"), f"  {online}/{len(view.devices)} online  ",
        (f"{view.readings_stored:,}", "bold"), f" readings stored  {view.readings_per_s:,.0f}/s  ",
        f"{view.bytes_per_reading:.2f} bytes each  " if view.bytes_per_reading else "",
        (f"{view.restarts} restarts", "yellow") if view.restarts else "",
    )
    below = (2 + -(-len(view.devices) // DEVICES_A_LINE) if view.devices else 0) + (4 + len(view.rollouts) if view.rollouts else 0)
    steps = _window(view.steps, max(3, height - below - len(view.notes[-NOTES:]) - 5))
    parts: list[RenderableType] = [head, Panel(_story(steps), title="story", title_align="left", border_style="dim")]
    if view.devices:
        parts.append(Panel(_fleet(view.devices), title="fleet", title_align="left", border_style="dim"))
    if view.rollouts:
        parts.append(Panel(_rollouts(view.rollouts), title="rollouts", title_align="left", border_style="dim"))
    parts.extend(Text(f"note: {note}", style="yellow") for note in view.notes[-NOTES:])
    return Group(*parts)


def _window(steps: list[Step], lines: int) -> list[Step]:
    """Choose the steps that fit, with the newest that is not waiting near the end."""
    begun = sum(step.state is not State.WAITING for step in steps)
    start = max(0, min(begun + 1, len(steps)) - lines)
    return steps[start : start + lines]


def _story(steps: list[Step]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=2)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", width=8)
    for step in steps:
        sign: RenderableType = Spinner("dots") if step.state is State.RUNNING else SYMBOL[step.state]
        style = {"waiting": "dim", "running": "bold", "failed": "red"}.get(step.state, "")
        words = Text.assemble((step.title, style), ("  " + step.detail, "dim") if step.detail else "")
        table.add_row(sign, words, f"[dim]{step.seconds:.0f} s[/]" if step.started_s else "")
    return table


def _fleet(devices: dict[str, DeviceFace]) -> Table:
    releases = sorted({face.release for face in devices.values() if face.release})
    colours = {release: RELEASE_COLOURS[number % len(RELEASE_COLOURS)] for number, release in enumerate(releases)}
    table = Table.grid(padding=(0, 2))
    cells = [_device(device, face, colours.get(face.release, "dim")) for device, face in sorted(devices.items())]
    for start in range(0, len(cells), DEVICES_A_LINE):
        table.add_row(*cells[start : start + DEVICES_A_LINE])
    return table


def _device(device: str, face: DeviceFace, colour: str) -> Text:
    dot = ("✗", "red") if not face.powered else ("●", "green") if face.online else ("○", "dim")
    mark = " ↻" if face.trial else " ↩" if face.rolled_back else ""
    return Text.assemble(dot, f" …{device[-4:]} ", (face.release or "new", colour), (mark, "yellow"))


def _rollouts(rollouts: list[RolloutFace]) -> Table:
    table = Table.grid(padding=(0, 2))
    for rollout in rollouts:
        stages = Text()
        for number, stage in enumerate(rollout.stages):
            done = number < rollout.stage or rollout.state == "done"
            style = "green" if done else "bold yellow" if number == rollout.stage else "dim"
            stages.append(f"{stage:g} %", style)
            stages.append(" → " if number < len(rollout.stages) - 1 else "", "dim")
        colour = {"done": "green", "halted": "red"}.get(rollout.state, "yellow")
        table.add_row(
            Text(rollout.release, "bold"), stages, ProgressBar(total=max(rollout.total, 1), completed=rollout.confirmed, width=24),
            Text(f"{rollout.confirmed}/{rollout.total}"), Text(rollout.state, colour), Text(rollout.note, "dim"),
        )
    return table


def closing(view: View) -> Table:
    """Return the closing table: what was promised and what happened."""
    table = Table(title="Promised, and what happened", title_justify="left", show_lines=False)
    table.add_column("", width=1)
    table.add_column("promise")
    table.add_column("what happened")
    for promise in view.promises:
        table.add_row("[green]✓[/]" if promise.kept else "[red]✗[/]", promise.text, promise.happened)
    return table
