"""A long series reads a part of its days and is the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.clock import DAY_MS
from host.store import days, due
from host.store import queries as module
from host.store.classes import ONE_CLASS
from host.store.compact import compact
from host.store.dropping import retain
from host.store.queries import Queries
from host.store.rolling import roll
from host.store.skipping import DaySum, passed_over, worth
from tests.ingest.records import DEVICE
from tests.store.days_of import NOW, START, fill, history

WINDOWS = [(START, START + 30 * DAY_MS - 1, 10), (START + 12_345, START + 29 * DAY_MS + 77, 8), (START - 99 * DAY_MS, NOW, 2)]


@pytest.fixture
def month(engine, monkeypatch):
    monkeypatch.setattr(due, "SPAN_SAMPLES", 1)   # a body for each day, as of a device that samples faster
    fill(engine, *history(days=30, period_ms=3_000_000), now_ms=NOW - DAY_MS)
    compact(engine, NOW, ONE_CLASS)
    roll(engine, NOW)
    return engine


def whole(engine, monkeypatch, *window):
    with monkeypatch.context() as patch:
        patch.setattr(module, "_passed_over", lambda *given: {})
        return Queries(engine).series(DEVICE, None, *window)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_answer_is_that_of_all_days(month, monkeypatch, window):
    read = []
    real = days.read_channel
    monkeypatch.setattr(days, "read_channel", lambda raw, n: (read.append(n), real(raw, n))[1])
    meant = whole(month, monkeypatch, *window)
    of_all, read[:] = len(read), []
    assert Queries(month).series(DEVICE, None, *window) == meant
    assert 0 < len(read) < of_all


def test_what_came_late_or_was_dropped_is_not_passed_over(month, monkeypatch):
    window = WINDOWS[0]
    fill(month, *history(seed=5, days=20, boot=2, first_seq=2000, period_ms=3_000_000)[1:])
    assert Queries(month).series(DEVICE, None, *window) == whole(month, monkeypatch, *window)
    compact(month, NOW, ONE_CLASS)
    roll(month, NOW)
    retain(month, ONE_CLASS, START + (400 + 16) * DAY_MS)   # February
    assert Queries(month).series(DEVICE, None, *window) == whole(month, monkeypatch, *window)


PAIR = st.tuples(st.integers(-5, 5), st.integers(-5, 5))


@given(st.lists(PAIR, min_size=1, max_size=40), st.integers(1, 12), st.integers(0, DAY_MS))
def test_no_bucket_loses_its_earliest_lowest_or_latest_highest_day(lows, buckets, shift):
    sums = [DaySum(100 + at, 50, min(pair), max(pair)) for at, pair in enumerate(lows)]
    from_ms, to_ms = 100 * DAY_MS - shift, (100 + len(lows)) * DAY_MS + shift
    left = passed_over(sums, from_ms, to_ms, buckets, 10)
    span = to_ms - from_ms + 1

    def bucket(at):
        return (at - from_ms) * buckets // span

    for one in (day for day in sums if day.day in left):
        same = [day for day in sums if day.day not in left
                and bucket(day.day * DAY_MS) == bucket(one.day * DAY_MS) == bucket((day.day + 1) * DAY_MS - 1)]
        assert any(day.low < one.low or (day.low == one.low and day.day < one.day) for day in same)
        assert any(day.high > one.high or (day.high == one.high and day.day > one.day) for day in same)


def test_a_series_that_is_given_whole_needs_every_day():
    assert passed_over([DaySum(1, 5, 0, 0), DaySum(2, 5, 1, 1), DaySum(3, 5, 0, 0)], 0, 10 * DAY_MS, 1, 15) == ()
    assert not worth(0, 30 * DAY_MS, 500)
