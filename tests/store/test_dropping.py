"""Months go as a whole, by age and by size of their class; sums and names outlive them."""

import pytest

from host.clock import DAY_MS
from host.settings import SettingsError, load
from host.store.check import check
from host.store.classes import ChannelClass, Classes
from host.store.compact import compact
from host.store.dropping import beyond, retain
from host.store.parts import Part, parts_of
from host.store.queries import Queries
from host.store.rolling import roll
from host.store.rollups import Rollups
from tests.ingest.records import DEVICE
from tests.store.days_of import DAY, NOW, START, fill, history

TWO = Classes(classes=(ChannelClass(name="fast", channels=("vib*",), days=30), ChannelClass(name="rest")))
SIZES = [(Part("2026-01", "all"), 100), (Part("2026-02", "all"), 100), (Part("2026-03", "all"), 100)]


def test_a_month_goes_when_its_last_day_is_too_old():
    classes = Classes(classes=(ChannelClass(name="all", days=10),))
    last = DAY + 12   # 2026-02-28
    assert [one.part.month for one in beyond(SIZES, classes, last + 10)] == ["2026-01"]
    assert [(one.part.month, one.reason) for one in beyond(SIZES, classes, last + 11)] == [("2026-01", "age"), ("2026-02", "age")]


def test_the_oldest_months_go_when_a_class_grows_too_large():
    classes = Classes(classes=(ChannelClass(name="all", days=10_000, max_bytes=250),))
    assert [(one.part.month, one.reason) for one in beyond(SIZES, classes, DAY)] == [("2026-01", "size")]


def test_classes_have_bounds_of_their_own(engine):
    fill(engine, *history(days=3))
    roll(engine, NOW)
    compact(engine, NOW, TWO)
    roll(engine, NOW)
    sums = Rollups(engine).of(DEVICE, "vibration", START, NOW, "hour")
    kept = Queries(engine).series(DEVICE, ["temperature"], START, NOW, 100_000)
    (drop,) = retain(engine, TWO, NOW + 30 * DAY_MS, dry=True)
    assert parts_of(engine).path(drop.part).exists()
    (drop,) = retain(engine, TWO, NOW + 30 * DAY_MS)
    assert (drop.part, drop.reason) == (Part("2026-02", "fast"), "age")
    assert not parts_of(engine).path(drop.part).exists()
    assert Queries(engine).series(DEVICE, ["temperature"], START, NOW, 100_000) == kept
    left = Queries(engine).series(DEVICE, ["vibration"], START, START + DAY_MS, 100_000)
    assert len(left.get("vibration", ([], []))[0]) < 100
    roll(engine, NOW + 30 * DAY_MS)
    assert Rollups(engine).of(DEVICE, "vibration", START, NOW, "hour") == sums
    assert check(engine) == []


def test_what_was_dropped_is_still_known_as_stored(engine):
    messages = history(days=3)
    fill(engine, *messages)
    compact(engine, NOW, Classes())
    roll(engine, NOW)
    sums = Rollups(engine).of(DEVICE, "temperature", START, NOW, "day")
    later = NOW + 500 * DAY_MS
    assert len(retain(engine, Classes(), later)) == 1
    outcome = fill(engine, *messages, now_ms=later)
    assert (outcome.records, outcome.quarantined) == (0, 0)
    roll(engine, later)
    assert Rollups(engine).of(DEVICE, "temperature", START, NOW, "day") == sums
    assert check(engine) == []
    retain(engine, Classes(), NOW + 4000 * DAY_MS)
    assert Rollups(engine).of(DEVICE, "temperature", START, NOW, "day") == []


def test_classes_that_leave_a_channel_out_are_refused(tmp_path):
    file = tmp_path / "classes.toml"
    file.write_text('[[classes]]\nname = "fast"\nchannels = ["vib*"]\n')
    with pytest.raises(SettingsError, match="last class"):
        load(Classes, file)
