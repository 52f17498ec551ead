"""A device's work in virtual time, beside what can be counted by hand."""

import json
from itertools import repeat

import pytest

from host.sim import workday
from host.sim.replay import ReplayError
from node.config import parse
from node.settings import Config

SITE = {"host": "h", "product": "hall", "model": "hall", "period_ms": 10_000, "batch_samples": 60, "uplink_s": 600,
        "channels": [{"name": "a", "resolution": "0.1"}, {"name": "b", "resolution": "0.01"}]}


def config(**changes):
    return parse(json.dumps({**SITE, **changes}).encode(), Config())


def test_records_a_day_are_counted_twice():
    day = workday.work(config(), workday.noise(config()))
    assert day.records_a_day == pytest.approx(144, rel=0.02)
    assert day.readings_a_day == pytest.approx(2 * 8640, rel=0.02)
    assert day.samples * 2 == day.readings


def test_uplink_that_cuts_batches_short_is_not_seen():
    often = config(uplink_s=60)
    assert workday.work(often, workday.noise(often)).records_a_day == pytest.approx(1440, rel=0.1)


@pytest.mark.parametrize("rows", [workday.noise, workday.incompressible])
def test_ring_is_erased_more_often_than_the_budget_says(rows):
    day = workday.work(config(), rows(config()))
    head, ack = 12, 20 / 16   # SPEC: of a record, and of an ack record for every 16
    filled = sum(-(-(size + head) // 4) * 4 + ack for size in day.records) / (4096 - 48)
    assert filled <= day.sectors <= filled * 1.3   # the last record of a sector may not fit any more


def test_slow_device_never_ends():
    slow = config(period_ms=3_600_000, batch_samples=240, uplink_s=86_400)
    day = workday.work(slow, workday.noise(slow))
    assert day.records_a_day == pytest.approx(1, rel=0.05)
    assert day.days > 100


def test_device_that_fills_no_sector_wears_nothing():
    day = workday.work(config(), repeat([None, None]))
    assert 0 < day.sectors_a_day < 5
    assert day.readings == 0


def test_alarm_limits_make_the_worst_case_better():
    bounded = config(channels=[{"name": "a", "resolution": "1", "high": 5, "low": -5, "deadband": 1000}])
    plain = workday.unfiltered(bounded)
    assert workday.work(plain, workday.incompressible(plain)).records_a_day == pytest.approx(144, rel=0.02)
    assert bounded.channels[0].high == 5


def test_columns_of_a_recording_are_taken_by_place_when_they_have_the_names(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("b,other,a\n" + "5.25,7,0.1\n3.25,7,0.3\n4.25,7,0.2\n")
    rows = workday.recorded(config(), path)
    assert [next(rows) for _ in range(4)] == [[1, 525], [3, 325], [2, 425], [1, 525]]


def test_recording_with_too_few_columns_is_stretched(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("a\n1\n2\n3\n")
    with pytest.raises(ReplayError, match=r"csv\.channels|1 numeric columns, expected 2"):
        workday.recorded(config(), path)
