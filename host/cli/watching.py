"""What `tenfold rollout watch` shows: one rollout's stages while they go on, and when there is nothing more to wait for."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from host.clock import duration
from ota.client import UNREACHABLE, OtaError

LOOK_S = 2.0            # between looks
AWAY_S = 60.0           # a server that does not answer for so long is told as a fault
ENDED = ("done", "halted", "aborted")   # a draft waits for a start, a paused one for an operator: both may go on
COLOURS = {"done": "green", "halted": "red", "aborted": "red", "running": "yellow"}
VERDICTS = {"pass": "[green]passed[/]", "fail": "[red]failed[/]", "unknown": "not decided yet"}


def looks(
    ask: Callable[[], dict[str, Any]], *, wait: Callable[[float], None] = time.sleep, now_s: Callable[[], float] = time.monotonic,
) -> Iterator[dict[str, Any]]:
    """Look at a rollout again and again, to the look that finds it ended.

    Args:
        ask: the OTA server's answer about it. A server that is away for a moment is asked again.

    Raises:
        OtaError: refused, or away for AWAY_S.
    """
    heard_s = now_s()
    while True:
        try:
            seen = ask()
        except OtaError as error:
            if error.code != UNREACHABLE or now_s() - heard_s > AWAY_S:
                raise
        else:
            heard_s = now_s()
            yield seen
            if seen["state"] in ENDED:
                return
        wait(LOOK_S)


def screen(seen: dict[str, Any]) -> RenderableType:
    """Draw one look."""
    state = (seen["state"], COLOURS.get(seen["state"], ""))
    head = Text.assemble((seen["release"], "bold"), f"  {', '.join(seen['models'])}  ", state,
                         f"  {seen['population']:,} devices  {seen['rollout']}")
    table = Table("stage", "")
    for name in ("of", "offered", "confirmed", "soaked", "failed", "lost"):
        table.add_column(name, justify="right")
    table.add_column("gate", ratio=1)
    for stage in seen["stages"]:
        of, confirmed = stage["eligible"], stage.get("confirmed", 0)
        bar = ProgressBar(total=max(of, 1), completed=min(of, confirmed), width=20)
        counts = [f"{stage[name]:,}" if name in stage else "" for name in ("offered", "confirmed", "soaked", "failed", "lost")]
        style = {"current": "bold", "waiting": "dim"}.get(stage["state"], "")
        table.add_row(f"{stage['pct']:g} %", bar, f"{of:,}", *counts, _gate(stage), style=style)
    return Group(head, table, Text(seen["reason"], style="dim"))


def line(seen: dict[str, Any]) -> str:
    """Tell one look in a line, for where there is no terminal."""
    stage = seen["stages"][seen["stage"]]
    return (f"{seen['state']}  {stage['pct']:g} %: {stage.get('confirmed', 0)} of {stage['eligible']} confirmed, "
            f"{stage.get('failed', 0)} failed, {stage.get('lost', 0)} lost  {seen['reason']}")


def _gate(stage: dict[str, Any]) -> str:
    gate, left_s = stage.get("gate"), stage.get("soak_remaining_s")
    words = [] if not gate else [VERDICTS.get(gate["verdict"], gate["verdict"])]
    if gate and gate["verdict"] != "pass":
        words.append(f"[dim]{gate['reason']}[/]")
    if left_s:
        words.append(f"soaks for {duration(left_s)} more")
    return "  ".join(words)
