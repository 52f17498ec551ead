"""Ten thousand devices after an outage are a slope: the herd of `tenfold bench herd`, small."""

import json
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from host.bench import herd
from host.cli.root import app
from ota.rules import shed

RATE = 100.0   # also for fewer devices: their period is shorter, the noise of a second the same
DEVICES = 2_000
NAMES = [f"hall-{number:012x}" for number in range(DEVICES)]
PERIOD_S = shed.period(1, DEVICES, RATE)
TARGET = 1.2


@pytest.mark.parametrize("outage_s", herd.OUTAGES_S)
def test_connections_after_an_outage_are_no_wall(outage_s):
    found = herd.broker(NAMES, RATE, PERIOD_S, 12 * PERIOD_S, outage_s, 3)
    assert found["peak_over_rate"] <= TARGET
    assert sum(found["arrivals"]) == DEVICES


@pytest.mark.parametrize("outage_s", herd.OUTAGES_S)
def test_check_ins_after_an_outage_are_no_wall(outage_s):
    found = herd.checkins(NAMES, RATE, PERIOD_S, outage_s, 3)
    assert found["peak_over_rate"] <= TARGET
    assert found["seconds"] <= 1.2 * PERIOD_S + herd.BOOT_S


def test_fleet_that_outgrew_its_period_is_let_in_at_the_rate_and_slowed_down():
    """Three times as many devices as the period was made for; the server has nothing but Retry-After and the period."""
    crowd = herd.Herd(NAMES, RATE, PERIOD_S // 3, 0, 5, told_s=PERIOD_S)
    crowd.run()
    assert min(crowd.served_ms) >= 0
    for first, then in pairwise(crowd.let_in):
        assert first + then <= 3 * RATE + 2   # a second's burst, and two seconds
    assert max(crowd.served_ms) / 1000 < 3 * PERIOD_S
    assert max(crowd.world.arrivals[-PERIOD_S:]) <= TARGET * RATE


def test_same_seed_gives_the_same_herd():
    assert herd.checkins(NAMES[:200], 10, 25, 60, 7) == herd.checkins(NAMES[:200], 10, 25, 60, 7)
    assert herd.broker(NAMES[:200], 10, 25, 300, 60, 7) != herd.broker(NAMES[:200], 10, 25, 300, 60, 8)


def test_command_prints_tables_and_json():
    result = CliRunner().invoke(app, ["bench", "herd", "--devices", "200", "--rate", "20", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert [one["outage_s"] for one in report["checkins"]] == list(herd.OUTAGES_S)
    shown = CliRunner().invoke(app, ["bench", "herd", "--devices", "200", "--rate", "20"]).output
    assert "away 1800 s" in shown
    assert "▁" in shown or "▃" in shown
