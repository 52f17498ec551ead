"""A fleet that loses power and links while it is updated must arrive whole; at full size it is `tenfold bench campaign`."""

import asyncio
import math

import pytest

from host.bench import campaign


def test_more_boards_than_the_cores_carry_ask_the_server_as_often_as_those_that_they_carry():
    carried, crowd = campaign.Case(devices=24, cores=2), campaign.Case(devices=50, cores=2)
    assert (carried.slower, carried.pace) == (1.0, campaign.PACE)
    assert campaign.Case(devices=3, cores=2).pace == campaign.PACE
    for case in (carried, crowd, campaign.Case(devices=200, cores=1)):
        assert case.devices / case.pace.checkin_s <= 6 * case.cores
        assert case.devices / case.pace.row_ms == pytest.approx(0.024 * case.cores, rel=0.01)


def test_who_is_slow_is_waited_for_and_who_stands_still_is_given_up():
    patience = campaign.Patience(10.0, now_s=100.0)
    assert not patience.is_over(0, 109.0)
    assert not patience.is_over(1, 118.0)
    assert not patience.is_over(2, 127.0)
    assert not patience.is_over(1, 137.0)   # one was lost: no progress
    assert patience.is_over(2, 137.1)
    assert not patience.is_over(3, 137.2)


def test_board_that_was_cut_off_after_it_arrived_counts_again_only_when_it_is_heard():
    rows = {
        "dark": {"release": "1.1.0", "trial": False, "last_seen_s": 20.0},
        "well": {"release": "1.1.0", "trial": False, "last_seen_s": 20.0},
        "dead": {"release": "1.1.0", "trial": False, "last_seen_s": 20.0},
        "trial": {"release": "1.1.0", "trial": True, "last_seen_s": 20.0},
        "behind": {"release": "1.0.0", "trial": False, "last_seen_s": 20.0},
    }
    powered_s = {"dark": math.inf, "well": 10.0, "dead": 25.0, "trial": 10.0}
    assert campaign.heard_on(rows, "1.1.0", powered_s) == ["well"]
    assert campaign.heard_on(rows, "1.0.0", powered_s) == ["behind"]


@pytest.mark.slow
def test_power_cuts_and_broken_links_brick_a_board_or_keep_it_from_the_release():
    told = {}
    found = asyncio.run(campaign.measure(campaign.Case(devices=3, cuts=3), told.__setitem__))
    assert (found["arrived"], found["bricked"], found["lost"]) == (3, 0, 0), found["kept"]
    assert found["power_cuts"] == 9
    assert found["installing"] > 0   # each other cut is meant to be
    assert found["breaks"] > 0
    assert told == {"born": 3, "updated": 3}
    assert found["by_delta"] > 0
    assert 0 < found["fetched_bytes"] < found["down_bytes"]
