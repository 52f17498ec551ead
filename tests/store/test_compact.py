"""Compaction never changes an answer, loses nothing, doubles nothing, and knows what it took when it comes again."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from host.clock import DAY_MS
from host.db import open_engine
from host.store import compact as module
from host.store import tables as t
from host.store.classes import ChannelClass, Classes
from host.store.compact import STALE_MS, compact, sweep
from host.store.maintenance import MaintenanceError, alone
from host.store.packing import PackingError
from host.store.parts import Part, parts_of
from host.store.queries import Queries
from tests.databases import migrated
from tests.ingest.records import DEVICE, OTHER, batch_of, schema_of, state, up
from tests.store.days_of import NOW, START, fill, history

ALL = Classes()
TWO = Classes(classes=(ChannelClass(name="fast", channels=("vib*",), days=30), ChannelClass(name="rest")))
WINDOW = (START - DAY_MS, START + 40 * DAY_MS)


def answers(engine, device=DEVICE):
    queries = Queries(engine)
    lo, hi = WINDOW
    return {
        "all": queries.series(device, None, lo, hi, 100_000), "few": queries.series(device, None, lo, hi, 40),
        "part": queries.series(device, ["vibration"], START + DAY_MS // 3, START + 2 * DAY_MS + 5, 100_000),
        "latest": queries.latest(device), "devices": queries.devices(), "channels": queries.channels(device),
        "totals": queries.totals(),
    }


def count(engine, table):
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table))


@pytest.mark.parametrize("classes", [ALL, TWO], ids=["one class", "two classes"])
def test_answers_are_the_same_before_and_after(engine, classes):
    fill(engine, *history(days=4))
    before = answers(engine)
    done = compact(engine, NOW, classes)
    assert done.batches > 5
    assert count(engine, t.batch) == done.left + 2   # the schemas
    assert answers(engine) == before
    assert compact(engine, NOW, classes).batches == 0
    assert answers(engine) == before


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_of_storing_and_compacting_gives_the_same_answers(tmp_path_factory, data):
    """Late batches join columns that are there; nothing that is read tells whether and when it happened."""
    messages = history(seed=data.draw(st.integers(0, 99)), days=3, samples=data.draw(st.sampled_from([7, 60])), period_ms=1_200_000)
    head, body = messages[:3], data.draw(st.permutations(messages[3:]))
    cut = data.draw(st.integers(0, len(body)))
    folder = tmp_path_factory.mktemp("order")
    plain, moved = (made(folder / name) for name in ("plain.db", "moved.db"))
    fill(plain, *head, *body)
    fill(moved, *head, *body[:cut])
    compact(moved, NOW, ALL)
    fill(moved, *body[cut:])
    compact(moved, NOW, TWO)
    assert answers(moved) == answers(plain)
    plain.dispose()
    moved.dispose()


def made(path):
    return open_engine(migrated(path))


def test_repetitions_of_what_was_compacted_are_duplicates(engine):
    messages = history(days=3)
    fill(engine, *messages)
    rows = count(engine, t.batch)
    compact(engine, NOW, ALL)
    left, before = count(engine, t.batch), answers(engine)
    assert left < rows
    outcome = fill(engine, *messages, now_ms=NOW)
    assert (outcome.records, outcome.duplicates, outcome.quarantined) == (0, len(messages) - 1, 0)
    assert count(engine, t.batch) == left
    after = answers(engine)
    assert after["all"] == before["all"]
    assert Queries(engine).totals().conflicts == 0


def test_other_bytes_under_a_compacted_name_are_a_conflict(engine):
    messages = history(days=3)
    fill(engine, *messages)
    compact(engine, NOW, ALL)
    forged = up(batch_of(1, 2, quality=3, epoch_ms=START))
    outcome = fill(engine, forged, now_ms=NOW)
    assert (outcome.records, outcome.quarantined) == (0, 1)
    assert Queries(engine).quarantined()[0].reason == "conflict"


def test_what_may_still_be_asked_for_stays(engine):
    """Not placed, not readable, ahead of the ack, just stored, or the newest: none of these may move."""
    epoch = {"quality": 3, "epoch_ms": START}
    fill(engine, state(1, (1, 0)), up(schema_of(1, 0)), up(batch_of(1, 1)),                  # no clock in sight ...
         state(1, (1, 0), device=OTHER), up(batch_of(1, 0, **epoch), OTHER))                 # ... and no schema
    fill(engine, up(batch_of(1, 3, **epoch)), *(up(batch_of(1, seq, **epoch)) for seq in range(5, 20)))   # 2 and 4 are missing
    assert compact(engine, NOW, ALL).batches == 0
    fill(engine, up(batch_of(1, 2, **epoch)), up(batch_of(1, 4, columns=[[1], [2], [3]], **epoch)), now_ms=NOW)
    # The newest stays, 1 (its boot is not over), 2 (stored this moment) and 4 (without its columns).
    assert compact(engine, NOW, ALL).batches == 15
    assert compact(engine, NOW + 7_200_000, ALL).batches == 1
    assert Queries(engine).latest(DEVICE)[0].quality == "good"


def test_a_batch_that_was_placed_by_its_boot_moves_when_the_boot_is_over(engine):
    fill(engine, state(1, (1, 0)), up(schema_of(1, 0)), up(batch_of(1, 1)), up(batch_of(1, 2, quality=3, epoch_ms=START)),
         *(up(batch_of(1, seq, quality=3, epoch_ms=START)) for seq in range(3, 15)))
    assert compact(engine, NOW, ALL).batches == 14 - 1 - 1
    fill(engine, state(2, (1, 15)), *(up(batch_of(2, seq, quality=3, epoch_ms=START)) for seq in range(15, 25)))
    before = answers(engine)
    assert compact(engine, NOW, ALL).batches == 11
    assert answers(engine) == before
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).where(t.run.c.boot == 1)) >= 2


def test_a_fresh_day_is_left_alone(engine):
    fill(engine, *history(days=1), now_ms=START)
    assert compact(engine, START + 3 * DAY_MS - 1, ALL).days == 0
    assert compact(engine, START + 3 * DAY_MS, ALL).days == 1


def test_two_cannot_be_at_work(engine):
    with alone(engine), pytest.raises(MaintenanceError, match="another"):
        compact(engine, NOW, ALL)


def test_columns_that_read_back_otherwise_move_nothing(engine, monkeypatch):
    fill(engine, *history(days=2))
    before, rows = answers(engine), count(engine, t.batch)
    real = module.write_body
    monkeypatch.setattr(module, "write_body", lambda samples, places: real(replace(samples, values=samples.values + 1), places))
    with pytest.raises(MaintenanceError, match="reads back otherwise"):
        compact(engine, NOW, ALL)
    assert (count(engine, t.batch), count(engine, t.run), answers(engine)) == (rows, 0, before)


def test_replaced_versions_are_removed_when_nobody_reads_them(engine):
    messages = history(days=2)
    fill(engine, *messages[:25])
    compact(engine, NOW, ALL)
    fill(engine, *messages[25:])
    compact(engine, NOW, ALL)
    before = answers(engine)
    assert count(engine, t.stale_day) > 0
    parts = parts_of(engine)
    assert sweep(engine, parts, NOW + STALE_MS) > 0
    with engine.connect() as connection:
        (part,) = parts.all(connection)
        versions = {row.version for row in parts.read(connection, part, list(range(1, 50)), (0, 1 << 30))}
        live = set(connection.scalars(select(t.packed_day.c.version)))
    assert versions == live
    with closing(sqlite3.connect(parts.path(part))) as file:
        assert file.execute("PRAGMA freelist_count").fetchone() == (0,), "what went gave its room back"
    assert answers(engine) == before


def test_a_damaged_column_is_an_error_and_no_wrong_answer(engine):
    fill(engine, *history(days=2))
    compact(engine, NOW, ALL)
    path = parts_of(engine).path(Part("2026-02", "all"))
    with sqlite3.connect(path) as file:
        (body,) = file.execute("SELECT body FROM day_column WHERE rowid = 2").fetchone()
        file.execute("UPDATE day_column SET body = ? WHERE rowid = 2", (body[:-1] + bytes((body[-1] ^ 1,)),))
    with pytest.raises(PackingError):
        answers(engine)


KILLED = """
import os, signal, sys
from host.db import open_engine
from host.store import compact as module, parts
from host.store.classes import Classes
at = int(sys.argv[2])
def die(name, holder):
    real = getattr(holder, name)
    def wrapped(*given, **named):
        for instant in (0, 1):
            die.left -= 1
            if die.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if instant == 0:
                result = real(*given, **named)
        return result
    setattr(holder, name, wrapped)
die.left = at
die("write", parts.FileParts)
die("_turn", module)
die("_compare", module._Compaction)
die("_prepare", module._Compaction)
die("_write_lock", module)
module.compact(open_engine(sys.argv[1]), int(sys.argv[3]), Classes())
print("survived")
"""


def test_killed_at_any_step_nothing_is_lost_or_doubled(tmp_path):
    engine = made(tmp_path / "killed.db")
    fill(engine, *history(days=1, period_ms=200_000))
    before, total = answers(engine), count(engine, t.batch)
    survived = False
    for at in range(1, 30):
        done = subprocess.run([sys.executable, "-c", KILLED, str(engine.url), str(at), str(NOW)], capture_output=True, text=True,
                              check=False, env=os.environ)
        survived = "survived" in done.stdout
        assert survived or done.returncode == -signal.SIGKILL, done.stderr
        assert answers(engine) == before, at
        with engine.connect() as connection:
            moved = sum(row.last_seq - row.first_seq + 1 for row in connection.execute(select(t.run)))
        assert moved + count(engine, t.batch) == total, at
        if survived:
            break
    assert survived
    assert count(engine, t.run) > 0
    engine.dispose()
