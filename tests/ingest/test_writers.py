"""Several workers on one database: stored once, sums exact, no ack of what is not stored. On real SQLite and PostgreSQL."""

import random
import threading

import pytest
from sqlalchemy import func, select, update

from host.db import open_engine
from host.ingest.commit import Ack, Committer
from host.ingest.sort import sort
from host.store import tables as t
from host.store.lead import Lead
from host.store.telemetry import Telemetry
from tests.databases import migrated
from tests.ingest.records import DEVICE, batch_of, schema_of, state, up, will

NOW = 1_800_000_000_000
WAIT_S = 60.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return migrated(tmp_path / "telemetry.db")


@pytest.fixture
def open_(url):
    """Gives engines of their own, as processes have them."""
    engines = []

    def make():
        engines.append(open_engine(url))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def two(open_):
    return Committer(Telemetry(open_())), Committer(Telemetry(open_()))


def put(committer, *messages, now_ms=NOW, at_ms=0):
    return committer.commit([sort(*one, at_ms=at_ms) for one in messages], now_ms)


def one(engine, table):
    with engine.connect() as connection:
        (row,) = connection.execute(select(table)).all()
    return row


class Crowd:
    """Threads that commit what they take from one heap of messages, and check each ack they get against the database."""

    def __init__(self, open_, heap, seed):
        self._open, self._heap, self._chance = open_, heap, random.Random(seed)
        self._lock, self.faults, self.acked = threading.Lock(), [], {}

    def run(self, count):
        pairs = [(Committer(Telemetry(self._open())), self._open()) for _ in range(count)]
        threads = [threading.Thread(target=self._work, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        assert not self.faults, self.faults

    def _take(self):
        with self._lock:
            size = self._chance.randint(1, 25)
            group, self._heap = self._heap[:size], self._heap[size:]
            return group

    def _work(self, committer, reader):
        try:
            while group := self._take():
                for ack in committer.commit([sort(*message) for message in group], NOW).acks:
                    covered = (t.batch.c.device == ack.device) & (t.batch.c.seq <= ack.seq)
                    with reader.connect() as connection:
                        stored = connection.scalar(select(func.count()).select_from(t.batch).where(covered))
                    assert stored == ack.seq + 1, ack
                    with self._lock:
                        self.acked[ack.device] = max(self.acked.get(ack.device, -1), ack.seq)
        except Exception as error:   # told by the test's own thread
            self.faults.append(repr(error))


@pytest.mark.parametrize("seed", range(3))
def test_writers_that_interleave_store_once_count_exactly_and_ack_only_what_is_stored(open_, seed):
    devices, last = [f"hall-{number:012x}" for number in range(6)], 30
    distinct = {(device, seq): schema_of(1, 0) if seq == 0 else batch_of(1, seq) for device in devices for seq in range(last + 1)}
    chance = random.Random(seed)
    heap = [up(payload, device) for (device, _), payload in distinct.items()]
    again = chance.choices(heap, k=len(heap) // 2)
    heap += again
    chance.shuffle(heap)
    first = Committer(Telemetry(open_()))
    put(first, *(state(1, (1, 0), device=device) for device in devices))
    crowd = Crowd(open_, heap, seed)
    crowd.run(3)
    with open_().connect() as connection:
        rows = {(row.device, row.seq): bytes(row.payload) for row in connection.execute(select(t.batch))}
        sums = {row.device: row for row in connection.execute(select(t.progress))}
        traffic = connection.scalar(select(func.sum(t.traffic.c.records)))
    assert rows == distinct
    assert all((sums[device].records, sums[device].next_seq) == (last + 1, last + 1) for device in devices)
    assert all(sums[device].readings == 7 * last for device in devices)
    assert sum(row.duplicates for row in sums.values()) == len(again)
    assert traffic == len(distinct)
    assert crowd.acked == dict.fromkeys(devices, last)


def test_what_one_writer_stored_the_other_counts_as_a_repetition(open_, two):
    one_, other = two
    put(one_, state(1, (1, 0)), up(schema_of(1, 0)))
    put(other, up(batch_of(1, 1)))
    outcome = put(one_, up(batch_of(1, 1)), up(batch_of(1, 2)))
    assert outcome.acks == (Ack(DEVICE, 1, 2, 0),)
    row = one(open_(), t.progress)
    assert (row.records, row.duplicates, row.readings) == (3, 1, 14)


def test_gap_that_another_writer_left_is_closed(two):
    one_, other = two
    put(one_, state(1, (1, 0)), up(schema_of(1, 0)))
    assert put(other, up(batch_of(1, 2)), up(batch_of(1, 3))).acks == (Ack(DEVICE, 1, 0, 0),)
    assert put(one_, up(batch_of(1, 1))).acks == (Ack(DEVICE, 1, 3, 0),)


def test_replaced_ring_that_one_writer_saw_is_not_acked_by_the_other(two):
    """Remembered progress would ack (1, 5) to a ring that begins again at 0."""
    one_, other = two
    put(one_, state(1, (1, 0)), up(schema_of(1, 0)), *(up(batch_of(1, seq)) for seq in range(1, 6)))
    put(other, state(2, (2, 0)))
    assert put(one_, up(batch_of(2, 1))).acks == ()
    assert put(other, up(batch_of(2, 0))).acks == (Ack(DEVICE, 2, 1, 0),)


def test_boot_that_one_writer_saw_unannounced_is_not_acked_by_the_other(two):
    one_, other = two
    put(one_, state(1, (1, 0)), up(schema_of(1, 0)), up(batch_of(1, 1)))
    put(one_, up(batch_of(2, 2)))
    assert put(other, up(batch_of(1, 1))).acks == ()


def test_clock_that_one_writer_learnt_places_what_the_other_stores(open_, two):
    one_, other = two
    put(one_, up(batch_of(1, 0)))
    put(other, up(batch_of(1, 1, quality=2, epoch_ms=NOW)))
    put(one_, up(batch_of(1, 2)), up(batch_of(1, 3, quality=2, epoch_ms=NOW + 7)))
    put(one_, up(batch_of(1, 4)))
    with open_().connect() as connection:
        placed = connection.execute(select(t.batch.c.start_ms).order_by(t.batch.c.seq)).scalars().all()
    assert placed == [NOW, NOW + 1000, NOW + 2000, NOW + 7 + 3000, NOW + 4000]
    assert one(open_(), t.boots).uptime_ms == 1000


def test_schema_that_one_writer_stored_is_not_asked_for_by_the_other(two):
    one_, other = two
    assert put(other, up(batch_of(1, 0))).acks[0].flags
    put(one_, up(schema_of(1, 1)))
    assert put(other, up(batch_of(1, 2)), now_ms=NOW + 60_000).acks == (Ack(DEVICE, 1, 2, 0),)


def test_states_that_two_workers_store_in_the_wrong_order_leave_the_newest(open_, two):
    """The will, pulled later by the quicker worker, must not be overwritten by the greeting before it."""
    one_, other = two
    put(one_, state(1, (1, 0)), at_ms=NOW, now_ms=NOW + 50)
    put(other, will(), at_ms=NOW + 20, now_ms=NOW + 60)
    put(one_, state(2, (1, 0)), at_ms=NOW + 10, now_ms=NOW + 70)
    presence, progress = one(open_(), t.presence), one(open_(), t.progress)
    assert (presence.online, presence.since_ms, presence.boot, progress.heard_boot) == (False, NOW + 20, 1, 1)


def test_state_that_waited_in_the_stream_is_dated_by_the_broker_but_never_in_the_future(open_, two):
    one_, _ = two
    put(one_, state(1, (1, 0)), at_ms=NOW - 3_600_000)
    assert one(open_(), t.presence).since_ms == NOW - 3_600_000
    put(one_, will(), at_ms=NOW + 999)
    assert one(open_(), t.presence).since_ms == NOW


def test_release_without_locks_is_noticed_and_nothing_is_stored_twice(open_, two, caplog):
    """While workers are updated one by one, the old ones neither lock nor say that they stored ahead."""
    one_, _ = two
    engine = open_()
    put(one_, state(1, (1, 0)), up(schema_of(1, 0)), up(batch_of(1, 1)))
    with engine.begin() as connection:
        connection.execute(update(t.progress).values(next_seq=1, records=1))   # as if the old one had written over it
    assert put(one_, up(batch_of(1, 1))).acks == (Ack(DEVICE, 1, 1, 0),)
    assert "an older release of ingest" in caplog.text


def test_one_of_the_workers_leads_and_another_follows_it(open_):
    first, second = Lead(open_()), Lead(open_())
    assert [first.held(), second.held(), first.held()] == [True, False, True]
    first.end()
    assert [second.held(), first.held()] == [True, False]
    second.end()
