"""Sends what waits in the database to one target, in a thread of its own, so that one that hangs delays no other.

Decides when a try is made again and when a notice is given up. A delivery is gone only after the target has taken it: a crash in
between repeats it, with the same id, and loses none.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from host import webhook
from host.monitor.alerting.targets import Target
from host.store import alert_outbox as outbox
from host.store import alerts

LOOK_S = 5.0   # between two looks for what is due; a new notice wakes the sender at once
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sender:
    """One target's sender.

    Args:
        clock: Unix milliseconds. chance: 0..1, even; spreads tries.
    """

    target: Target
    engine: Engine
    clock: Callable[[], int]
    chance: Callable[[], float]
    wake: Event = field(default_factory=Event)
    stopped: Event = field(default_factory=Event)

    def run(self) -> None:
        """Send until stopped; a fault of the database is logged and passes."""
        while not self.stopped.is_set():
            try:
                while not self.stopped.is_set() and self.tell():
                    pass
            except SQLAlchemyError as error:
                log.error("%s: the database is at fault, it is tried again: %s", self.target.name, error)
            self.wake.wait(LOOK_S)
            self.wake.clear()

    def stop(self) -> None:
        """Have `run` return after the try that is under way."""
        self.stopped.set()
        self.wake.set()

    def tell(self) -> bool:
        """Send the next notice that is due; says whether there may be another."""
        now_ms = self.clock()
        with self.engine.connect() as connection:
            one = outbox.next_for(connection, self.target.name, now_ms)
        if one is None:
            return False
        with self.engine.begin() as connection:
            if not outbox.claim(connection, one, now_ms + int(webhook.CLAIM_S * 1000)):
                return True   # another process has it; perhaps there is more
        error = self.target.send(str(one.ident), one.body)
        self._settle(one, error)
        return not error

    def _settle(self, one: outbox.Delivery, error: str) -> None:
        now_ms = self.clock()
        with self.engine.begin() as connection:
            if not error:
                outbox.taken(connection, one)
            elif one.tries + 1 < webhook.TRIES:
                gap_s = webhook.gap(one.tries + 1, self.chance())
                outbox.failed(connection, one, now_ms + int(gap_s * 1000), error)
                log.warning("%s: notice %d was not taken (%s); again in %.0f s", self.target.name, one.ident, error, gap_s)
            else:
                outbox.taken(connection, one)
                alerts.add_given_up(connection, now_ms, one.body, self.target.name, error)
                log.error("%s: notice %d is given up: %s", self.target.name, one.ident, error)
