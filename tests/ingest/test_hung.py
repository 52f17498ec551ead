"""A worker that hangs in the middle of its transaction: PostgreSQL takes its rows and its lead from it, and it comes to no harm."""

import os
import signal
import sys

import psycopg
import pytest
from psycopg import pq
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from host import db
from host.db import open_engine
from host.store import lead
from host.store.lead import Lead
from tests.ingest.crew import Crew
from tests.ingest.plant import until
from tests.ingest.records import DEVICE, OTHER

RECORDS = 300
SURE_MS = 120_000   # of the test's own wait for a lock: longer than any limit under test
# The real ingest; it stops itself once, with batches written and the COMMIT not sent, when the test has asked for it.
STOPS = """
import os, signal, sys, threading
from sqlalchemy import Engine, event
from host.ingest import __main__ as ingest

wrote = False

@event.listens_for(Engine, "before_cursor_execute")
def look(connection, cursor, statement, *_):
    global wrote
    wrote = wrote or statement.startswith("INSERT INTO batch")

@event.listens_for(Engine, "commit")
def stop(connection):
    global wrote
    wrote, stops = False, wrote and os.path.exists(sys.argv[2])
    if stops:
        os.remove(sys.argv[2])
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)   # of this thread: else the COMMIT may be sent before all stop

sys.exit(ingest.main(["--config", sys.argv[1]]))
"""


@pytest.fixture
def crew(tmp_path, postgresql_url):
    crew = Crew(tmp_path, [DEVICE, OTHER], postgresql_url)
    yield crew
    crew.close()


def is_stopped(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


@pytest.mark.slow   # PostgreSQL waits five seconds, and then the rest of the work is done
def test_a_worker_that_hangs_in_its_transaction_keeps_its_devices_from_the_others(crew):
    crew.start_node(0)
    until(lambda: crew.said("Server is ready", "node0.log"), "the broker")
    crew.make_stream()
    crew.configure(source="jetstream")
    now = crew.folder / "now"
    hung = crew._start("hung.log", [sys.executable, "-c", STOPS, str(crew.config), str(now)],
                       {**os.environ, "TENFOLD_INGEST_WORKER": "1"})
    until(lambda: crew.said("subscribed to ingest of tenfold", "hung.log"), "the first worker")
    sent = crew.send(RECORDS)
    until(lambda: crew.acked() > RECORDS // 4, "acks")
    now.touch()
    until(lambda: is_stopped(hung), "the first worker stops in the middle")
    crew.start_worker(2)
    until(lambda: crew.said("subscribed to ingest of tenfold"), "the second worker")
    until(lambda: all(one.done() for one in crew.devices), "all is stored and acked without the first")
    assert is_stopped(hung)
    assert crew.said("cannot store") == 0, "it waited for the rows, and no longer than for a lock"
    hung.send_signal(signal.SIGCONT)
    until(lambda: crew.said("storing again", "hung.log"), "the first worker does its group again")
    rows, sums = crew.stored()
    assert rows == sent
    assert all((sums[one.name].records, sums[one.name].next_seq) == (RECORDS, RECORDS) for one in crew.devices)


@pytest.fixture
def rows(postgresql_url):
    """One row to hold; gives the database's URL."""
    engine = create_engine(postgresql_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS held (id INTEGER PRIMARY KEY, n INTEGER)"))
        connection.execute(text("INSERT INTO held VALUES (1, 0)"))
    yield postgresql_url
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE held"))
    engine.dispose()


def take(connection):
    connection.execute(text(f"SET lock_timeout = {SURE_MS}"))
    connection.execute(text("UPDATE held SET n = n + 1"))


def is_free(engine):
    """Whether nobody holds the row, and lets it go in the time that the limits under test take."""
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL lock_timeout = 300"))
        try:
            connection.execute(text("UPDATE held SET n = n + 1"))
        except OperationalError:
            return False
        return True


def test_an_idle_transaction_of_an_engine_that_is_not_brief_is_ended(rows, monkeypatch):
    """Compacting and migrations are silent for long."""
    monkeypatch.setattr(db, "IDLE_MS", 50)
    brief, patient, other = open_engine(rows, brief=True), open_engine(rows), open_engine(rows)
    with brief.connect() as held:
        take(held)
        with other.begin() as connection:
            take(connection)   # got it: the holder's transaction is ended
        with pytest.raises(DBAPIError, match="idle-in-transaction timeout"):
            held.commit()
    with patient.connect() as held:
        take(held)
        assert not is_free(other)
        held.commit()
    for engine in (brief, patient, other):
        engine.dispose()


def test_a_worker_that_hangs_while_it_sends_holds_its_rows(rows, monkeypatch):
    """PostgreSQL waits for the rest of what is sent without a limit, here for the end of a pipeline: who leads ends it."""
    monkeypatch.setattr(db, "IDLE_MS", 50)
    monkeypatch.setattr(lead, "HUNG_S", 0.0)
    brief, other = open_engine(rows, brief=True), open_engine(rows)
    leader = Lead(brief)
    assert leader.held()
    with brief.connect() as sqlalchemy:
        raw = sqlalchemy.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        raw.pgconn.enter_pipeline_mode()
        for statement in (b"BEGIN", b"UPDATE held SET n = n + 1"):
            raw.pgconn.send_query_params(statement, None)
        raw.pgconn.send_flush_request()
        raw.pgconn.flush()
        while raw.pgconn.get_result() is not None:   # of BEGIN
            pass
        assert raw.pgconn.get_result().status == pq.ExecStatus.COMMAND_OK   # the row is held, and no Sync was sent
        assert not is_free(other)
        assert leader.held()
        with other.begin() as connection:
            take(connection)
        sqlalchemy.invalidate()
    leader.end()
    for engine in (brief, other):
        engine.dispose()


def test_a_leader_that_hangs_leads_for_ever(rows, monkeypatch):
    monkeypatch.setattr(lead, "IDLE_S", 1)
    engine = open_engine(rows, brief=True)
    first, second = Lead(engine), Lead(engine)
    assert first.held()
    until(second.held, "another leads")
    assert not first.held()
    second.end()
    engine.dispose()
