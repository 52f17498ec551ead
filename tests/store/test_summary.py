"""A window of a device in one look: figures as the readings have them, and gaps where nothing came."""

from itertools import pairwise

import pytest

from host.store.arrivals import Arrivals
from host.store.summary import Gap, summarize
from tests.ingest.records import DEVICE, OTHER
from tests.store.filled import NOW, SLOW, Filled


def test_figures_are_those_of_the_readings(filled, queries):
    found = summarize(queries, DEVICE, None, NOW, NOW + 60_000, 50)
    assert {one.channel.name for one in found.channels} == {"temperature", "odd", "big", "oil.mean"}
    for one in found.channels:
        rows = [(float(row[4]), row[1]) for row in filled.of(names=[one.channel.name])]
        assert (one.count, one.min, one.max) == (len(rows), min(rows)[0], max(rows)[0])
        assert (one.min, one.min_ms) in rows
        assert (one.max, one.max_ms) in rows
        assert one.mean == pytest.approx(sum(value for value, _ in rows) / len(rows))
        assert (one.first_ms, one.last_ms) == (min(at for _, at in rows), max(at for _, at in rows))
        times = sorted(at for _, at in rows)
        assert one.longest_ms == max(b - a for a, b in pairwise(times))
        assert len(one.points.result()[0]) <= 50


def test_gaps_are_where_no_channel_had_a_reading(filled, queries):
    found = summarize(queries, DEVICE, None, NOW, NOW + 60_000, 50)
    assert found.gaps == [Gap(NOW + 39_750, NOW + 51_000), Gap(NOW + 51_250, NOW + 60_000)]
    assert found.usual_ms <= 250


def test_gap_before_the_first_reading_is_told(filled, queries):
    assert summarize(queries, OTHER, None, NOW - 60_000, NOW + 1000, 50).gaps == [Gap(NOW - 60_000, NOW + 500)]


def test_window_without_readings_is_one_gap(filled, queries):
    found = summarize(queries, DEVICE, None, 5, 9, 50)
    assert (found.channels, found.gaps) == ([], [Gap(5, 9)])


def test_batch_that_is_under_way_is_no_gap_and_one_that_does_not_come_is(engine, queries):
    """Four readings a second apart in each batch, a batch each four seconds, sent when it is full."""
    made = Filled(engine)
    made.told(DEVICE, SLOW)
    for number in range(5):
        made.put(DEVICE, SLOW, number * 4000, [[1, 2, 3, 4]], period_ms=1000, now_ms=NOW + number * 4000 + 3000)
    newest_ms, last_ms = NOW + 19_000, NOW + 19_000
    assert queries.arrivals(DEVICE) == Arrivals(newest_ms, 4000)
    assert summarize(queries, DEVICE, None, NOW, last_ms + 7000, 50).gaps == []
    assert summarize(queries, DEVICE, None, NOW, last_ms + 9000, 50).gaps == [Gap(last_ms, last_ms + 9000)]
