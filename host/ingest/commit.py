"""One group of messages becomes one transaction, and the acks that it earns.

Decides which records are new, repeated or in conflict, how far each device is stored without a gap, when its batches were
taken and what it must be told. Sends nothing: acks leave only after `commit` has returned, so after the disk has them
(promise 1). Works on values; SQL is host.store.telemetry's, the broker is a source's (source.py).

Any number of processes commit to one database. What changes is read in each transaction, under the lock of its device; only what
never becomes false is remembered between two: the schemas that a device told, and that a boot has a clock at least this good.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from host.db import is_deadlock
from host.ingest import progress as steps
from host.ingest import times
from host.ingest.sort import Pack, Record, Reject, Sorted, Spoken
from host.ingest.unpack import unpack
from host.monitor.arrival import is_late
from host.monitor.presence import LinkEvent, hear_gone, hear_on
from host.store.tables import KIND_BATCH, KIND_SCHEMA
from host.store.telemetry import (
    BootClock,
    BootName,
    DeviceState,
    Name,
    NeverHeardError,
    Sums,
    Telemetry,
    Transaction,
    is_same,
)
from node.wire.batch import QUALITY_NONE, QUALITY_SERVER
from node.wire.topics import SEND_SCHEMA, up

log = logging.getLogger(__name__)

DEVICES_KEPT = 20_000       # whose schemas are in memory; beyond it all are read anew
CLOCKS_KEPT = 40_000        # boot clocks in memory
CATCH_UP_NAMES = 1024       # stored names read at a time when a gap closes
AGAIN = 5                   # other writers in the way so often in a row: then it is a fault like any other
ASK_SCHEMA_MS = 10_000      # a device is asked for a schema at most this often; it answers with one more record


class UnlockedWriterError(SQLAlchemyError):
    """Records appeared in spite of our lock: a release of ingest from before there were locks is still running."""


@dataclass(frozen=True, slots=True)
class Ack:
    """What one device is told: every record up to (boot, seq) is on disk."""

    device: str
    boot: int
    seq: int
    flags: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one commit did; counts are of this group."""

    acks: tuple[Ack, ...]
    records: int = 0
    readings: int = 0
    duplicates: int = 0
    quarantined: int = 0
    rejects: tuple[Reject, ...] = ()


class Committer:
    """Commits groups and remembers, between them, what stays true. Not for several threads.

    Args:
        rounding: see host.ingest.foreign.draw.
    """

    def __init__(self, store: Telemetry, *, rounding: bool = False) -> None:
        self._store, self._rounding = store, rounding
        self._known = _Known()
        self._asked_ms: dict[str, int] = {}

    def commit(self, group: Sequence[Sorted], now_ms: int, *, aside: bool = True) -> Outcome:
        """Store a group in one transaction.

        Args:
            group: in the order of arrival.
            now_ms: Unix milliseconds.
            aside: what has no place goes to quarantine; False: it lies there already.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: nothing was stored, nothing is to be acked; the same group may be tried again.
        """
        if len(self._known.schemas) > DEVICES_KEPT or len(self._known.clocks) > CLOCKS_KEPT:
            self.forget()
        work = self._run(group, now_ms, aside=aside)
        self._known.learn(work.states, work.clocks)
        return Outcome(
            tuple(self._acks(work, now_ms)), len(work.fresh), sum(one.n_readings for one in work.fresh.values()),
            work.duplicates, len(work.rejects), tuple(work.rejects),
        )

    def forget(self) -> None:
        """Read everything anew at the next commit."""
        self._known = _Known()
        self._asked_ms.clear()

    def _run(self, group: Sequence[Sorted], now_ms: int, *, aside: bool) -> "_Work":
        """Do one group's transaction, again when other writers are in its way."""
        doubtful, again = False, 0
        while True:
            try:
                with self._store.begin() as transaction:
                    work = _Work(transaction, now_ms, self._known, doubtful=doubtful, rounding=self._rounding)
                    work.take(group)
                    transaction.quarantine(work.rejects if aside else (), now_ms)
            except NeverHeardError as error:
                self._store.enter(error.devices)
            except UnlockedWriterError:
                log.warning("an older release of ingest writes to this database; stop it, it counts wrongly")
                doubtful, again = True, again + 1
                if again > AGAIN:
                    raise
            except OperationalError as error:
                again += 1
                if not is_deadlock(error) or again > AGAIN:
                    raise
                log.info("waiting for one another with another writer, beginning again")
            else:
                return work

    def _acks(self, work: "_Work", now_ms: int) -> Iterable[Ack]:
        for device in work.answer:
            state = work.states[device]
            name = steps.ack_of(state.progress)
            if name is None:
                continue
            flags = 0
            if state.schema_missing and now_ms - self._asked_ms.get(device, -ASK_SCHEMA_MS) >= ASK_SCHEMA_MS:
                self._asked_ms[device] = now_ms
                flags = SEND_SCHEMA
            yield Ack(device, *name, flags)


