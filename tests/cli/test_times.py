"""Times as people type them, in the zone that they mean."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from host.cli import times
from host.settings import SettingsError

OSLO = ZoneInfo("Europe/Oslo")


def ms(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NOON = ms("2026-11-23T12:34:56+01:00")


@pytest.mark.parametrize(("text", "expected"), [
    ("now", "2026-11-23T12:34:56+01:00"), ("-12h", "2026-11-23T00:34:56+01:00"), ("-90s", "2026-11-23T12:33:26+01:00"),
    ("15min ago", "2026-11-23T12:19:56+01:00"), ("-2 d", "2026-11-21T12:34:56+01:00"), ("-1w", "2026-11-16T12:34:56+01:00"),
    ("today", "2026-11-23T00:00+01:00"), ("yesterday", "2026-11-22T00:00+01:00"), ("Yesterday 22:00", "2026-11-22T22:00+01:00"),
    ("6:05", "2026-11-23T06:05+01:00"), ("06:00:30", "2026-11-23T06:00:30+01:00"), ("2026-11-20", "2026-11-20T00:00+01:00"),
    ("2026-11-20 08:15", "2026-11-20T08:15+01:00"), ("2026-11-20T08:15Z", "2026-11-20T08:15+00:00"),
    ("2026-07-01T08:15", "2026-07-01T08:15+02:00"),   # summer time of that day, not of now
    ("1800000000123", "2027-01-15T08:00:00.123+00:00"), ("1900-01-01T00:00", "1970-01-01T00:00Z"), ("-9999w", "1970-01-01T00:00Z"),
])
def test_a_text_means_a_moment_of_the_zone(text, expected):
    assert times.moment(text, NOON, OSLO) == ms(expected)


@pytest.mark.parametrize("text", [
    "", "12", "-12", "12h", "-h", "yesterday noon", "25:00", "06:61", "2026-13-01", "soon", "-99999999999h",
    "９:00", "9999-12-31T23:59:59-12:00",
])
def test_what_means_nothing_is_refused_with_examples(text):
    with pytest.raises(SettingsError, match=r"setting --from: .*yesterday 22:00"):
        times.moment(text, NOON, OSLO, "--from")


def test_a_day_of_the_change_to_winter_time_has_25_hours():
    now_ms = ms("2026-10-25T23:00+01:00")
    assert times.moment("now", now_ms, OSLO) - times.moment("today", now_ms, OSLO) == 24 * 3_600_000
    assert times.moment("02:30", now_ms, OSLO) == ms("2026-10-25T02:30+02:00")   # it is twice half past two: the first one


@pytest.mark.parametrize(("now", "start", "end"), [
    ("2026-11-23T12:00+01:00", "2026-11-22T22:00+01:00", "2026-11-23T06:00+01:00"),
    ("2026-11-23T23:30+01:00", "2026-11-22T22:00+01:00", "2026-11-23T06:00+01:00"),
    ("2026-11-23T03:00+01:00", "2026-11-22T22:00+01:00", "2026-11-23T03:00+01:00"),   # it goes on
    ("2026-10-25T12:00+01:00", "2026-10-24T22:00+02:00", "2026-10-25T06:00+01:00"),   # an hour longer
])
def test_last_night_is_the_one_that_ended_this_morning(now, start, end):
    assert times.last_night(ms(now), OSLO) == (ms(start), ms(end))


@pytest.mark.parametrize(("text", "expected"), [
    ("30s", 30_000), ("15min", 900_000), ("15m", 900_000), ("1h", 3_600_000), ("1d", 86_400_000)])
def test_lengths(text, expected):
    assert times.span_ms(text, "--bucket") == expected


@pytest.mark.parametrize("text", ["", "0s", "h", "1", "-1h", "1y"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(SettingsError, match="--bucket"):
        times.span_ms(text, "--bucket")


def test_an_unknown_zone_is_refused():
    for name in ("Europe/Atlantis", "../etc/passwd", "Europe"):
        with pytest.raises(SettingsError, match="IANA"):
            times.zone_of(name)


def test_a_window_says_its_zone():
    assert times.window(NOON - 3_600_000, NOON, OSLO) == "2026-11-23 11:34:56 to 2026-11-23 12:34:56 (Europe/Oslo, UTC+0100)"
    assert times.window(0, 1000, UTC).endswith("(UTC, UTC+0000)")


@pytest.mark.parametrize(("ms_", "expected"), [(0, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (3_661_000, "1 h 1 min"),
                                               (3_601_000, "1 h"), (90_061_000, "1 d 1 h"), (86_400_000, "1 d")])
def test_lengths_are_told_in_two_units(ms_, expected):
    assert times.length(ms_) == expected
