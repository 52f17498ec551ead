"""What `tenfold line` shows: ports at work and the lot's figures, live on a terminal, a line for each end elsewhere; reports."""

import csv
import io
import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from host.cli.drawn import right
from provisioning.line.bench import RESTING, Line
from provisioning.rules.line import WORKING, Step
from provisioning.rules.tally import Story, Tally, stories, tally

STYLES = {Step.DONE: "green", Step.FAULT: "red", Step.HOLD: "yellow", Step.EMPTY: "dim"}
FIELDS = ("device", "mac", "state", "first_pass", "seconds", "pluggings", "failures", "recorded",
          "unsettled", "at", "key", "faults")


class Display:
    """Draws a line again and again."""

    def __init__(self, line: Line, console: Console) -> None:
        self._line, self._console = line, console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._told: dict[str, Step] = {}

    def __enter__(self) -> Callable[[], None]:
        if self._live is not None:
            self._live.start()
        return self._draw

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(screen(self._line), refresh=True)
            return
        for port, face in sorted(self._line.faces.items()):
            if face.step is not self._told.get(port) and (face.step in RESTING or port in self._told):
                words = f"{port}  {face.step}  {face.device}  {face.message}"
                self._console.print(words.rstrip(), markup=False, highlight=False, soft_wrap=True)
            self._told[port] = face.step


def screen(line: Line) -> RenderableType:
    """Ports, and the lot's figures."""
    table = Table("port", "board", "step", right("s"), "")
    for port, face in sorted(line.faces.items()):
        what = f"{face.step} {100 * face.part:.0f} %" if face.step is Step.FLASH else str(face.step)
        seconds = f"{time.monotonic() - face.since_s:.0f}" if face.step in WORKING else ""
        table.add_row(port, face.device, Text(what, STYLES.get(face.step, "")), seconds, Text(face.message, "dim"))
    left = "?" if line.left is None else f"{line.left:,}"
    away = ("  the ledger does not answer", "yellow") if line.is_away else ""
    head = Text.assemble((f"lot {line.order.lot}", "bold"), f"  {left} left", away)
    return Group(head, table, Text(figures(tally(stories(list(line.journal.entries)).values()))))


def figures(found: Tally) -> str:
    """A lot's figures in a line."""
    words = [f"{found.done} done", f"{found.faulty} faulty", *([f"{found.held} held"] if found.held else []),
             f"yield {_share(found.yielded)}", f"first pass {_share(found.first_pass_yield)}"]
    if found.seconds is not None:
        words.append(f"{found.seconds:.1f} s a board")
    if found.faults:
        words.append("faults: " + ", ".join(f"{step} {count}" for step, count in sorted(found.faults.items())))
    return "  ".join(words)


def as_rows(boards: Iterable[Story]) -> list[dict[str, Any]]:
    """A row for each board, the same for CSV and JSON."""
    return [{
        "device": story.device, "mac": story.mac, "state": story.state, "first_pass": story.is_first_pass,
        "seconds": round(story.seconds, 1), "pluggings": story.pluggings, "failures": story.failures, "recorded": story.recorded,
        "unsettled": story.unsettled,
        "at": story.at, "key": story.key, "faults": dict(story.faults), "numbers": dict(story.numbers)} for story in boards]


def as_csv(boards: Iterable[Story]) -> str:
    """With a head; what a board measured is a column of its own, what it failed at is one."""
    rows = as_rows(boards)
    numbers = sorted({name for row in rows for name in row["numbers"]})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*FIELDS, *numbers])
    for row in rows:
        faults = "; ".join(f"{step}: {what}" for step, what in row["faults"].items())
        writer.writerow([*(row[name] for name in FIELDS[:-1]), faults, *(row["numbers"].get(name, "") for name in numbers)])
    return out.getvalue()


def as_object(lot: str, found: Tally) -> dict[str, Any]:
    """A lot's figures for machines."""
    return {"lot": lot, "boards": found.boards, "done": found.done, "faulty": found.faulty, "held": found.held,
            "yield": found.yielded, "first_pass_yield": found.first_pass_yield, "seconds_a_board": found.seconds,
            "faults": dict(found.faults)}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
