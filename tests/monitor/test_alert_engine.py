"""Alerts tick by tick: what is told, what is not, and that nothing of it hangs on order, silence of sensors or luck."""

import math
import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from host.monitor.alerting import group as groups
from host.monitor.alerting import member as members
from host.monitor.alerting.engine import LISTED, SHOWN, Memory, step
from host.monitor.alerting.group import FLAP_MOST_MS, Kind, Level
from host.monitor.alerting.member import Signal, State
from host.monitor.alerting.rules import key_of
from host.monitor.alerting.silences import Silence
from host.monitor.alerting.words import text, title
from host.monitor.sample import Sample
from tests.monitor.alerts import METRIC, TICK_S, Watch, rule, samples, site_rule

LOST, WELL = 1000.0, 0.0
MINUTE = 60


def fleet(count: int) -> list[str]:
    return [f"hall-{number:012x}" for number in range(count)]


def test_both_tables_know_every_case():
    assert set(members.TABLE) == {(state, signal) for state in State for signal in Signal}
    assert set(groups.TABLE) == {(told, now) for told in Level for now in Level}


def test_silence_of_a_sensor_never_ends_an_alert_by_the_table():
    assert all(after is state for (state, signal), after in members.TABLE.items() if signal is Signal.MISSING)


# --- a site


def test_four_hundred_devices_lost_at_once_are_one_notice_and_so_is_their_return():
    watch = Watch([site_rule()])
    devices = fleet(400)
    for _ in range(20):
        watch.tick(samples(dict.fromkeys(devices, LOST)))
    assert watch.kinds() == ["firing"]
    (told,) = watch.notices
    assert (told.level, told.firing, told.total, len(told.names)) == (Level.WIDE, 400, 400, SHOWN)
    assert "outage" in title(told)
    for _ in range(20):
        watch.tick(samples(dict.fromkeys(devices, WELL)))
    assert watch.kinds() == ["firing", "resolved"]
    assert watch.memory.members == {}


@given(st.integers(2, 60), st.randoms(use_true_random=False), st.integers(0, 59), st.integers(0, 59))
@settings(max_examples=25, deadline=None)
def test_devices_that_go_and_come_back_within_the_wait_are_one_notice_each_way(
    count: int, chance: random.Random, spread_down_s: int, spread_up_s: int,
):
    """Wills and reconnects of one outage are not simultaneous."""
    watch = Watch([site_rule(wait_s=60)])
    down = {device: chance.uniform(0, spread_down_s) for device in fleet(count)}
    up = {device: chance.uniform(0, spread_up_s) for device in fleet(count)}
    for at_s in range(0, 600, 5):
        watch.tick(samples({device: LOST if at_s >= down[device] else WELL for device in down}), 5)
    for at_s in range(0, 600, 5):
        watch.tick(samples({device: WELL if at_s >= up[device] else LOST for device in up}), 5)
    assert watch.kinds() == ["firing", "resolved"]


def test_some_devices_of_a_site_are_told_by_name_and_more_make_it_an_outage_once():
    watch = Watch([site_rule(every_s=60)])
    devices = fleet(10)
    values = dict.fromkeys(devices, WELL)
    values[devices[3]] = LOST
    for _ in range(10):
        watch.tick(samples(values))
    assert (watch.kinds(), watch.notices[0].names, watch.notices[0].level) == (["firing"], (devices[3],), Level.SOME)
    for device in devices[:7]:
        values[device] = LOST
    for _ in range(10):
        watch.tick(samples(values))
    assert (watch.kinds(), watch.notices[-1].level) == (["firing", "firing"], Level.WIDE)
    for device in devices[7:]:   # those that follow belong to the outage
        values[device] = LOST
        watch.tick(samples(values), 300)
    assert len(watch.notices) == 2


def test_an_outage_that_leaves_some_devices_behind_says_which():
    watch = Watch([site_rule()])
    devices = fleet(10)
    for _ in range(5):
        watch.tick(samples(dict.fromkeys(devices, LOST)))
    values = dict.fromkeys(devices, WELL) | {devices[0]: LOST}
    for _ in range(20):
        watch.tick(samples(values))
    assert watch.kinds() == ["firing", "eased"]
    assert watch.notices[-1].names == (devices[0],)
    values[devices[0]] = WELL
    for _ in range(20):
        watch.tick(samples(values))
    assert watch.kinds() == ["firing", "eased", "resolved"]


def test_an_outage_at_its_threshold_does_not_come_and_go():
    watch = Watch([site_rule(every_s=0, wait_s=0)])
    devices = fleet(10)
    for turn in range(20):
        watch.tick(samples({device: LOST if number < 5 - turn % 2 else WELL for number, device in enumerate(devices)}))
    assert watch.kinds() == ["firing"]


def test_other_sites_are_not_part_of_it():
    watch = Watch([site_rule(wait_s=0)])
    watch.tick(samples(dict.fromkeys(fleet(4), LOST), "nord") + samples({f"s-{each}": WELL for each in fleet(4)}, "syd"))
    assert [(each.group, each.total) for each in watch.notices] == [(key_of({"site": "nord"}), 4)]


