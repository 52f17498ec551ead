"""Runs the tasks of upkeep as they become due, one after another, and says how each did.

A task that fails is logged with a code and comes again; the others go on. When each is due is decided by schedule.py.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

from sqlalchemy.exc import SQLAlchemyError

from host.db import DatabaseError
from host.monitor.sample import Sample
from host.settings import SettingsError
from host.store.maintenance import MaintenanceError
from host.store.packing import PackingError
from host.store.parts import PartsError
from host.upkeep.schedule import Outcome, Standing, after, choose, first
from ota.client import OtaError

SLICE_S = 30.0   # a task that can stop between two devices does so after this, or the shortest period: the others wait no longer
FAULT = "upkeep.fault"
CODES: tuple[tuple[type[Exception], str], ...] = (
    (SettingsError, "upkeep.setting"), (MaintenanceError, "upkeep.maintenance"), (PackingError, "upkeep.columns"),
    (PartsError, "upkeep.columns"), (DatabaseError, "upkeep.database"), (SQLAlchemyError, "upkeep.database"),
    (OSError, "upkeep.file"),
)

log = logging.getLogger("host.upkeep")


@dataclass(frozen=True, slots=True)
class Done:
    """What a turn did, for people; `more`: not all of it."""

    says: str
    more: bool = False


Over = Callable[[], bool]   # whether the turn is to end


@dataclass(frozen=True, slots=True)
class Task:
    """Something that is done again and again: its name, its period, and a turn of it."""

    name: str
    every_s: float
    work: Callable[[Over], Done]


@dataclass(slots=True)
class _Figures:
    failures: int = 0
    success_s: float = 0.0
    took_s: float = 0.0


def code_of(error: Exception) -> str:
    """By which name a failure is known; the update server's own codes are kept."""
    if isinstance(error, OtaError):
        return error.code
    return next((code for kind, code in CODES if isinstance(error, kind)), FAULT)


class Keeper:
    """The tasks of one process.

    Args:
        clock_s: never set back. unix_s: what metrics tell. chance: of [0, 1).
    """

    def __init__(
        self, tasks: Sequence[Task], chance: Callable[[], float], clock_s: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._slice_s = min([SLICE_S, *(task.every_s for task in tasks)])
        self._chance, self._clock_s, self._unix_s = chance, clock_s, unix_s
        now_s = clock_s()
        self._standings: dict[str, Standing] = {task.name: first(task.every_s, now_s, chance()) for task in tasks}
        self._figures = {task.name: _Figures() for task in tasks}

    def run(self, stop: Event) -> None:
        """Do what is due until stopped."""
        while not stop.is_set():
            stop.wait(self.turn(stop))

    def turn(self, stop: Event) -> float:
        """Do the task that is due, if one is; gives the seconds until the next one."""
        name, wait_s = choose(self._standings, self._clock_s())
        if name is None:
            return wait_s
        began_s = self._clock_s()
        task, figures = self._tasks[name], self._figures[name]
        outcome = self._do(task, lambda: stop.is_set() or self._clock_s() - began_s >= self._slice_s)
        ended_s = self._clock_s()
        figures.took_s = ended_s - began_s
        if outcome is Outcome.FAILED:
            figures.failures += 1
        elif outcome is Outcome.DONE:
            figures.success_s = self._unix_s()
        self._standings[name] = after(self._standings[name], task.every_s, began_s, ended_s, outcome, self._chance())
        return 0.0

    def samples(self) -> list[Sample]:
        """What is told to Prometheus; asked from another thread, and no figure needs another."""
        found = []
        for name, one in self._figures.items():
            labels = {"task": name}
            found += [
                Sample("tenfold_upkeep_period_seconds", labels, self._tasks[name].every_s),
                Sample("tenfold_upkeep_failures_total", labels, one.failures),
                Sample("tenfold_upkeep_duration_seconds", labels, one.took_s),
                Sample("tenfold_upkeep_last_success_timestamp_seconds", labels, one.success_s),
            ]
        return found

    def _do(self, task: Task, over: Over) -> Outcome:
        try:
            done = task.work(over)
        except Exception as error:   # whatever it is: the other tasks must go on
            code = code_of(error)
            told = error.message if isinstance(error, OtaError) else error   # its text begins with the code
            log.error("%s failed (%s): %s", task.name, code, told, exc_info=code == FAULT)
            return Outcome.FAILED
        log.info("%s: %s", task.name, done.says)
        return Outcome.MORE if done.more else Outcome.DONE
