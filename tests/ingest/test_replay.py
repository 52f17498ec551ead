"""What lies in quarantine finds its place after a fix, once, whenever the replay is killed. On a real SQLite file."""

import json

import pytest
from sqlalchemy import select

from host.clock import DAY_MS
from host.ingest.commit import Committer
from host.ingest.replay import STAYS, STORED, Replay
from host.ingest.sort import Reject, sort
from host.store import tables as t
from host.store.quarantine import Choice, Quarantine
from host.store.queries import Queries
from host.store.retention import Bounds, prune
from host.store.telemetry import KEPT_BYTES, Telemetry
from tests.ingest.records import DEVICE, OTHER, batch_of, schema_of, state, up

NOW = 1_790_000_000_000
PUMP = "pump-0242ac110009"


def refuse(engine, topic, payload, reason="batch.kind", device=DEVICE, now_ms=NOW):
    """As a decoder that did not know the bytes would have kept them."""
    with Telemetry(engine).begin() as transaction:
        transaction.quarantine([Reject(topic, device, reason, payload)], now_ms)


def put(engine, *messages, now_ms=NOW):
    return Committer(Telemetry(engine)).commit([sort(*one) for one in messages], now_ms)


def replay(engine, choice=None, now_ms=NOW, **options):
    return [(one.outcome, one.reason) for one in Replay(engine, **options).run(Quarantine(engine).ids(choice or Choice()), now_ms)]


def kept(engine):
    found = Quarantine(engine)
    return list(found.rows(found.ids(Choice())))


def stored(engine):
    with engine.connect() as connection:
        return {(row.device, row.boot, row.seq): row.start_ms for row in connection.execute(select(t.batch))}


def test_record_that_an_old_decoder_refused_is_stored_once(engine):
    put(engine, up(schema_of(1, 0)))
    refuse(engine, *up(batch_of(1, 1)))
    refuse(engine, *up(batch_of(1, 1)))
    assert replay(engine) == [(STORED, "")]
    assert kept(engine) == []
    assert put(engine, up(batch_of(1, 2))).acks[0].seq == 2   # the hole is closed
    (device,) = Queries(engine).devices()
    assert (device.batches, device.duplicates) == (2, 0)


def test_replay_again_changes_nothing(engine):
    refuse(engine, *up(batch_of(1, 1)))
    replay(engine)
    before = stored(engine)
    assert replay(engine) == []
    assert stored(engine) == before


def test_replay_that_was_killed_before_it_removed_the_row_is_repeated(engine, monkeypatch):
    refuse(engine, *up(batch_of(1, 1)))
    with monkeypatch.context() as patch:
        patch.setattr(Quarantine, "remove", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            replay(engine)
    assert len(stored(engine)) == len(kept(engine)) == 1
    assert replay(engine) == [(STORED, "")]
    assert (len(stored(engine)), kept(engine)) == (1, [])


def test_what_fails_again_stays_with_its_new_reason(engine):
    put(engine, up(batch_of(1, 1)))
    refuse(engine, *up(b"\x01garbage"), "batch.old")
    refuse(engine, *up(batch_of(1, 1, columns=[[1], [2]])), "batch.kind")
    refuse(engine, *state(1, (1, 0)), "state.json")
    long = b"\x01" * (KEPT_BYTES + 1)
    refuse(engine, *up(long), "batch.size")
    told = {one.reason: (one.tried, one.times) for one in kept(engine)}
    assert set(told.values()) == {(0, 1)}
    reasons = ["batch.crc", "conflict", "quarantine.cut", "quarantine.moment"]
    assert sorted(replay(engine)) == [(STAYS, reason) for reason in reasons]
    assert {one.reason: (one.tried, one.times) for one in kept(engine)} == dict.fromkeys(reasons, (1, 1))
    assert Queries(engine).totals().quarantined == 4   # of what came, not of tries
    assert stored(engine) == {(DEVICE, 1, 1): None}


def test_only_the_rows_that_are_meant_are_replayed(engine):
    refuse(engine, *up(batch_of(1, 1)), "batch.kind")
    refuse(engine, *up(batch_of(1, 2)), "device.unknown")
    refuse(engine, *up(batch_of(1, 3), OTHER), "batch.kindred", OTHER)
    found = Quarantine(engine)
    assert len(found.ids(Choice(reason="batch."))) == 2
    assert len(found.ids(Choice(reason="batch.kind"))) == len(found.ids(Choice(device=OTHER))) == 1
    assert found.ids(Choice(reason="batch_")) == []
    assert replay(engine, Choice(reason="device.unknown")) == [(STORED, "")]
    assert list(stored(engine)) == [(DEVICE, 1, 2)]


def test_batch_is_placed_when_our_own_clock_was_the_wrong_one(engine):
    put(engine, up(batch_of(1, 0)), up(batch_of(1, 1, quality=2, epoch_ms=NOW)), now_ms=NOW - 90 * DAY_MS)
    assert set(stored(engine).values()) == {None}
    assert replay(engine, now_ms=NOW - 90 * DAY_MS) == [(STAYS, "time.future")]
    assert replay(engine) == [(STORED, "")]
    assert stored(engine) == {(DEVICE, 1, 0): NOW, (DEVICE, 1, 1): NOW + 1000}


def test_pack_counts_from_its_arrival_and_is_stored_once(engine):
    raw = json.dumps([{"n": "t", "v": 1.25}]).encode()
    refuse(engine, f"s/{PUMP}/senml", raw, "senml.old", PUMP, NOW - 5000)
    assert replay(engine) == [(STORED, "")]
    refuse(engine, f"s/{PUMP}/senml", raw, "senml.old", PUMP, NOW - 5000)   # as after a kill between commit and removal
    assert replay(engine) == [(STORED, "")]
    assert Queries(engine).series(PUMP, None, 0, 2 * NOW, 10) == {"t": ([NOW - 5000], [1.25])}


def test_pack_with_too_many_digits_is_stored_where_rounding_is_wanted(engine):
    raw = json.dumps([{"n": "t", "v": 0.1 + 0.2}]).encode()
    put(engine, (f"s/{PUMP}/senml", raw))
    assert replay(engine) == [(STAYS, "senml.digits")]
    assert replay(engine, rounding=True) == [(STORED, "")]
    assert Queries(engine).latest(PUMP)[0].value == 0.3


def test_what_the_database_refuses_stays(engine, monkeypatch):
    refuse(engine, *up(batch_of(1, 1)))
    monkeypatch.setattr("host.ingest.sort.KIND_BATCH", None)   # a value that no row takes
    assert replay(engine) == [(STAYS, "store.refused")]
    assert stored(engine) == {}


def test_rows_of_stored_batches_go_before_others(engine):
    refuse(engine, *up(b"old"), "batch.crc", now_ms=NOW)
    refuse(engine, *up(b"new"), "time.future", now_ms=NOW + 1)
    prune(engine, Bounds(1, 1000, 30, 30, 30), NOW + 2)
    assert [one.reason for one in kept(engine)] == ["batch.crc"]


def test_row_that_went_meanwhile_is_left_out(engine):
    refuse(engine, *up(batch_of(1, 1)))
    assert list(Replay(engine).run([999], NOW)) == []