def test_an_outage_is_told_by_one_rule_and_not_again_by_another():
    rules = [rule(name="site", above=100, group_by=["site"], wide_share=0.8, wide_only=True), site_rule(unless=["site"], wait_s=0)]
    watch = Watch(rules)
    devices = fleet(10)
    for age in range(0, 1800, 60):
        watch.tick(samples(dict.fromkeys(devices, float(age))))
    assert [each.rule for each in watch.notices] == ["site"]
    for _ in range(5):
        watch.tick(samples(dict.fromkeys(devices, WELL) | {devices[0]: LOST}), 300)   # one stays away: now it is told
    told = [(each.rule, each.kind.value, each.firing) for each in watch.notices[1:]]
    assert told == [("site", "resolved", 1), ("offline", "firing", 1)]
    assert text(watch.notices[1]).startswith(f"over, but not for 1 of 10: {devices[0]}")


def test_few_devices_are_no_business_of_a_rule_about_outages():
    watch = Watch([site_rule(wide_only=True, wait_s=0)])
    watch.tick(samples(dict.fromkeys(fleet(10), WELL) | {"d": LOST}))
    assert watch.kinds() == []


def test_one_device_alone_at_its_site_is_no_outage():
    watch = Watch([site_rule(wait_s=0)])
    watch.tick(samples({"only": LOST}))
    assert watch.notices[0].level is Level.SOME


# --- hysteresis, time, missing samples


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


# --- sums that only grow


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


# --- members


def test_an_update_does_not_make_a_firing_device_another_one():
    watch = Watch([site_rule(wait_s=0)])
    watch.tick(samples({"d": LOST}, release="1.0.0"))
    watch.tick(samples({"d": LOST}, release="1.1.0"))
    watch.tick(samples({"d": WELL}, release="1.1.0"), 300)
    assert watch.kinds() == ["firing", "resolved"]


def test_a_device_that_moves_takes_its_alert_along():
    watch = Watch([site_rule(wait_s=0, every_s=0)])
    watch.tick(samples({"d": LOST}, "nord"))
    watch.tick(samples({"d": LOST}, "syd"))
    assert [(each.kind.value, each.group) for each in watch.notices[1:]] == [
        ("resolved", key_of({"site": "nord"})), ("firing", key_of({"site": "syd"}))]


@given(st.lists(st.tuples(st.sampled_from(fleet(6)), st.sampled_from(["nord", "syd"]), st.floats(0, 2000)), max_size=30),
       st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_samples_does_not_matter(told: list[tuple[str, str, float]], chance: random.Random):
    given_ = [Sample(METRIC, {"device": device, "site": site}, value) for device, site, value in told]
    mixed = given_.copy()
    chance.shuffle(mixed)
    rules = [site_rule(wait_s=0), rule(name="rising", rise_s=60), rule(name="each", group_by=["device"])]
    ticks = [step(rules, Memory(), each, (), 1000, most_ms=90_000, most_members=4) for each in (given_, mixed)]
    assert ticks[0] == ticks[1]


def test_too_many_members_are_counted_and_not_kept():
    devices = fleet(50)
    done = step([rule()], Memory(), samples(dict.fromkeys(devices, LOST)), (), 1000, most_ms=0, most_members=20)
    assert (len(done.memory.members["offline"]), done.overflow) == (20, {"offline": 30})
    again = step([rule()], done.memory, samples(dict.fromkeys(devices, LOST)), (), 2000, most_ms=0, most_members=20)
    assert (again.memory.members.keys(), again.notices) == (done.memory.members.keys(), ())


def test_history_names_a_bounded_number_of_members():
    watch = Watch([rule()])
    watch.tick(samples(dict.fromkeys(fleet(400), LOST)))
    (moved,) = watch.ticks[-1].transitions
    assert (moved.before, moved.after, moved.count, len(moved.members)) == (State.OK, State.FIRING, 400, LISTED)


# --- flapping, repeats


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


# --- silences


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


# --- the file changes


def test_an_alert_of_a_rule_that_was_taken_out_is_ended():
    watch = Watch([rule(severity="critical")])
    watch.tick(samples({"d": LOST}))
    watch.rules = [rule(name="other")]
    watch.tick(samples({"d": WELL}))
    assert [(each.kind, each.severity) for each in watch.notices[1:]] == [(Kind.RESOLVED, "critical")]
    assert "taken out" in text(watch.notices[-1])
    watch.tick(samples({"d": WELL}))
    assert len(watch.notices) == 2


def test_a_rule_that_was_eased_ends_what_it_would_not_have_begun():
    watch = Watch([rule()])
    watch.tick(samples({"d": LOST}))
    watch.rules = [rule(above=1500)]
    watch.tick(samples({"d": LOST}))
    assert watch.kinds() == ["firing", "resolved"]


def test_ticks_are_values():
    watch = Watch([site_rule()])
    watch.tick(samples(dict.fromkeys(fleet(3), LOST)))
    before = watch.memory
    kept = replace(before, members={name: dict(each) for name, each in before.members.items()}, groups=dict(before.groups))
    watch.tick(samples(dict.fromkeys(fleet(3), WELL)), TICK_S)
    assert before == kept
