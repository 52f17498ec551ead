"""Writing telemetry: rows <-> values, within one transaction.

Decides SQL and nothing else: which records are new, what is acked and what is kept aside is host.ingest's. One transaction is
one commit, and a commit that returned has reached the disk (host.db). Any number of processes write: a transaction holds the
rows of its devices from `lock` to its end (SQLite: the whole database), so what it read of them stays true until it is committed.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import ARRAY, ColumnElement, Connection, Engine, Table, Text, and_, any_, bindparam, func, select, tuple_, update

from host.ingest.progress import Gap, Progress
from host.ingest.senml import MAX_PACK_BYTES
from host.ingest.sort import Record, Reject
from host.monitor.presence import LinkEvent, Presence, State
from host.rows import insert_new, insert_of, upsert
from host.store import tables as t
from host.store.foreign import ForeignRows

IN_LIMIT = 500             # values in one IN list; SQLite's limit is 32,766 variables in a statement
KEPT_BYTES = 4096          # of a quarantined payload; a record has at most 2048, more only tells that it is too long
TOPIC_CHARS = 128
TRAFFIC_STEP_S = 10
TAIL_BYTES = 4             # a record ends with its CRC-32: kept of a batch in a day column, to compare a repetition with


@dataclass(frozen=True, slots=True)
class Sums:
    """What one device has sent in its life.

    Attributes:
        bytes: of the payloads that are stored.
        late: batches that came late (host.monitor.arrival). unclocked: that came before their boot's clock was known.
    """

    records: int = 0
    batches: int = 0
    readings: int = 0
    bytes: int = 0
    duplicates: int = 0
    conflicts: int = 0
    lost_by_overflow: int = 0
    late: int = 0
    unclocked: int = 0


@dataclass(frozen=True, slots=True)
class DeviceState:
    """All that ingest knows of one device, as committed."""

    progress: Progress = field(default_factory=Progress)
    sums: Sums = field(default_factory=Sums)
    presence: Presence = field(default_factory=Presence)
    schemas: frozenset[bytes] = frozenset()
    schema_missing: bool = False
    last_ms: int = 0


@dataclass(frozen=True, slots=True)
class BootClock:
    """Unix time of uptime 0 in one boot, as a batch told it at `uptime_ms`. Quality as in node.wire.batch."""

    epoch_ms: int
    quality: int
    uptime_ms: int


def is_same(payload: bytes, stored: bytes) -> bool:
    """Whether a record is the one that `payloads` found under its name; every record is longer than TAIL_BYTES."""
    return payload == stored or (len(stored) <= TAIL_BYTES and payload.endswith(stored))


V = TypeVar("V")
_SUMS = attrgetter(*Sums.__slots__)
_STATES = select(*(t.progress.c[name] for name in (   # in the order of `lock`'s names
    "device", "schema_missing", "last_ms", *Progress.__slots__, *Sums.__slots__)))
_LOCK = (   # PostgreSQL's; one text for any number of devices, so that the server plans it once
    _STATES.where(t.progress.c.device == any_(bindparam("devices", type_=ARRAY(Text, dimensions=1))))
    .order_by(t.progress.c.device).with_for_update())
Name = tuple[str, int, int]     # device, boot, seq
BootName = tuple[str, int]      # device, boot


class NeverHeardError(Exception):
    """Devices have no row yet that could be locked; `Telemetry.enter` gives them one.

    Attributes:
        devices: their names.
    """

    def __init__(self, devices: frozenset[str]) -> None:
        super().__init__(f"{len(devices)} devices have no row yet")
        self.devices = devices


class Telemetry:
    """The writer's side of one telemetry database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def begin(self) -> Iterator["Transaction"]:
        """Open a transaction: committed when the block ends, rolled back when it raises.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: from the block or the commit; nothing is stored then.
        """
        with self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":   # before the first read: what is read must not be another writer's to change
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield Transaction(connection)

    def enter(self, devices: Iterable[str]) -> None:
        """Give devices a row to lock, in a transaction of its own that waits for nothing else; those that have one keep it."""
        with self.begin() as transaction:
            transaction.enter(devices)

    def reopen(self) -> None:
        """Drop pooled connections after a fault; the next transaction opens the database anew."""
        self._engine.dispose()


