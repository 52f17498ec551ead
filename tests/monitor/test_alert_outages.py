"""Alerts tick by tick: what is lost at once is one outage of a site, and is told as one."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from host.monitor.alerting.engine import SHOWN
from host.monitor.alerting.group import Level
from host.monitor.alerting.rules import key_of
from host.monitor.alerting.words import text, title
from tests.monitor.alerts import LOST, WELL, Watch, fleet, rule, samples, site_rule


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