class _Known:
    """What a committer remembers: facts that no other writer makes false."""

    def __init__(self) -> None:
        self.schemas: dict[str, frozenset[bytes]] = {}   # at least these were told by the device
        self.clocks: dict[BootName, BootClock] = {}      # the boot's clock is at least this good

    def learn(self, states: Mapping[str, DeviceState], clocks: Mapping[BootName, BootClock]) -> None:
        """Remember what a committed transaction read and wrote."""
        self.schemas.update((device, one.schemas) for device, one in states.items())
        self.clocks.update(clocks)


class _Work:
    """One group on its way through one transaction. Committed state is read, never changed.

    Args:
        doubtful: look every name up. rounding: see Committer.
    """

    def __init__(self, transaction: Transaction, now_ms: int, known: _Known, *, doubtful: bool, rounding: bool) -> None:
        self._transaction, self._now_ms, self._known = transaction, now_ms, known
        self._doubtful, self._rounding = doubtful, rounding
        self.states: dict[str, DeviceState] = {}
        self._begin: dict[str, DeviceState] = {}   # the states before this group
        self.clocks: dict[BootName, BootClock] = {}
        self.fresh: dict[Name, Record] = {}
        self._starts: dict[Name, int | None] = {}   # wall time of the first sample of each fresh batch, as it is stored
        self.rejects: list[Reject] = []
        self.answer: dict[str, None] = {}      # devices that get an ack, in order
        self.events: list[tuple[str, LinkEvent]] = []
        self.duplicates = 0
        self._stored: dict[Name, bytes] = {}   # payloads that were stored before this group, or their last bytes

    def take(self, group: Sequence[Sorted]) -> None:
        """Do all reads and writes of one group; committing is the caller's."""
        foreign = {one.device for one in group if isinstance(one, Pack)}
        repeated: Mapping[str, int] = {}
        if foreign:
            group, repeated = unpack(self._transaction.foreign(), group, self._now_ms, rounding=self._rounding)
        self.rejects = [one for one in group if isinstance(one, Reject)]
        records = [one for one in group if isinstance(one, Record)]
        self._load([one for one in group if isinstance(one, (Record, Spoken))], repeated)
        self._find(records)
        self._store(list(self.fresh.values()))
        for one in group:   # in the order of arrival: a state message speaks of the records before and after it
            if isinstance(one, Record):
                self._count(one)
            elif isinstance(one, Spoken):
                self._hear(one)
        self._repeat(repeated)
        self._catch_up()
        for device in foreign:
            self.answer.pop(device, None)   # they have no ring
        self._transaction.save(self.states)
        self._transaction.add_events(self.events)
        if self.fresh:
            fresh = self.fresh.values()
            self._transaction.add_traffic(
                self._now_ms, len(fresh), sum(one.n_readings for one in fresh), sum(len(one.payload) for one in fresh),
            )

    def _load(self, group: Sequence[Record | Spoken], others: Iterable[str]) -> None:
        """Lock the group's devices, and others, and read what is known of them, as far as this group asks for it."""
        states = self._transaction.lock({*others, *(one.device for one in group)})
        presences = self._transaction.presences({one.device for one in group if isinstance(one, Spoken)})
        known = self._known.schemas
        asked = {one.device for one in group if isinstance(one, Record) and one.schema not in known.get(one.device, ())}
        told = self._transaction.schemas(asked)
        self.states = {
            device: replace(
                state, presence=presences.get(device, state.presence),
                schemas=told[device] if device in told else known.get(device, state.schemas),
            )
            for device, state in states.items()
        }
        self._begin = dict(self.states)

    def _find(self, records: Sequence[Record]) -> None:
        """Tell new records from those that are stored, asking the database only where the progress leaves a doubt."""
        named = {_name(one): one for one in reversed(records)}   # of equal names the first that came
        self._stored = self._transaction.payloads([name for name in named if self._in_doubt(name)])
        self.fresh = {name: named[name] for name in map(_name, records) if name not in self._stored}

    def _in_doubt(self, name: Name) -> bool:
        device, boot, seq = name
        progress = self.states[device].progress
        return self._doubtful or progress.ahead or seq < progress.next_seq or boot < progress.boot

    def _store(self, fresh: Sequence[Record]) -> None:
        believed = [self._believed(one) for one in fresh]
        self._learn_clocks([one for one in believed if one.kind == KIND_BATCH])
        rows = [self._placed(one) if one.kind == KIND_BATCH else (one, None) for one in believed]
        self._starts = {_name(one): start_ms for one, start_ms in rows if one.kind == KIND_BATCH}
        if self._transaction.insert(rows, self._now_ms) != len(rows):
            raise UnlockedWriterError
        self._transaction.save_schemas([one for one in fresh if one.kind == KIND_SCHEMA])

    def _learn_clocks(self, batches: Sequence[Record]) -> None:
        """Keep the best clock of each boot: the most trusted source, then the one nearest to the boot."""
        asked = {_boot(one) for one in batches if self._asks_clock(one)}
        self.clocks = self._transaction.clocks(asked)
        changed = set()
        for one in batches:
            boot = _boot(one)
            if boot in asked and _has_clock(one) and _better(one, self.clocks.get(boot)):
                self.clocks[boot] = BootClock(one.epoch_ms, one.quality, one.uptime_ms)
                changed.add(boot)
        for boot in sorted(changed):
            self._transaction.save_clock(boot, self.clocks[boot], below_quality=QUALITY_SERVER)

    def _asks_clock(self, one: Record) -> bool:
        """Whether a batch has to do with its boot's best clock: it has none, a better one, or one far from what is known."""
        known = self._known.clocks.get(_boot(one))
        return (not _has_clock(one) or known is None or _better(one, known)
                or bool(times.apart(one.quality, one.epoch_ms, known.quality, known.epoch_ms)))

    def _believed(self, one: Record) -> Record:
        """The record; one whose clock cannot be true as if it had none, which quarantine tells."""
        return self._doubted(one, times.doubt(one.quality, one.epoch_ms, one.uptime_ms, self._now_ms))

    def _placed(self, one: Record) -> tuple[Record, int | None]:
        clock = self.clocks.get(_boot(one))
        if clock is not None:
            one = self._doubted(one, times.apart(one.quality, one.epoch_ms, clock.quality, clock.epoch_ms))
        return one, self._start_ms(one)

    def _doubted(self, one: Record, why: str) -> Record:
        if not why:
            return one
        self.rejects.append(Reject(up(one.device), one.device, why, one.payload))
        return replace(one, epoch_ms=0, quality=QUALITY_NONE)

    def _start_ms(self, one: Record) -> int | None:
        """Wall time of a batch's first sample: by its own clock when that is a real one, else by its boot's."""
        if _has_clock(one):
            return one.epoch_ms + one.uptime_ms
        clock = self.clocks.get(_boot(one))
        return None if clock is None else clock.epoch_ms + one.uptime_ms

    def _count(self, one: Record) -> None:
        name = _name(one)
        state, first = self.states[one.device], self.fresh.get(name)
        sums, schemas = state.sums, state.schemas
        again = first is not one
        if again and not is_same(one.payload, self._stored[name] if first is None else first.payload):
            log.warning("%s sent other bytes under the name (%d, %d)", one.device, one.boot, one.seq)
            self.rejects.append(Reject(up(one.device), one.device, "conflict", one.payload))
            self.states[one.device] = replace(state, sums=replace(sums, conflicts=sums.conflicts + 1))
            self.answer[one.device] = None
            return
        if again:
            sums = replace(sums, duplicates=sums.duplicates + 1)
            self.duplicates += 1
        else:
            start_ms = self._starts.get(name, 0)
            sums = Sums(
                records=sums.records + 1, batches=sums.batches + (one.kind == KIND_BATCH),
                readings=sums.readings + one.n_readings, bytes=sums.bytes + len(one.payload),
                duplicates=sums.duplicates, conflicts=sums.conflicts,
                lost_by_overflow=sums.lost_by_overflow - self._was_given_up(one, sums.lost_by_overflow),
                late=sums.late + (one.kind == KIND_BATCH and is_late(start_ms, one.span_ms, self._now_ms)),
                unclocked=sums.unclocked + (start_ms is None),
            )
        if one.kind == KIND_SCHEMA:
            schemas |= {one.schema}
        self.states[one.device] = DeviceState(   # made whole: `replace` takes three times as long, and this is each batch's way
            progress=steps.stored(state.progress, one.boot, one.seq, again=again), sums=sums, presence=state.presence,
            schemas=schemas, schema_missing=self._schema_missing(state, schemas, one), last_ms=self._now_ms,
        )
        self.answer[one.device] = None

    def _repeat(self, repeated: Mapping[str, int]) -> None:
        """Count packs that came before."""
        for device, n in repeated.items():
            state = self.states[device]
            sums = replace(state.sums, duplicates=state.sums.duplicates + n)
            self.states[device] = replace(state, sums=sums, last_ms=self._now_ms)
            self.duplicates += n

    def _was_given_up(self, one: Record, lost: int) -> bool:
        """Whether a new record was counted as lost: the state message that gave it up overtook it in the broker."""
        progress = self._begin[one.device].progress
        return lost > 0 and one.seq < progress.next_seq and one.boot <= progress.boot

    def _schema_missing(self, state: DeviceState, schemas: frozenset[bytes], one: Record) -> bool:
        """Whether to ask for the schemas: from a batch without its own, whatever other groups send, until the device tells some.

        What it then did not tell it no longer has; the next batch without its own asks again.
        """
        return one.kind == KIND_BATCH and (state.schema_missing or one.schema not in schemas)

    def _hear(self, one: Spoken) -> None:
        state = self.states[one.device]
        at_ms = min(one.at_ms or self._now_ms, self._now_ms)
        if one.at_ms and at_ms < state.presence.heard_ms:
            return   # another worker has stored one that the device sent after it
        if one.hello is None:
            presence, events = hear_gone(state.presence, at_ms)
            self.states[one.device] = replace(state, presence=presence)
        else:
            presence, events = hear_on(state.presence, one.hello, at_ms, copy=one.copy)
            progress, gap = steps.heard(state.progress, one.hello.boot, one.oldest)
            sums = state.sums
            if gap is not None:
                lost = gap.end_seq - gap.first_seq - self._transaction.count(one.device, gap)
                sums = replace(sums, lost_by_overflow=sums.lost_by_overflow + lost)
                log.warning("%s no longer has %d records before (%d, %d)", one.device, lost, *one.oldest)
            if one.hello.boot < progress.boot:
                log.warning(
                    "%s speaks from boot %d, its records reached boot %d: its memory was wiped, nothing is acked until its "
                    "boots are past that", one.device, one.hello.boot, progress.boot,
                )
            self.states[one.device] = replace(state, presence=presence, progress=progress, sums=sums)
            if not one.copy:
                self.answer[one.device] = None
        self.events += [(one.device, event) for event in events]

    def _catch_up(self) -> None:
        """Walk on through what was stored before a gap closed, a page at a time until nothing moves."""
        for device, state in self.states.items():
            progress, moved = state.progress, state.progress.ahead
            if not moved:
                continue
            while moved:
                before = progress.boot, progress.next_seq
                progress = steps.catch_up(progress, self._transaction.names_from(device, progress, CATCH_UP_NAMES))
                moved = (progress.boot, progress.next_seq) != before
            self.states[device] = replace(state, progress=progress)


def _name(one: Record) -> Name:
    return one.device, one.boot, one.seq


def _boot(one: Record) -> BootName:
    return one.device, one.boot


def _has_clock(one: Record) -> bool:
    return one.quality >= QUALITY_SERVER and one.epoch_ms > 0


def _better(one: Record, clock: BootClock | None) -> bool:
    return clock is None or (-one.quality, one.uptime_ms) < (-clock.quality, clock.uptime_ms)
