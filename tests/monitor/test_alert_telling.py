"""Alerts tick by tick: how often an alert is told, flapping or not, and what a silence holds back."""


from hypothesis import given, settings
from hypothesis import strategies as st

from host.monitor.alerting import group as groups
from host.monitor.alerting.engine import Memory
from host.monitor.alerting.group import FLAP_MOST_MS
from host.monitor.alerting.member import State
from host.monitor.alerting.silences import Silence
from host.monitor.alerting.words import text
from tests.monitor.alerts import LOST, MINUTE, WELL, Watch, rule, samples, site_rule


def test_a_flapping_device_is_told_of_ever_less():
    watch = Watch([rule(every_s=300)])
    for turn in range(24 * 60):   # a day, on and off by the minute
        watch.tick(samples({"d": LOST if turn % 2 else WELL}), MINUTE)
    assert len(watch.notices) < 24
    assert watch.notices[-1].flapping
    assert "comes and goes" in text(watch.notices[-1])


@given(st.lists(st.booleans(), min_size=10, max_size=200), st.integers(1, 900))
@settings(max_examples=40, deadline=None)
def test_between_two_notices_of_a_group_lies_the_interval(lost: list[bool], every_s: int):
    watch = Watch([site_rule(every_s=every_s, wait_s=0)])
    for each in lost:
        watch.tick(samples({"a": LOST if each else WELL, "b": WELL}))
    gaps = [after.at_ms - before.at_ms for before, after in zip(watch.notices, watch.notices[1:], strict=False)]
    assert all(gap >= every_s * 1000 for gap in gaps)


def test_the_end_of_a_flapping_alert_is_told_in_the_end():
    watch = Watch([rule(every_s=300)])
    for turn in range(600):
        watch.tick(samples({"d": LOST if turn % 2 else WELL}), MINUTE)
    for _ in range(FLAP_MOST_MS // 60_000 + 1):
        watch.tick(samples({"d": WELL}), MINUTE)
    assert watch.kinds()[-1] == "resolved"
    watch.tick(samples({"d": WELL}), groups.FLAP_WINDOW_MS / 1000)
    assert watch.memory == Memory()


def test_what_goes_on_is_told_again_and_no_sooner():
    watch = Watch([rule(repeat_s=3600)])
    for _ in range(250):
        watch.tick(samples({"d": LOST}))
    assert watch.kinds() == ["firing", "repeat", "repeat"]


def test_a_clock_that_was_set_back_holds_no_notice_up():
    watch = Watch([rule(every_s=300)])
    watch.tick(samples({"d": LOST}))
    watch.now_ms -= 86_400_000
    watch.tick(samples({"d": WELL}))
    assert watch.kinds() == ["firing", "resolved"]


def quiet(watch: Watch, seconds: float, **matchers: str) -> Silence:
    return Silence(1, matchers, watch.now_ms, watch.now_ms + int(seconds * 1000), "anna", "works on the roof")


def test_a_silence_mutes_notices_and_not_states():
    watch = Watch([site_rule(wait_s=0)])
    watch.silences = [quiet(watch, 3600, site="n*", rule="offline")]
    watch.tick(samples({"d": LOST}))
    assert watch.kinds() == []
    assert watch.ticks[-1].transitions[0].after is State.FIRING
    watch.tick(samples({"d": LOST}), 3600)   # it has ended by itself
    assert watch.kinds() == ["firing"]


def test_what_began_and_ended_in_a_silence_is_never_told():
    watch = Watch([rule()])
    watch.silences = [quiet(watch, 3600, rule="offline")]
    for value in (LOST, LOST, WELL, WELL):
        watch.tick(samples({"d": value}))
    watch.silences = []
    watch.tick(samples({"d": WELL}))
    assert (watch.kinds(), watch.memory) == ([], Memory())


def test_the_end_of_what_was_told_before_a_silence_is_told_after_it():
    watch = Watch([rule(repeat_s=60)])
    watch.tick(samples({"d": LOST}))
    watch.silences = [quiet(watch, 3600, device="d")]
    for value in (LOST, LOST, LOST, WELL, WELL):
        watch.tick(samples({"d": value}))
    assert watch.kinds() == ["firing"]
    watch.tick(samples({"d": WELL}), 3600)
    assert watch.kinds() == ["firing", "resolved"]


def test_a_silence_of_one_device_leaves_the_others_loud():
    watch = Watch([site_rule(wait_s=0, every_s=0)])
    watch.silences = [quiet(watch, 3600, device="a")]
    watch.tick(samples({"a": LOST, "b": WELL, "c": WELL}))
    assert watch.kinds() == []
    watch.tick(samples({"a": LOST, "b": LOST, "c": WELL}))
    assert (watch.kinds(), watch.notices[0].names) == (["firing"], ("b",))
