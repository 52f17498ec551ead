"""Evaluates the rules every so often: reads samples, does a tick, writes it down as a whole, wakes those who send.

Decides nothing about alerts (engine.py does). When samples cannot be read or the tick cannot be written, nothing has happened: the
next one goes on from what is in the database.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from threading import Event

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from host.clock import HOUR_MS
from host.db import DatabaseError
from host.monitor.alerting import engine as alerting
from host.monitor.alerting import words
from host.monitor.alerting.rules import Rule
from host.monitor.alerting.targets import Target, wants
from host.monitor.sample import Sample
from host.settings import SettingsError
from host.store import alert_outbox as outbox
from host.store import alerts

COUNTED_TICKS = 3        # a gap between samples counts for `for_s` up to so many ticks
PRUNE_MS = HOUR_MS
log = logging.getLogger(__name__)


class Runner:
    """Evaluates one set of rules over one database.

    Args:
        read: gives all samples as of a time (Unix milliseconds). clock: Unix milliseconds.
        told: called after a tick that has something to send.
    """

    def __init__(
        self, rules: Sequence[Rule], engine: Engine, targets: Sequence[Target], read: Callable[[int], Iterable[Sample]],
        clock: Callable[[], int], *, evaluate_s: float, history_days: int, told: Callable[[], None] = lambda: None,
    ) -> None:
        self._rules, self._engine, self._targets, self._read, self._clock = rules, engine, targets, read, clock
        self._most_ms = int(evaluate_s * 1000 * COUNTED_TICKS)
        self._evaluate_s, self._history_days, self._told = evaluate_s, history_days, told
        self._memory: alerting.Memory | None = None   # None: to be read
        self._turn = 0
        self._pruned_ms = 0
        self._blind: tuple[str, ...] = ()

    def run(self, stop: Event) -> None:
        """Evaluate until stopped."""
        while not stop.is_set():
            try:
                self.tick()
            except (SQLAlchemyError, DatabaseError, SettingsError) as error:   # a certificate may be under way, too
                self._memory = None
                log.error("alerts were not evaluated, it is tried again: %s", error)
            except alerts.OvertakenError as error:
                self._memory = None
                log.warning("%s; ours is not written. Run one process", error)
            stop.wait(self._evaluate_s)

    def tick(self) -> alerting.Tick:
        """Evaluate once.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: nothing was written.
            OvertakenError: another runner was faster; nothing was written.
        """
        now_ms = self._clock()
        with self._engine.connect() as connection:
            if self._memory is None:
                self._turn, _ = alerts.turn(connection)
                self._memory = alerts.load(connection)
            silences = alerts.silences(connection, ending_after_ms=now_ms)
        done = alerting.step(self._rules, self._memory, self._read(now_ms), silences, now_ms, most_ms=self._most_ms)
        before, self._memory = self._memory, None   # until it is written
        with self._engine.begin() as connection:
            alerts.take_turn(connection, self._turn, now_ms)
            alerts.save(connection, before, done.memory)
            alerts.add_history(connection, now_ms, done.transitions, done.notices)
            for notice in done.notices:
                names = [each.name for each in self._targets if wants(each, notice.severity)]
                outbox.add(connection, now_ms, notice.severity, words.body(notice), names)
            if not 0 <= now_ms - self._pruned_ms < PRUNE_MS:   # and at the first tick
                alerts.prune(connection, now_ms, self._history_days)
                outbox.drop_others(connection, [each.name for each in self._targets])
                self._pruned_ms = now_ms
        self._memory, self._turn = done.memory, self._turn + 1
        self._say(done)
        return done

    def _say(self, done: alerting.Tick) -> None:
        for notice in done.notices:
            log.info("%s: %s", words.title(notice), words.text(notice).replace("\n", "; "))
        for rule, count in done.overflow.items():
            log.error("rule %s: %d more breaches than are kept (%d); they count for no group", rule, count, alerting.MOST_MEMBERS)
        if done.blind != self._blind:
            log.warning("rules without any sample: %s", ", ".join(done.blind) or "none any more")
            self._blind = done.blind
        if done.notices:
            self._told()
