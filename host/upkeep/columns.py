"""One round of what keeps a telemetry database small: sums, day columns, the sums of what was moved, and what is beyond its bounds.

Decides the order. What is due, what may move and what goes is host.store's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from host.clock import unix_ms
from host.store.classes import Classes
from host.store.compact import Compacted, compact
from host.store.dropping import Drop, retain
from host.store.rolling import roll
from host.upkeep.keeper import Done, Over


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did."""

    compacted: Compacted
    dropped: Sequence[Drop]

    def says(self) -> str:
        """For people."""
        done = self.compacted
        gone = f", {len(self.dropped)} months dropped" if self.dropped else ""
        return (f"{done.batches:,} batches of {done.days:,} spans of days, {done.readings:,} readings, are day columns now; "
                f"{done.left:,} batches of closed days stay as they came{gone}")


def go_round(
    engine: Engine, classes: Classes, *, retention: bool, step: Callable[[int, int], None] = lambda done, total: None,
) -> Round:
    """Do a round; errors as compact, roll and retain."""
    now_ms = unix_ms()
    roll(engine, now_ms)
    done = compact(engine, now_ms, classes, older_days=classes.older_days, step=step)
    roll(engine, now_ms)
    return Round(done, retain(engine, classes, now_ms) if retention else ())


def task(engine: Engine, classes: Classes) -> Callable[[Over], Done]:
    """The round as a task. It is not cut short: each of its steps is whole, and the next one would begin by finding what is due."""
    return lambda _over: Done(go_round(engine, classes, retention=True).says())
