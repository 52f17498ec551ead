"""Sums by device, site and version: what plain arithmetic over the readings gives, and no more than memory allows."""

from fractions import Fraction

import pytest

from host.store.aggregates import MAX_CELLS, TooMuchError, aggregate
from host.store.events import UNKNOWN, LinkRow, releases, spans
from tests.ingest.records import DEVICE, OTHER, state, will
from tests.store.filled import NOW

ALL = {DEVICE: [(0, "all")], OTHER: [(0, "all")]}


@pytest.mark.parametrize("bucket_ms", [1000, 7000, 3_600_000, 2 * NOW + 1])
def test_sums_are_those_of_the_readings(filled, queries, bucket_ms):
    found = list(aggregate(queries, ALL, None, 0 if bucket_ms > NOW else NOW, NOW + 100_000, bucket_ms))
    cells = {}
    for _device, t_ms, name, unit, value in filled.rows:
        cells.setdefault((name, unit, t_ms // bucket_ms * bucket_ms), []).append(value)
    assert {(one.channel, one.unit, one.t_ms): (one.count, one.min, one.max) for one in found} == {
        key: (len(values), float(min(values)), float(max(values))) for key, values in cells.items()}
    for one in found:
        values = cells[one.channel, one.unit, one.t_ms]
        assert one.mean == pytest.approx(float(sum(map(Fraction, values)) / len(values)), rel=1e-12)
        assert one.min <= one.mean <= one.max
    assert found == sorted(found, key=lambda one: (one.label, one.channel, one.unit, one.t_ms))


def test_a_reading_counts_for_the_version_that_ran_when_it_was_taken(filled, queries, engine):
    filled.say(*will(), now_ms=NOW + 20_000)
    filled.say(*state(2, (2, 0), release="1.1.0", counter=2), now_ms=NOW + 20_100)
    ran = releases(engine, [DEVICE, OTHER], NOW, NOW + 100_000)
    assert ran == {DEVICE: [(0, "1.0.0"), (NOW + 20_100, "1.1.0")], OTHER: [(0, UNKNOWN)]}
    found = {(one.label, one.channel): one.count for one in aggregate(queries, ran, ["oil.mean", "big"], NOW, 2 * NOW, 2 * NOW + 1)}
    before = len([row for row in filled.of(names=["big"]) if row[1] < NOW + 20_100])
    assert found["1.0.0", "big"] == before
    assert found["1.1.0", "big"] == len(filled.of(names=["big"])) - before
    assert found[UNKNOWN, "oil.mean"] == 3


@pytest.mark.parametrize(("before", "rows", "now", "expected"), [
    (None, [], "1.0", [(0, "1.0")]),
    (None, [], "", [(0, UNKNOWN)]),
    ("1.0", [], "1.1", [(0, "1.0")]),   # the newest event before the window knows better than now
    (None, [LinkRow(5, "drop", "1.0"), LinkRow(6, "update", "1.1"), LinkRow(6, "connect", "1.1")], "1.1", [(0, "1.0"), (6, "1.1")]),
    (None, [LinkRow(6, "connect", "1.1")], "1.1", [(0, UNKNOWN), (6, "1.1")]),
    (None, [LinkRow(4, "connect", "1.1")], "1.1", [(0, "1.1")]),   # with the window's first millisecond
    ("1.1", [LinkRow(7, "rollback", "1.0"), LinkRow(8, "connect", "1.0")], "1.0", [(0, "1.1"), (7, "1.0")]),
])
def test_which_release_ran_when(before, rows, now, expected):
    assert spans(before, rows, now, 4) == expected


def test_units_are_never_mixed(filled, queries):
    filled.told(OTHER, [("oil.mean", "K", "0.5")])
    filled.put(OTHER, [("oil.mean", "K", "0.5")], 9_000, [[600]])
    found = {one.unit: one.max for one in aggregate(queries, {OTHER: [(0, "x")]}, None, 0, 2 * NOW, 2 * NOW + 1)}
    assert found == {"Cel": 0.3, "K": 300.0}


def test_a_question_that_is_too_large_is_refused_with_what_to_do(filled, queries):
    with pytest.raises(TooMuchError, match="longer buckets or a shorter window"):
        list(aggregate(queries, ALL, None, 0, 2 * NOW, 1))
    with pytest.raises(TooMuchError, match="fewer channels"):
        list(aggregate(queries, ALL, None, NOW, NOW + MAX_CELLS * 1000 - 1, 1000))
    with pytest.raises(TooMuchError, match="more than 10 readings"):
        list(aggregate(queries, ALL, None, NOW, 2 * NOW, 2 * NOW, max_readings=10))
