"""Packs in the store: once each, under names that the host gives, readable by every query. On a real SQLite file."""

import json

import pytest
from sqlalchemy import func, select

from host.clock import DAY_MS
from host.ingest.commit import Committer
from host.ingest.sort import senml_topic, sort
from host.store import tables as t
from host.store.foreign import prune_packs
from host.store.queries import Queries
from host.store.telemetry import Telemetry
from tests.ingest.records import DEVICE, batch_of, schema_of, up

PUMP, METER = "pump-0242ac110009", "meter-0242ac11000a"
NOW = 1_790_000_000_000
NOW_S = NOW // 1000


@pytest.fixture
def committer(engine):
    return Committer(Telemetry(engine))


def pack(*records, device=PUMP):
    return senml_topic(device, "senml"), json.dumps(records).encode()


def put(committer, *messages, now_ms=NOW, copy=False):
    return committer.commit([sort(*one, copy=copy) for one in messages], now_ms)


def rows(engine, table, *order):
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(*order)))


def count(engine, table):
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def series(engine, device=PUMP):
    return Queries(engine).series(device, None, NOW - 10**9, NOW + 10**9, 1000)


def test_pack_is_found_by_the_same_queries_as_our_batches(engine, committer):
    put(committer, pack({"n": "t", "bu": "Cel", "bt": NOW_S, "v": 21.5}, {"n": "t", "t": 10, "v": 21.75},
                        {"n": "on", "u": "", "vb": True}))
    assert series(engine) == {"t": ([NOW, NOW + 10_000], [21.5, 21.75]), "on": ([NOW], [1.0])}
    assert [(one.channel, one.unit, one.value, one.t_ms) for one in Queries(engine).latest(PUMP)] == [
        ("t", "Cel", 21.75, NOW + 10_000), ("on", "", 1.0, NOW)]
    (device,) = Queries(engine).devices()
    assert (device.device, device.readings, device.unplaced, device.online) == (PUMP, 3, 0, None)


def test_nobody_is_acked_who_has_no_ring(committer):
    assert put(committer, pack({"n": "t", "v": 1})).acks == ()


@pytest.mark.parametrize("within_a_group", [True, False])
def test_pack_that_is_sent_again_is_stored_once(engine, committer, within_a_group):
    once = pack({"n": "t", "t": NOW_S, "v": 1})
    if within_a_group:
        outcome = put(committer, once, once)
    else:
        put(committer, once)
        outcome = put(Committer(Telemetry(engine)), once, now_ms=NOW + DAY_MS)
    assert (outcome.duplicates, outcome.quarantined) == (1, 0)
    assert series(engine) == {"t": ([NOW], [1.0])}
    assert Queries(engine).devices()[0].duplicates == 1


def test_equal_readings_without_times_are_not_taken_for_repetitions(engine, committer):
    """A sensor that says "now, 21" each second."""
    for second in range(3):
        put(committer, pack({"n": "t", "v": 21}), now_ms=NOW + 1000 * second)
    assert series(engine) == {"t": ([NOW, NOW + 1000, NOW + 2000], [21.0] * 3)}


def test_copy_of_a_pack_without_times_is_a_repetition(engine, committer):
    put(committer, pack({"n": "t", "v": 21}))
    assert put(committer, pack({"n": "t", "v": 21}), now_ms=NOW + 5000, copy=True).duplicates == 1
    assert count(engine, t.batch) == 2


def test_the_same_pack_of_two_devices_is_two_packs(engine, committer):
    put(committer, pack({"n": "t", "t": NOW_S, "v": 1}), pack({"n": "t", "t": NOW_S, "v": 1}, device=METER))
    assert series(engine) == series(engine, METER) == {"t": ([NOW], [1.0])}


