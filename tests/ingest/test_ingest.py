"""Nothing is acknowledged before the disk has it, whatever the database does. A source in memory, a real SQLite file."""

import sqlite3
from threading import Event, Thread

import pytest
from sqlalchemy import event, func, select

from host.ingest import ingest as loop
from host.ingest.inbox import Message
from host.ingest.settings import IngestSettings
from host.store import tables as t
from node.wire import topics
from tests.ingest.records import DEVICE, batch_of, schema_of, up

WAIT_S = 10.0   # until a test gives up; nothing waits for as long when it passes


class MemorySource:
    """A broker that delivers at least once: what is not settled is still held."""

    def __init__(self):
        self.held, self.sent, self.refused, self.settled = [], [], 0, Event()

    def start(self, inbox):
        self.inbox = inbox

    def deliver(self, *messages):
        for topic, payload in messages:
            message = Message(topic, payload, False, (1, len(self.held), 1))
            self.held.append(message)
            if not self.inbox.put(message):
                self.refused += 1

    def settle(self, messages):
        for message in messages:
            self.held.remove(message)
        if not self.held:
            self.settled.set()

    def send(self, topic, payload):
        self.sent.append((topic, payload))

    def hear_states(self, *, hear):
        pass

    def recover(self):
        refused, self.refused = self.refused, 0
        for message in list(self.held) if refused else ():
            self.refused += not self.inbox.put(message)

    def stop(self):
        pass


@pytest.fixture
def running(engine, tmp_path, monkeypatch, request):
    """An ingest in its thread, with settings that a test may change; gives (source, ingest) and stops it."""
    monkeypatch.setattr(loop, "RETRY_MIN_S", 0.01)
    monkeypatch.setattr(loop, "RETRY_MAX_S", 0.05)
    file = tmp_path / "none.pem"
    settings = IngestSettings(ca_file=file, cert_file=file, key_file=file, gather_ms=1, gather_max=8, inbox_max=16)
    settings = settings.model_copy(update=getattr(request, "param", {}))
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=1"))
    engine.dispose()
    source = MemorySource()
    ingest = loop.Ingest(source, engine, settings)
    source.inbox = ingest._inbox
    thread = Thread(target=ingest.run)
    thread.start()
    yield source, ingest
    ingest.stop()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def stored(engine):
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(t.batch))


def until(condition):
    """Let the other thread work until something holds."""
    gate = Event()
    for _ in range(int(WAIT_S / 0.005)):
        if condition():
            return
        gate.wait(0.005)
    raise AssertionError("it never came")


def test_ack_follows_the_commit(engine, running):
    source, _ = running
    source.deliver(up(schema_of(1, 0)), up(batch_of(1, 1)))
    assert source.settled.wait(WAIT_S)
    assert stored(engine) == 2
    until(lambda: source.sent)
    assert source.sent[-1] == (topics.ack(DEVICE), topics.encode_ack(1, 1))


def test_locked_database_acknowledges_nothing_and_loses_nothing(engine, running, caplog):
    source, _ = running
    blocker = sqlite3.connect(engine.url.database)
    blocker.execute("BEGIN IMMEDIATE")
    source.deliver(up(schema_of(1, 0)), up(batch_of(1, 1)))
    until(lambda: "cannot store, nothing is acknowledged" in caplog.text)
    assert len(source.held) == 2
    assert source.sent == []
    blocker.close()
    assert source.settled.wait(WAIT_S)
    assert stored(engine) == 2


@pytest.mark.parametrize("running", [{}, {"inbox_max": 10_000, "inbox_bytes": 1_000}], indirect=True)
def test_full_disk_holds_bounded_memory_and_recovers(engine, running, caplog):
    """SQLite's own "disk is full", by its page limit; more arrives than the inbox holds."""
    source, ingest = running
    limit = ["PRAGMA max_page_count=1"]   # below what is used: no page more
    event.listen(engine, "connect", lambda connection, _: connection.execute(limit[0]))
    engine.dispose()
    sent = [up(batch_of(1, seq, columns=[[seq] * 900, list(range(900))])) for seq in range(40)]
    source.deliver(*sent)
    until(lambda: "database or disk is full" in caplog.text)
    assert source.refused > 0
    told = {each.metric: each.value for each in ingest.samples()}
    assert told["tenfold_ingest_inbox_messages"] <= told["tenfold_ingest_inbox_limit_messages"]
    assert 0 < told["tenfold_ingest_inbox_bytes"] <= told["tenfold_ingest_inbox_limit_bytes"]
    assert told["tenfold_ingest_lag_seconds"] > 0
    assert len(source.held) == 40 - stored(engine)
    limit[0] = "PRAGMA max_page_count=1073741823"
    assert source.settled.wait(WAIT_S)
    assert stored(engine) == 40
    until(lambda: source.sent and source.sent[-1][1] == topics.encode_ack(1, 39, source.sent[-1][1][-1]))
    until(lambda: {each.metric: each.value for each in ingest.samples()}["tenfold_ingest_lag_seconds"] == 0)


def test_stop_does_not_wait_for_a_locked_database(engine, running, caplog):
    source, ingest = running
    blocker = sqlite3.connect(engine.url.database)
    blocker.execute("BEGIN IMMEDIATE")
    source.deliver(up(batch_of(1, 0)))
    until(lambda: "cannot store" in caplog.text)
    ingest.stop()   # the fixture asserts that the thread ends
    assert len(source.held) == 1
    blocker.close()


def test_value_that_the_database_refuses_does_not_block_the_rest(engine, running, monkeypatch):
    source, _ = running
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON batch WHEN NEW.seq = 1 BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    source.deliver(*(up(batch_of(1, seq)) for seq in range(3)))
    assert source.settled.wait(WAIT_S)
    assert stored(engine) == 2
    with engine.connect() as connection:
        assert connection.execute(select(t.quarantine.c.reason)).scalars().all() == ["store.refused"]


def test_quarantine_is_bounded_while_garbage_pours_in(engine, running, monkeypatch):
    source, ingest = running
    monkeypatch.setattr(ingest, "_rhythm", ingest._rhythm.model_copy(update={"quarantine_rows": 10}))
    for start in range(0, 200, 8):
        source.settled.clear()
        source.deliver(*(up(b"\x01" + number.to_bytes(4, "big")) for number in range(start, start + 8)))
        assert source.settled.wait(WAIT_S)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(t.quarantine)) <= 10 + 8
        assert connection.scalar(select(t.tally.c.value)) == 200
