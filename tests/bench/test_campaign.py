"""A fleet that loses power and links while it is updated must arrive whole; at full size it is `tenfold bench campaign`."""

import asyncio

import pytest

from host.bench import campaign


@pytest.mark.slow
def test_power_cuts_and_broken_links_brick_a_board_or_keep_it_from_the_release():
    told = {}
    found = asyncio.run(campaign.measure(campaign.Case(devices=3, cuts=2), told.__setitem__))
    assert (found["arrived"], found["bricked"], found["lost"]) == (3, 0, 0), found["kept"]
    assert found["power_cuts"] == 6
    assert found["breaks"] > 0
    assert told == {"born": 3, "updated": 3}
    assert found["down_bytes"] > found["artifact_bytes"]
