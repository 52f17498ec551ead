"""The loop of ingest: gather, commit, acknowledge.

Decides the order, which is the promise: first the disk, then the broker, then the device. And what a database fault means:
nothing is acknowledged, the group is kept and tried again, the inbox fills and the broker holds the rest. What is stored is
commit.py's decision.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from host.clock import unix_ms
from host.ingest.commit import Committer, Outcome
from host.ingest.figures import Figures
from host.ingest.inbox import Inbox, Message
from host.ingest.known import KnownDevices, admitted
from host.ingest.sort import Pack, Record, Reject, Sorted, sort
from host.ingest.source import Source
from host.monitor.sample import Sample
from host.store.foreign import prune_packs
from host.store.lead import Lead
from host.store.retention import Bounds, prune
from host.store.telemetry import Telemetry
from node.wire import topics

log = logging.getLogger(__name__)

WAIT_S = 0.5            # longest wait for a message before the clock is looked at
RETRY_MIN_S = 0.2       # after a fault of the database; doubles
RETRY_MAX_S = 5.0
PRUNE_EARLY = 4         # bounds are also applied when a 1/4 of the rows that quarantine may hold came since the last time
LEAD_S = 1.0            # between two looks whether this worker leads
REPORT_S = 60.0         # a line of sums in the log at most this often


class Rhythm(Protocol):
    """The settings of the loop; IngestSettings has them."""

    @property
    def gather_ms(self) -> int: ...
    @property
    def gather_max(self) -> int: ...
    @property
    def inbox_max(self) -> int: ...
    @property
    def inbox_bytes(self) -> int: ...
    @property
    def prune_s(self) -> int: ...
    @property
    def senml_round(self) -> bool: ...
    @property
    def pack_days(self) -> int: ...
    @property
    def known_devices(self) -> Path | None: ...
    def bounds(self) -> Bounds: ...


class Ingest:
    """One source into one database, beside any number of others. One of them leads: it hears the states and removes what is old.

    Raises:
        SettingsError: the list of known devices cannot be read.
    """

    def __init__(self, source: Source, engine: Engine, rhythm: Rhythm, clock_ms: Callable[[], int] = unix_ms) -> None:
        self._source, self._engine, self._rhythm, self._clock_ms = source, engine, rhythm, clock_ms
        self._stop = Event()
        self._store = Telemetry(engine)
        self._committer = Committer(self._store, rounding=rhythm.senml_round)
        self._known = None if rhythm.known_devices is None else KnownDevices(rhythm.known_devices)
        self._lead = Lead(engine)
        self._leads, self._lead_at_s = False, 0.0
        self._inbox = Inbox(rhythm.inbox_max, rhythm.inbox_bytes, clock_ms)
        self._figures = Figures()
        self._prune_at_ms, self._report_at_s = 0, 0.0
        self._records, self._readings, self._quarantined = 0, 0, 0

    def run(self) -> None:
        """Work until `stop` is called. Faults of broker and database are waited out, never raised."""
        self._source.start(self._inbox)
        try:
            while not self._stop.is_set():
                messages = self._inbox.take(self._rhythm.gather_max, self._rhythm.gather_ms / 1000, WAIT_S)
                if messages:
                    self._settle(messages)
                if len(messages) < self._rhythm.gather_max:
                    self._source.recover()
                self._maintain()
        finally:
            self._source.stop()
            self._lead.end()

    def stop(self) -> None:
        """Have `run` return soon; from any thread."""
        self._stop.set()
        self._inbox.close()

    def samples(self) -> Iterator[Sample]:
        """What it counts of itself; from any thread."""
        return self._figures.samples(self._inbox.state(), self._clock_ms())

    def _settle(self, messages: Sequence[Message]) -> None:
        began_s = time.monotonic()
        outcome = self._committed([
            admitted(sort(one.topic, one.payload, copy=one.copy, at_ms=one.at_ms), one.topic, one.payload, self._known)
            for one in messages
        ])
        if outcome is None:
            return   # told to stop while the database was at fault: the broker still has them all
        self._figures.committed(outcome, len(messages), time.monotonic() - began_s, self._clock_ms())
        self._source.settle(messages)
        for ack in outcome.acks:
            self._source.send(topics.ack(ack.device), topics.encode_ack(ack.boot, ack.seq, ack.flags))
        self._records += outcome.records
        self._readings += outcome.readings
        self._quarantined += outcome.quarantined

    def _committed(self, group: Sequence[Sorted]) -> Outcome | None:
        """Commit, however often it takes; None when told to stop before it succeeded."""
        delay_s = RETRY_MIN_S
        at_fault = False
        while True:
            try:
                outcome = self._committer.commit(group, self._clock_ms())
            except (DataError, IntegrityError):   # the database refuses these values, now and always
                return self._isolated(group)
            except SQLAlchemyError as error:      # everything else may pass
                log.error("cannot store, nothing is acknowledged, trying again in %.1f s: %s", delay_s, _brief(error))
            else:
                if at_fault:
                    log.info("storing again")
                return outcome
            at_fault = True
            self._figures.faults += 1
            self._store.reopen()
            if self._stop.wait(delay_s):
                return None
            delay_s = min(2 * delay_s, RETRY_MAX_S)

    def _isolated(self, group: Sequence[Sorted]) -> Outcome | None:
        """Commit one by one after the database refused a value: the refused message goes to quarantine, the rest through."""
        if len(group) == 1 and isinstance(group[0], Record):
            one = group[0]
            log.error("the database refuses a record of %s, keeping it aside", one.device)
            return self._committed([Reject(topics.up(one.device), one.device, "store.refused", one.payload)])
        if len(group) == 1 and isinstance(group[0], Pack):
            pack = group[0]
            log.error("the database refuses a pack of %s, keeping it aside", pack.device)
            return self._committed([Reject(pack.topic, pack.device, "store.refused", pack.payload)])
        if len(group) == 1:
            log.error("the database refuses %s; dropped", type(group[0]).__name__)
            return Outcome(())
        outcomes = [self._committed([one]) for one in group]
        done = [one for one in outcomes if one is not None]
        if len(done) < len(outcomes):
            return None
        return Outcome(
            tuple(ack for one in done for ack in one.acks), sum(one.records for one in done), sum(one.readings for one in done),
            sum(one.duplicates for one in done), sum(one.quarantined for one in done),
            tuple(reject for one in done for reject in one.rejects),
        )

    def _maintain(self) -> None:
        now_ms, now_s = self._clock_ms(), time.monotonic()
        if now_s >= self._lead_at_s:
            self._leads, self._lead_at_s = self._lead.held(), now_s + LEAD_S
            self._source.hear_states(hear=self._leads)
        if self._leads:
            self._prune(now_ms)
        if self._records and now_s >= self._report_at_s:
            log.info("stored %d records, %d readings", self._records, self._readings)
            self._report_at_s, self._records, self._readings = now_s + REPORT_S, 0, 0

    def _prune(self, now_ms: int) -> None:
        bounds = self._rhythm.bounds()
        if now_ms >= self._prune_at_ms or self._quarantined * PRUNE_EARLY > bounds.quarantine_rows:
            self._prune_at_ms, self._quarantined = now_ms + self._rhythm.prune_s * 1000, 0
            try:
                removed = prune(self._engine, bounds, now_ms)
                prune_packs(self._engine, self._rhythm.pack_days, now_ms)
            except SQLAlchemyError as error:
                log.warning("cannot prune now: %s", _brief(error))
            else:
                log.debug("pruned %s", removed)


def _brief(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
