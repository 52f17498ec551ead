"""Maintenance windows: what the clock on the wall shows decides, also in the night when it is changed."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.rules.windows import DAYS, Window, following, is_known, is_open, parse, zone

BERLIN = "Europe/Berlin"


def at(text: str, place: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(place), fold=fold).timestamp()


@pytest.mark.parametrize(("text", "window"), [
    ("mon-fri 22:00-05:00", Window((0, 1, 2, 3, 4), 1_320, 1_740)),
    ("sat,sun 00:00-24:00", Window((5, 6), 0, 1_440)),
    ("fri-mon 08:30-12:00", Window((0, 4, 5, 6), 510, 720)),
    ("tue 12:00-12:00", Window((1,), 720, 2_160)),
])
def test_windows_are_read_as_people_write_them(text: str, window: Window) -> None:
    assert parse(text) == window


@pytest.mark.parametrize("text", ["", "mon", "mon 1:00-2:00", "mon 25:00-26:00", "mon 22:00-24:01", "mon 22:60-23:00",
                                  "mo 22:00-23:00", "mon- 22:00-23:00", "mon,, 22:00-23:00", "mon 22:00-23:00 "])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="windows: got"):
        parse(text)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe/Berlin\0", "x" * 300])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="zone: got"):
        zone(name)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    night = ("fri 22:00-05:00",)
    for shown, expected in {"2027-06-04T21:59": False, "2027-06-04T22:00": True, "2027-06-05T04:59": True,
                            "2027-06-05T05:00": False, "2027-06-05T22:00": False, "2027-06-04T04:00": False}.items():
        assert is_open(night, BERLIN, at(shown)) is expected, shown
    assert is_open((), BERLIN, 0)


def test_the_same_instant_is_another_time_elsewhere() -> None:
    now_s = at("2027-06-04T23:00")
    assert is_open(("fri 22:00-24:00",), BERLIN, now_s)
    assert not is_open(("fri 22:00-24:00",), "America/New_York", now_s)
    assert following(("fri 22:00-24:00",), "America/New_York", now_s)[0] == now_s + 5 * 3_600


def test_a_window_that_opens_in_the_skipped_hour_opens_after_it() -> None:
    """2027-03-28 in Berlin: after 01:59:59 comes 03:00:00."""
    gap_s = at("2027-03-28T03:00")
    assert gap_s - at("2027-03-28T01:59") == 60
    assert following(("sun 02:30-04:00",), BERLIN, at("2027-03-28T01:00")) == (gap_s, at("2027-03-28T04:00"))
    assert is_open(("sun 02:30-04:00",), BERLIN, gap_s)
    assert not is_open(("sun 02:30-04:00",), BERLIN, gap_s - 1)


def test_a_window_that_ends_in_the_skipped_hour_ends_with_it() -> None:
    gap_s = at("2027-03-28T03:00")
    assert following(("sun 01:00-02:30",), BERLIN, at("2027-03-28T00:00")) == (at("2027-03-28T01:00"), gap_s)
    assert is_open(("sun 01:00-02:30",), BERLIN, gap_s - 1)
    assert not is_open(("sun 01:00-02:30",), BERLIN, gap_s)


def test_a_window_within_the_skipped_hour_comes_the_week_after() -> None:
    assert following(("sun 02:10-02:50",), BERLIN, at("2027-03-28T00:00"))[0] == at("2027-04-04T02:10")


def test_a_window_in_the_hour_that_comes_twice_opens_twice() -> None:
    """2027-10-31 in Berlin: after 02:59:59 comes 02:00:00 again."""
    window = ("sun 02:15-02:30",)
    first, second = at("2027-10-31T02:15"), at("2027-10-31T02:15", fold=1)
    assert second - first == 3_600
    assert following(window, BERLIN, at("2027-10-31T00:00")) == (first, first + 900)
    assert following(window, BERLIN, first + 900) == (second, second + 900)


def test_a_window_that_has_ended_opens_again_when_the_clock_goes_back_into_it() -> None:
    window = ("sun 01:00-02:30",)
    back_s = at("2027-10-31T02:00", fold=1)
    assert following(window, BERLIN, at("2027-10-31T02:30")) == (back_s, back_s + 1_800)


def test_a_window_over_the_hour_that_comes_twice_lasts_longer() -> None:
    opens_s, closes_s = following(("sun 01:00-04:00",), BERLIN, at("2027-10-31T00:00"))
    assert closes_s - opens_s == 4 * 3_600


def test_a_day_that_never_was_has_no_window() -> None:
    """Samoa went from Thursday, 29 December 2011 to Saturday."""
    window = ("fri 10:00-11:00",)
    assert following(window, "Pacific/Apia", at("2011-12-29T12:00", "Pacific/Apia"))[0] == at("2012-01-06T10:00", "Pacific/Apia")


def test_a_zone_that_has_gone_has_no_open_window_and_what_needs_no_window_goes_on(zone_that_goes) -> None:
    name, go = zone_that_goes
    always = ("mon-sun 00:00-24:00",)
    assert is_known(name)
    assert is_open(always, name, 0)
    go()
    assert not is_known(name)
    assert not is_open(always, name, 0)
    assert is_open((), name, 0)


terms = st.builds(
    lambda days, start, end: f"{days} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}",
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=3).map(",".join), st.integers(0, 1_439), st.integers(0, 1_440))
zones = st.sampled_from([BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca",
                         "Pacific/Apia", "America/Sao_Paulo", "Antarctica/Troll"])


@settings(max_examples=150)
@given(texts=st.lists(terms, min_size=1, max_size=3), place=zones, now_s=st.integers(1_300_000_000, 1_900_000_000),
       share=st.floats(0, 1))
def test_nothing_is_open_before_the_next_opening_nor_closed_before_the_end(texts, place, now_s, share) -> None:
    if is_open(texts, place, now_s):
        return
    opens_s, closes_s = following(texts, place, now_s)
    assert now_s < opens_s < closes_s
    assert not is_open(texts, place, now_s + share * (opens_s - 1 - now_s))
    assert is_open(texts, place, opens_s)
    assert is_open(texts, place, opens_s + share * (closes_s - 1 - opens_s))


@settings(max_examples=300)
@given(texts=st.lists(terms, min_size=1, max_size=3), place=zones, now_s=st.integers(1_300_000_000, 1_900_000_000))
def test_a_window_is_what_the_wall_clock_shows(texts, place, now_s) -> None:
    shown = datetime.fromtimestamp(now_s, ZoneInfo(place))
    minute, expected = 60 * shown.hour + shown.minute, False
    for window in map(parse, texts):
        for ago, of_day in ((0, minute), (1, minute + 1_440)):
            expected |= (shown.weekday() - ago) % 7 in window.days and window.start <= of_day < window.end
    assert is_open(texts, place, now_s) is expected