def test_names_go_on_over_restarts_and_finer_steps(engine, committer):
    put(committer, pack({"n": "t", "t": NOW_S, "v": 1}))
    put(Committer(Telemetry(engine)), pack({"n": "t", "t": NOW_S + 1, "v": 2}), pack({"n": "u", "t": NOW_S + 1, "v": 2}))
    put(committer, pack({"n": "t", "t": NOW_S + 2, "v": 2.5}))
    put(committer, pack({"n": "u", "t": NOW_S + 3, "v": 3}))
    assert [(row.boot, row.seq, row.kind) for row in rows(engine, t.batch, t.batch.c.boot, t.batch.c.seq)] == [
        (1, 0, 2), (1, 1, 1), (1, 2, 1), (1, 3, 2), (1, 4, 1), (2, 0, 2), (2, 1, 2), (2, 2, 1), (2, 3, 1)]
    assert [str(one.resolution) for one in Queries(engine).channels(PUMP)] == ["0.1", "1"]
    assert series(engine) == {"t": ([NOW, NOW + 1000, NOW + 2000], [1.0, 2.0, 2.5]), "u": ([NOW + 1000, NOW + 3000], [2.0, 3.0])}


def test_text_is_kept_aside_and_the_numbers_beside_it_are_stored(engine, committer):
    outcome = put(committer, pack({"bn": "x.", "n": "mode", "vs": "auto"}, {"n": "t", "v": 4}))
    assert [one.reason for one in outcome.rejects] == ["senml.no_number"]
    assert series(engine) == {"x.t": ([NOW], [4.0])}


@pytest.mark.parametrize(("records", "reason"), [
    ([{"n": "t", "v": 0.30000000000000004}], "senml.digits"), ([{"n": "t", "v": 1, "t": 1e9}], "senml.time"),
    ([{"n": "t"}], "senml.value"),
])
def test_refused_pack_leaves_only_its_bytes(engine, committer, records, reason):
    topic, payload = pack(*records)
    put(committer, (topic, payload), pack({"n": "t", "t": NOW_S, "v": 1}, device=METER))
    (kept,) = rows(engine, t.quarantine)
    assert (kept.reason, kept.device, bytes(kept.payload)) == (reason, PUMP, payload)
    assert [row.device for row in rows(engine, t.progress)] == [METER]
    assert count(engine, t.foreign_pack) == 1
    assert count(engine, t.foreign_channel) == 1


def test_device_of_ours_cannot_be_given_readings_by_senml(engine, committer):
    put(committer, up(schema_of(1, 0)), up(batch_of(1, 1)))
    assert [one.reason for one in put(committer, pack({"n": "t", "v": 1}, device=DEVICE)).rejects] == ["senml.ours"]
    assert count(engine, t.batch) == 2


def test_failed_commit_remembers_no_pack(engine, committer, monkeypatch):
    once = pack({"n": "t", "t": NOW_S, "v": 1})
    with monkeypatch.context() as patch:
        patch.setattr("host.store.telemetry.Transaction.add_traffic", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            put(committer, once)
    assert put(committer, once).records == 2
    assert series(engine) == {"t": ([NOW], [1.0])}


def test_two_writers_share_one_row_of_names(engine, committer):
    other = Committer(Telemetry(engine))
    for second in range(6):
        put((committer, other)[second % 2], pack({"n": "t", "t": NOW_S + second, "v": second}))
    assert series(engine)["t"][1] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_packs_are_forgotten_after_their_days(engine, committer):
    put(committer, pack({"n": "t", "t": NOW_S, "v": 1}))
    assert prune_packs(engine, 30, NOW + 30 * DAY_MS) == 0
    assert prune_packs(engine, 30, NOW + 30 * DAY_MS + 1) == 1


@pytest.mark.parametrize("topic", ["s/pump/senml", f"s/{PUMP}/up", f"s/{PUMP}/senml/x", f"s/{PUMP}", "s/svc.ingest/senml"])
def test_topic_of_no_foreign_device_is_kept_aside(topic):
    assert (sort(topic, b"[]").reason, sort(topic, b"[]").device) == ("topic.name", "")
