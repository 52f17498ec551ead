"""Promises 4 and 5: power cut at every flash operation of an update; a whole release boots, and the update can be repeated.

A failure begins with its case, for example `misled:201:garbage:33:skipped`; `python -m tests.power.update_runs` replays it.
"""

import random
from pathlib import Path

import pytest

from host.sim.flash import SECTOR_BYTES, TEARS, NorFlash, PowerCut
from tests.power import update_runs
from tests.sim.journal import ERASE, Journal

SCENARIOS = ["first", "second", "rollback", "delta", "delta_second", "misled",
             "image", "image_second", "image_rollback", "image_delta", "image_misled"]


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return update_runs.make_releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="session")
def deltas(releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return update_runs.make_deltas(releases, tmp_path_factory.mktemp("deltas"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_power_cut_mixes_releases_or_stops_the_update(scenario: str, releases: Path, deltas: Path) -> None:
    found = update_runs.run(releases, deltas, scenario, 29, 3, 1)
    assert found["failures"] == []
    assert found["runs"]
    assert found["again"]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_power_cut_at_any_operation_in_any_way_nor_a_second_one_during_recovery(
        scenario: str, releases: Path, deltas: Path) -> None:
    found = update_runs.run(releases, deltas, scenario, 1, 0, 1)
    assert found["failures"] == []
    assert found["runs"] == found["ops"] * len(TEARS)
    assert found["again"] > found["runs"] * 0.9   # after the very last cuts nothing is left to recover


@pytest.mark.parametrize("tear", TEARS)
def test_cut_made_afterwards_leaves_what_a_cut_at_that_moment_leaves(tear: str) -> None:
    def work(flash: NorFlash, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(30):
            block = chance.randrange(4)
            if chance.random() < 0.3:
                flash.ioctl(ERASE, block)
            else:
                flash.writeblocks(block, chance.randbytes(chance.randrange(1, 300)), chance.randrange(SECTOR_BYTES - 300))

    journal = Journal(b"\xff" * 4 * SECTOR_BYTES, lambda: journal.ops)
    work(journal, 1)
    for op in range(1, 31):
        flash = NorFlash(4)
        flash.cut_power_at(op, tear)
        with pytest.raises(PowerCut):
            work(flash, 1)
        assert journal.cut(op, tear) == (flash.image, op - 1)
    with pytest.raises(ValueError, match="got operation 31, expected at most 30"):
        journal.cut(31, tear)
