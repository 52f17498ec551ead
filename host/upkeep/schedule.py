"""Which task of upkeep is due, and when one that has ended is due again.

Decides from values: clock and chance are arguments. One task runs at a time, so none overlaps another or itself; the one that is
due for the longest comes first, so none starves. Knows nothing of what the tasks do.

- After a start each task is due at a random instant of its period, of FIRST_S at most: processes that were started together part.
- A period is shortened by up to JITTER of it, so that they do not meet again.
- A task that took long rests for as long as it took: upkeep takes half of one core at most.
- A task that had no time to end goes on after that rest.
- One that failed comes again after RETRY_S, twice as long each time, up to its period; half of that is chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

FIRST_S = 60.0    # a plant that was just started has other things to do; a person who looks does not wait for longer
JITTER = 0.1      # of a period
RETRY_S = 30.0    # a server that restarts is back by then


class Outcome(StrEnum):
    """How a turn ended."""

    DONE = "done"
    MORE = "more"       # its time was over before its work
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task stands. `due_s`: on the caller's clock. `failures`: in a row."""

    due_s: float
    failures: int = 0


def first(every_s: float, now_s: float, chance: float) -> Standing:
    """The standing of a task after a start.

    Args:
        every_s: its period. chance: of [0, 1).
    """
    return Standing(now_s + min(every_s, FIRST_S) * chance)


def after(before: Standing, every_s: float, began_s: float, ended_s: float, outcome: Outcome, chance: float) -> Standing:
    """The standing of a task after its turn from `began_s` to `ended_s`; other arguments as of `first`."""
    rested_s = ended_s + (ended_s - began_s)
    if outcome is Outcome.FAILED:
        failures = before.failures + 1
        wait_s = min(every_s, RETRY_S * 2.0 ** min(failures - 1, 30)) * (0.5 + chance / 2)   # 2^30 s is beyond any period
        return Standing(max(ended_s + wait_s, rested_s), failures)
    if outcome is Outcome.MORE:
        return Standing(rested_s)
    return Standing(max(began_s + every_s * (1 - JITTER * chance), rested_s))


def choose(standings: Mapping[str, Standing], now_s: float) -> tuple[str | None, float]:
    """Which task is to run now, and if none is, how long until one will be; `standings` has at least one."""
    name, standing = min(standings.items(), key=lambda item: (item[1].due_s, item[0]))
    return (name, 0.0) if standing.due_s <= now_s else (None, standing.due_s - now_s)
