"""Sums are those of the samples, stay right whatever comes late, and are the same for us and for plain SQL."""

import json
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select

from host.clock import DAY_MS, HOUR_MS, MINUTE_MS
from host.store import tables as t
from host.store.buckets import read_buckets, write_buckets
from host.store.classes import Classes
from host.store.compact import compact
from host.store.packing import PackingError
from host.store.queries import Queries
from host.store.rolling import OPEN_MS, roll
from host.store.rollup import aggregate, coarser, joined, minute_rows, read_hours, read_minutes, row
from host.store.rollups import STEPS, Rollups
from tests.ingest.records import DEVICE
from tests.store.days_of import DAY, NOW, START, fill, history, quick_history

WINDOW = (START - DAY_MS, START + 10 * DAY_MS)


def plain(engine, channel, step):
    """The same sums, from the series itself."""
    times, values = Queries(engine).series(DEVICE, [channel], *WINDOW, 1_000_000).get(channel, ([], []))
    buckets = {}
    for time, value in zip(times, values, strict=True):
        buckets.setdefault(time // STEPS[step] * STEPS[step], []).append(value)
    return [(at, len(some), min(some), max(some), pytest.approx(sum(some) / len(some))) for at, some in sorted(buckets.items())]


def summed(engine, channel, step):
    return [(one.t_ms, one.count, one.low, one.high, one.mean) for one in Rollups(engine).of(DEVICE, channel, *WINDOW, step)]


def assert_right(engine):
    for channel in ("temperature", "vibration", "oil.max"):
        for step in STEPS:
            assert summed(engine, channel, step) == plain(engine, channel, step), (channel, step)


@pytest.mark.parametrize("messages", [history(), quick_history()], ids=["few a minute", "many a minute"])
def test_sums_are_those_of_the_samples_before_and_after_compaction(engine, messages):
    fill(engine, *messages)
    assert roll(engine, NOW) > 0
    assert_right(engine)
    assert roll(engine, NOW) == 0, "nothing came since"
    compact(engine, NOW, Classes())
    assert roll(engine, NOW) > 0
    assert_right(engine)


def test_minutes_are_kept_only_where_they_are_fewer_than_the_readings(engine):
    fill(engine, *quick_history())
    roll(engine, NOW)
    with engine.connect() as connection:
        kept = set(connection.scalars(select(t.series.c.channel).join(t.rollup_part, t.rollup_part.c.series == t.series.c.id)))
    assert "vibration" in kept
    assert "oil.max" not in kept


def test_a_late_batch_has_its_day_and_the_next_summed_again(engine):
    """The one at midnight lies in both."""
    messages = history(days=2, samples=100)
    late = messages.pop(next(at for at, one in enumerate(messages) if at > 4 and len(one[1]) > 120))
    fill(engine, *messages)
    roll(engine, NOW)
    fill(engine, late)
    assert roll(engine, NOW) > 0
    assert_right(engine)


def test_a_schema_that_comes_late_has_its_days_summed(engine):
    messages = history(days=1)
    fill(engine, messages[0], *messages[2:])
    roll(engine, NOW)
    assert summed(engine, "vibration", "day") == []
    fill(engine, messages[1])
    roll(engine, NOW)
    assert_right(engine)


def test_the_current_day_is_summed_now_and_then(engine):
    messages = history(days=1)
    now = START + DAY_MS // 2
    fill(engine, *messages[:5], now_ms=now)
    assert roll(engine, now) == 1
    fill(engine, *messages[5:], now_ms=now)
    assert roll(engine, now + 1) == 0
    assert roll(engine, now + OPEN_MS) > 0
    assert_right(engine)


READING = st.tuples(st.integers(0, DAY_MS - 1), st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, 3))


@given(st.lists(READING, min_size=1, max_size=80))
@example([(0, 0, 0)] * 20 + [(0, (1 << 31) - 1, 0), (60_000, -(1 << 31), 3)] * 30)
def test_a_row_gives_back_its_hours_and_minutes(readings):
    times, values, quality = (np.array(column, np.int64) for column in zip(*readings, strict=True))
    minutes = aggregate(times + DAY * DAY_MS, values, quality, MINUTE_MS)
    kept = row(DAY, minutes)
    hours = read_hours(kept["hours"], DAY, kept["low"], kept["quality"])
    parts = [read_minutes(one["minutes"], DAY, one["part"], one["low"], one["quality"]) for one in minute_rows(DAY, minutes)]
    again = aggregate(times + DAY * DAY_MS, values, quality, HOUR_MS)
    for name in ("start_ms", "count", "low", "high", "total", "quality"):
        assert getattr(hours, name).tolist() == getattr(again, name).tolist(), name
        if parts:
            assert getattr(joined(parts), name).tolist() == getattr(minutes, name).tolist()
    assert coarser(again, DAY_MS).total.tolist() == [kept["total"]]


def test_plain_sql_reads_the_same_minutes_hours_and_days(engine):
    """By the sqlite3 program, not by ours."""
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("NOT TESTED: sqlite3 is not installed; on Debian: apt-get install sqlite3")
    fill(engine, *quick_history())
    roll(engine, NOW)
    for step in STEPS:
        said = subprocess.run(
            [program, "-json", "-cmd", f".parameter set :device {DEVICE}", engine.url.database,
             f"SELECT * FROM rollup_{step} WHERE device = :device AND channel = 'temperature' ORDER BY time"],  # noqa: S608
            capture_output=True, text=True, check=True).stdout
        rows = [(one["time"] * 1000, one["count"], one["low"], one["high"], one["mean"]) for one in json.loads(said)]
        assert rows == plain(engine, "temperature", step)
        assert {one["unit"] for one in json.loads(said)} == {"Cel"}


@given(st.binary(min_size=0, max_size=60))
def test_garbage_for_buckets_is_refused_or_read_in_bounds(raw):
    with suppress(PackingError):
        assert len(read_buckets(raw, 0, HOUR_MS, 0, 0).count) <= 127


def test_more_readings_than_a_bucket_can_count_are_refused():
    one = aggregate(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64), HOUR_MS)
    with pytest.raises(ValueError, match="24 bits"):
        write_buckets(replace(one, count=one.count << 24), 0, HOUR_MS, 0, 0)
