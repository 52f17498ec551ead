"""Alerts tick by tick: the tables, whose alert it is, and that nothing hangs on the order of samples or on a changed file."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from host.monitor.alerting import group as groups
from host.monitor.alerting import member as members
from host.monitor.alerting.engine import LISTED, Memory, step
from host.monitor.alerting.group import Kind, Level
from host.monitor.alerting.member import Signal, State
from host.monitor.alerting.rules import key_of
from host.monitor.alerting.words import text
from host.monitor.sample import Sample
from tests.monitor.alerts import LOST, METRIC, TICK_S, WELL, Watch, fleet, rule, samples, site_rule


def test_both_tables_know_every_case():
    assert set(members.TABLE) == {(state, signal) for state in State for signal in Signal}
    assert set(groups.TABLE) == {(told, now) for told in Level for now in Level}


def test_silence_of_a_sensor_never_ends_an_alert_by_the_table():
    assert all(after is state for (state, signal), after in members.TABLE.items() if signal is Signal.MISSING)


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
