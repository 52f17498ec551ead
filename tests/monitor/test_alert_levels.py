"""Alerts tick by tick: hysteresis, time and sums; a sensor that is silent ends nothing."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from host.monitor.alerting.group import Kind
from host.monitor.alerting.words import text
from tests.monitor.alerts import LOST, WELL, Watch, rule, samples


@given(st.lists(st.floats(-10, 30), max_size=80))
@settings(max_examples=150, deadline=None)
def test_without_crossing_the_clear_level_nothing_is_told_twice(values: list[float]):
    watch = Watch([rule(above=20, clear=10)])
    crossed = True
    for value in values:
        told = [each.kind for each in watch.tick(samples({"d": value}))]
        if value <= 10:
            crossed = True
        if Kind.FIRING in told:
            assert crossed
            assert value > 20
            crossed = False
        if Kind.RESOLVED in told:
            assert value <= 10
    assert all(one != other for one, other in zip(watch.kinds(), watch.kinds()[1:], strict=False))


@given(st.lists(st.one_of(st.none(), st.just(math.nan), st.floats(11, 30)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_missing_and_middling_samples_end_nothing(values: list[float | None]):
    watch = Watch([rule(above=20, clear=10)])
    watch.tick(samples({"d": 25}))
    for value in values:
        watch.tick([] if value is None else samples({"d": value}))
    assert watch.kinds() == ["firing"]
    watch.tick(samples({"d": 5}))
    assert watch.kinds() == ["firing", "resolved"]


def test_a_dip_below_the_level_begins_the_time_anew():
    watch = Watch([rule(for_s=120)])
    for value in (LOST, LOST, LOST, WELL, LOST, LOST, LOST, LOST):
        watch.tick(samples({"d": value}))
    assert watch.kinds() == []
    watch.tick(samples({"d": LOST}))
    assert watch.kinds() == ["firing"]


def test_time_in_which_nothing_was_seen_does_not_count():
    watch = Watch([rule(for_s=600)])
    watch.tick(samples({"d": LOST}))
    watch.tick([], 900)
    watch.tick(samples({"d": LOST}), 900)   # counts for three ticks at the most
    assert watch.kinds() == []


def test_below_is_the_mirror_of_above():
    watch = Watch([rule(above=None, below=30, clear=40)])
    for value in (35.0, 29.0, 35.0, 40.0):
        watch.tick(samples({"d": value}))
    assert watch.kinds() == ["firing", "resolved"]


def test_an_alert_whose_samples_stopped_for_long_is_given_up_and_not_called_well():
    watch = Watch([rule(forget_s=3600)])
    watch.tick(samples({"gone": LOST}))
    watch.tick(samples({"other": WELL}), 3500)
    assert watch.kinds() == ["firing"]
    watch.tick(samples({"other": WELL}), 200)
    assert watch.kinds() == ["firing", "resolved"]
    assert (watch.notices[-1].lost, watch.notices[-1].over) == (("gone",), ())
    assert "not known to be well" in text(watch.notices[-1])


def test_what_is_not_there_at_all_fires_and_ends():
    watch = Watch([rule(name="blind", above=None, absent=True, where={"site": "nord"}, for_s=60, message="no device at nord")])
    for _ in range(3):
        watch.tick(samples({"d": WELL}, "syd"))
    assert watch.kinds() == ["firing"]
    assert text(watch.notices[0]) == "no device at nord"
    watch.tick(samples({"d": WELL}, "nord"))
    assert watch.kinds() == ["firing", "resolved"]


def test_rules_without_samples_are_named():
    watch = Watch([rule(), rule(name="typo", metric="tenfold_device_oflline_seconds")])
    watch.tick(samples({"d": WELL}))
    assert watch.ticks[-1].blind == ("typo",)


def test_a_sum_fires_by_its_rise_and_not_by_its_height():
    watch = Watch([rule(above=5, rise_s=600)])
    for value in (1000, 1001, 1002):
        watch.tick(samples({"d": value}), 300)
    assert watch.kinds() == []
    watch.tick(samples({"d": 1010}), 30)
    assert watch.kinds() == ["firing"]
    for _ in range(3):
        watch.tick(samples({"d": 1010}), 300)
    assert watch.kinds() == ["firing", "resolved"]
    watch.tick(samples({"d": 3}), 30)   # begun anew
    watch.tick(samples({"d": 4}), 30)
    assert watch.kinds() == ["firing", "resolved"]