class Transaction:
    """Reads and writes of one transaction; made by Telemetry.begin."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._has_one_writer = connection.dialect.name == "sqlite"   # at a time: see Telemetry.begin

    def foreign(self) -> ForeignRows:
        """The rows of devices that are not ours, in this transaction."""
        return ForeignRows(self._connection)

    def enter(self, devices: Iterable[str]) -> None:
        """Insert an empty row for each device that has none."""
        rows = [_progress_row(device, DeviceState()) for device in sorted(devices)]
        insert_new(self._connection, t.progress, rows)

    def lock(self, devices: Collection[str]) -> dict[str, DeviceState]:
        """Progress and sums of some devices, which no other writer changes until this transaction ends.

        Locked in the order of their names, by one statement: two writers that want the same devices wait for each other in turn.

        Raises:
            NeverHeardError: PostgreSQL locks rows, and some devices have none. On SQLite, such a device has an empty state.
        """
        found = {device: DeviceState() for device in devices}
        seen = set()
        for device, schema_missing, last_ms, boot, next_seq, heard_boot, seen_boot, ahead, *sums in self._locked(list(found)):
            seen.add(device)
            found[device] = DeviceState(
                progress=Progress(boot, next_seq, heard_boot, seen_boot, ahead), sums=Sums(*sums), schema_missing=schema_missing,
                last_ms=last_ms)
        if not self._has_one_writer and len(seen) < len(found):
            raise NeverHeardError(frozenset(found.keys() - seen))
        return found

    def _locked(self, devices: list[str]) -> Iterable[Any]:
        """Their rows of progress, by one statement, whatever their number: the order of the locks is that of the names."""
        if self._has_one_writer:
            return self._connection.execute(_STATES.where(t.progress.c.device.in_(devices)))
        return self._connection.execute(_LOCK, {"devices": devices})

    def presences(self, devices: Iterable[str]) -> dict[str, Presence]:
        """What is known of the links of those devices that were heard."""
        return {
            row.device: Presence(
                State.ONLINE if row.online else State.OFFLINE, row.since_ms, row.boot, row.release, row.counter,
                row.reason, row.heard_ms,
            )
            for names in _parts(devices) for row in self._rows(t.presence, t.presence.c.device.in_(names))
        }

    def schemas(self, devices: Iterable[str]) -> dict[str, frozenset[bytes]]:
        """The hashes of the schemas that each device told."""
        found: dict[str, frozenset[bytes]] = {device: frozenset() for device in devices}
        for names in _parts(found):
            told = select(t.schema.c.device, t.schema.c.hash).where(t.schema.c.device.in_(names))
            for device, schema_hash in self._connection.execute(told):
                found[device] |= {bytes(schema_hash)}
        return found

    def payloads(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """The payloads of those records that are stored: the one place that says whether a name is taken.

        Of a record in a day column only its last bytes are given (`is_same`). One look-up by key for each boot: SQLite scans the
        table for `(device, boot, seq) IN (VALUES …)`. Batches come first, the runs of day columns after them: what `compact` moves
        in between is seen in one of the two.
        """
        boots: dict[BootName, list[int]] = {}
        for device, boot, seq in names:
            boots.setdefault((device, boot), []).append(seq)
        query = select(t.batch.c.seq, t.batch.c.payload)
        found = {
            (device, boot, seq): bytes(payload)
            for (device, boot), seqs in boots.items()
            for some in _parts(seqs)
            for seq, payload in self._connection.execute(
                query.where(t.batch.c.device == device, t.batch.c.boot == boot, t.batch.c.seq.in_(some))
            )
        }
        for (device, boot), seqs in boots.items():
            left = [seq for seq in seqs if (device, boot, seq) not in found]
            found |= {(device, boot, seq): tail for seq, tail in self._tails(device, boot, left)}
        return found

    def _tails(self, device: str, boot: int, seqs: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Those of a boot's names that are in day columns, with the last bytes of their payloads as far as they are kept."""
        if not seqs:
            return
        runs = self._rows(
            t.run, (t.run.c.device == device) & (t.run.c.boot == boot) & (t.run.c.first_seq <= max(seqs))
            & (t.run.c.last_seq >= min(seqs)))
        for row in runs:
            for seq in seqs:
                if row.first_seq <= seq <= row.last_seq:
                    at = (seq - row.first_seq) * TAIL_BYTES
                    yield seq, bytes(row.tails[at : at + TAIL_BYTES])

    def insert(self, records: Sequence[tuple[Record, int | None]], now_ms: int) -> int:
        """Store records, each with the wall time of its first sample (None: not known yet).

        Returns:
            How many were new; fewer than given means that a writer is at work that locks nothing.
        """
        rows = [
            {
                "device": one.device, "boot": one.boot, "seq": one.seq, "kind": one.kind, "schema": one.schema,
                "n_readings": one.n_readings, "uptime_ms": one.uptime_ms, "epoch_ms": one.epoch_ms, "quality": one.quality,
                "start_ms": start_ms, "received_ms": now_ms, "payload": one.payload,
            }
            for one, start_ms in records
        ]
        return insert_new(self._connection, t.batch, rows)

    def names_from(self, device: str, progress: Progress, limit: int) -> list[tuple[int, int]]:
        """(boot, seq) of the stored records at or beyond a progress, ascending."""
        query = (
            select(t.batch.c.boot, t.batch.c.seq)
            .where(t.batch.c.device == device, _from(progress.boot, progress.next_seq))
            .order_by(t.batch.c.boot, t.batch.c.seq).limit(limit)
        )
        return [(boot, seq) for boot, seq in self._connection.execute(query)]

    def count(self, device: str, gap: Gap) -> int:
        """How many records within a gap are stored."""
        query = select(func.count()).where(
            t.batch.c.device == device, _from(gap.boot, gap.first_seq), t.batch.c.seq < gap.end_seq,
        )
        return self._connection.scalar(query) or 0

    def clocks(self, boots: Iterable[BootName]) -> dict[BootName, BootClock]:
        """The clocks of those boots that have one."""
        return {
            (device, boot): BootClock(row.epoch_ms, row.quality, row.uptime_ms)
            for device, boot in boots
            for row in self._rows(t.boots, (t.boots.c.device == device) & (t.boots.c.boot == boot))
        }

    def save_clock(self, boot: BootName, clock: BootClock, below_quality: int) -> None:
        """Keep a boot's clock and place its batches whose own clock is worse than `below_quality`."""
        device, number = boot
        upsert(self._connection, t.boots, [{"device": device, "boot": number, **asdict(clock)}])
        self._connection.execute(
            update(t.batch).values(start_ms=t.batch.c.uptime_ms + clock.epoch_ms)
            .where(t.batch.c.device == device, t.batch.c.boot == number)
            .where(t.batch.c.kind == t.KIND_BATCH, t.batch.c.quality < below_quality)
        )

    def place(self, one: Record) -> bool:
        """Have a stored batch stand at the time that its own clock tells; False when it is not stored."""
        return self._connection.execute(
            update(t.batch).values(start_ms=one.epoch_ms + one.uptime_ms, epoch_ms=one.epoch_ms, quality=one.quality)
            .where(t.batch.c.device == one.device, t.batch.c.boot == one.boot, t.batch.c.seq == one.seq)
            .where(t.batch.c.payload == one.payload)
        ).rowcount > 0

    def save_schemas(self, records: Sequence[Record]) -> None:
        """Keep the schemas of schema records by (device, hash); of one that is known, that a newer boot told it."""
        if records:
            rows = [
                {"device": one.device, "hash": one.schema, "body": one.body, "boot": one.boot, "seq": one.seq} for one in records
            ]
            insert = insert_of(self._connection, t.schema)
            told = insert.excluded
            self._connection.execute(insert.on_conflict_do_update(
                index_elements=[t.schema.c.device, t.schema.c.hash], set_={"boot": told.boot, "seq": told.seq},
                where=told.boot > t.schema.c.boot), rows)

    def save(self, states: Mapping[str, DeviceState]) -> None:
        """Keep the progress, sums and presence of devices."""
        rows = [_progress_row(device, one) for device, one in states.items()]
        upsert(self._connection, t.progress, rows)
        heard = [
            {
                "device": device, "online": one.presence.state is State.ONLINE, "since_ms": one.presence.since_ms,
                "boot": one.presence.boot, "release": one.presence.release, "counter": one.presence.counter,
                "reason": one.presence.reason, "heard_ms": one.presence.heard_ms,
            }
            for device, one in states.items() if one.presence.state is not State.UNKNOWN
        ]
        upsert(self._connection, t.presence, heard)

    def add_events(self, events: Sequence[tuple[str, LinkEvent]]) -> None:
        """Keep link events."""
        if events:
            self._connection.execute(t.link_event.insert(), [{"device": device, **asdict(event)} for device, event in events])

    def add_traffic(self, now_ms: int, records: int, readings: int, n_bytes: int) -> None:
        """Count what was stored now."""
        at_s = now_ms // 1000
        row = {"at_s": at_s - at_s % TRAFFIC_STEP_S, "records": records, "readings": readings, "bytes": n_bytes}
        upsert(self._connection, t.traffic, [row], add=("records", "readings", "bytes"))

    def quarantine(self, rejects: Iterable[Reject], now_ms: int) -> None:
        """Keep what has no place; the same bytes on the same topic are counted in one row.

        In one order whoever writes, since each row stays locked until the end.
        """
        for one in sorted(rejects, key=lambda one: (one.topic, one.payload)):
            kept = MAX_PACK_BYTES if one.topic.startswith("s/") else KEPT_BYTES
            topic = one.topic if one.topic.isprintable() else ascii(one.topic)   # NUL and lone surrogates are no SQL text
            row = {
                "topic": topic[:TOPIC_CHARS], "device": one.device, "reason": one.reason,
                "digest": hashlib.sha256(one.payload).digest(), "times": 1, "first_ms": now_ms, "last_ms": now_ms,
                "size": len(one.payload), "payload": one.payload[:kept],
            }
            again = {"times": t.quarantine.c.times + 1, "last_ms": now_ms, "reason": one.reason}
            insert = insert_of(self._connection, t.quarantine)
            self._connection.execute(insert.on_conflict_do_update(index_elements=["topic", "digest"], set_=again), row)
            upsert(self._connection, t.tally, [{"name": "quarantined", "value": 1}], add=["value"])

    def _rows(self, table: Table, condition: Any) -> Iterable[Any]:
        return self._connection.execute(select(table).where(condition))


def _progress_row(device: str, one: DeviceState) -> dict[str, Any]:
    return {
        "device": device, "boot": one.progress.boot, "next_seq": one.progress.next_seq, "heard_boot": one.progress.heard_boot,
        "seen_boot": one.progress.seen_boot, "ahead": one.progress.ahead, "schema_missing": one.schema_missing,
        "last_ms": one.last_ms, **dict(zip(Sums.__slots__, _SUMS(one.sums), strict=True)),
    }


def _from(boot: int, seq: int) -> ColumnElement[bool]:
    """Records at or beyond a name. Both numbers only grow, so the pair bounds the search by key; a ring's seq alone decides."""
    return and_(tuple_(t.batch.c.boot, t.batch.c.seq) >= tuple_(boot, seq), t.batch.c.seq >= seq)


def _parts(values: Iterable[V]) -> Iterator[tuple[V, ...]]:
    """Cut into pieces that fit one IN list."""
    iterator = iter(list(values))
    while part := tuple(islice(iterator, IN_LIMIT)):
        yield part
