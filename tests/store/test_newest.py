"""Newest values: of many devices as of each, and the same when all batches that do not matter are in day columns."""

import pytest

from host.store import newest as module
from host.store import tables as t
from host.store.classes import Classes
from host.store.compact import compact
from host.store.newest import GOOD, LOOKBACK, NONE, OLD
from host.store.queries import Queries
from node.wire import batch, schema
from tests.ingest.records import DEVICE, OTHER, state, up
from tests.store.days_of import NOW, START, fill, history
from tests.store.test_compact import count

PAIR = schema.build([("speed", "rpm", "1"), ("odd", "V", "0.03")])
SECOND = "hall-00000000002b"


def record(seq, *columns, device=DEVICE, told=PAIR):
    return up(batch.encode(1, seq, schema.schema_hash(told), seq * 1000, START, batch.QUALITY_NTP, 100, list(columns), []), device)


def told(*records, device=DEVICE):
    return [state(1, (1, 0), device=device), up(batch.schema_record(1, 0, PAIR), device), *records]


def shown(engine, device=DEVICE):
    return {one.channel: (one.value, one.t_ms, one.quality) for one in Queries(engine).latest(device)}


def test_a_channel_that_fell_silent_has_its_last_value_for_a_while(engine):
    fill(engine, *told(record(1, [1, 2], [7, None]), *(record(seq, [3, seq], [None, None]) for seq in range(2, 1 + LOOKBACK))))
    assert shown(engine) == {"speed": (LOOKBACK, START + 1000 * LOOKBACK + 100, GOOD), "odd": (0.21, START + 1000, OLD)}
    fill(engine, record(1 + LOOKBACK, [3, 4], [None, None]))
    assert shown(engine)["odd"] == (None, None, NONE)


def test_only_batches_that_newest_values_stand_on_stay(engine):
    fill(engine, *told(*(record(seq, [1, seq], [seq, None] if seq % 5 == 2 else [None, None]) for seq in range(1, 40))))
    before = shown(engine)
    assert before["odd"] == (pytest.approx(0.03 * 37), START + 37_000, OLD)
    compact(engine, NOW, Classes(), settled_ms=0)
    assert count(engine, t.batch) == 3   # the schema, 39 and 37
    assert shown(engine) == before


def test_many_devices_are_answered_as_each_is(engine, monkeypatch):
    monkeypatch.setattr(module, "IN_LIMIT", 2)
    fill(engine, *history(days=1), *told(record(1, [1, 2], [3, None]), device=OTHER)[:2], *history(days=1, device=SECOND, seed=5))
    fill(engine, record(1, [1, 2], [3, None], device=OTHER))
    names = [SECOND, "hall-0000000000ff", OTHER, DEVICE]
    found = Queries(engine).latest_of(names)
    assert list(found) == names
    assert {name: Queries(engine).latest(name) for name in names} == found
    assert found["hall-0000000000ff"] == []
    assert len(found[DEVICE]) == 5
    assert [one.value for one in found[OTHER]] == [2.0, 0.09]


def test_a_batch_that_does_not_fit_its_schema_is_left_out(engine):
    fill(engine, *told(record(1, [5], [6])), record(2, [1], [2], [3]))
    queries = Queries(engine)
    assert [(one.value, one.quality) for one in queries.latest(DEVICE)] == [(5.0, OLD), (0.18, OLD)]
    assert queries.undecodable == 1
