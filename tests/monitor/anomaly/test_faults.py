"""Each kind of fault, in a channel that is calm otherwise: found, named, measured and placed in time."""

import numpy as np
import pytest

from host.clock import HOUR_MS
from host.monitor.anomaly.findings import ALL
from host.monitor.anomaly.scores import DRIFT, GAP, LEVEL, SPIKE, STUCK
from host.monitor.anomaly.watch import FleetWatch
from host.monitor.sample import Sample
from tests.monitor.anomaly.made import QUICK, SLOT_MS, START_MS, noisy, run

AT = START_MS + 20 * HOUR_MS
HOURS = 26


def only(found, kind):
    return [one for one in found if one.kind == kind]


def test_jump_of_the_level_is_not_noticed_or_not_measured():
    times, values = noisy(HOURS)
    found, _ = run({"oil": (times, values + np.where(times >= AT, 6.0, 0.0))})
    first = only(found, LEVEL)[0]
    assert first.since_ms == pytest.approx(AT, abs=2 * SLOT_MS)
    assert first.found_ms <= AT + 3 * SLOT_MS
    assert (first.channel, first.unit, first.held) == ("oil", "Cel", False)
    assert first.value - first.expected == pytest.approx(6.0, abs=2.0)
    assert first.sigmas > QUICK.budget_per_week * 4
    assert "above" in first.says()
    assert "Cel" in first.says()


def test_fall_is_told_as_a_rise():
    times, values = noisy(HOURS)
    found, _ = run({"oil": (times, values - np.where(times >= AT, 6.0, 0.0))})
    first = only(found, LEVEL)[0]
    assert first.sigmas < 0
    assert "below" in first.says()


def test_slow_drift_below_every_single_limit_goes_on_unseen():
    times, values = noisy(HOURS)
    found, _ = run({"oil": (times, values + np.clip((times - AT) / HOUR_MS, 0, 2) * 0.6)})
    drift = only(found, DRIFT)
    assert drift
    assert AT < drift[0].found_ms < AT + 4 * HOUR_MS
    assert drift[0].value > drift[0].expected


def test_spike_of_one_reading_in_a_slot_of_many_is_averaged_away():
    times = START_MS + np.arange(HOURS * 3600 // 5, dtype=np.int64) * 5000
    values = np.random.default_rng(3).normal(50, 0.5, len(times)).round(2)
    values[np.searchsorted(times, AT)] += 9.0
    found, _ = run({"oil": (times, values)})
    assert [(one.kind, one.since_ms) for one in found] == [(SPIKE, AT)]
    assert found[0].value == pytest.approx(59, abs=2)
    assert found[0].until_ms is not None


def test_spike_of_one_slot_is_taken_for_a_level():
    times, values = noisy(HOURS)
    values[np.searchsorted(times, AT)] -= 8.0
    found, _ = run({"oil": (times, values)})
    assert [(one.kind, one.since_ms, one.sigmas < 0) for one in found] == [(SPIKE, AT, True)]


def test_stuck_sensor_reads_on_unseen():
    times, values = noisy(HOURS)
    held = (times >= AT) & (times < AT + 3 * HOUR_MS)
    found, _ = run({"oil": (times, np.where(held, values[np.argmax(held)], values))})
    stuck = only(found, STUCK)
    assert len(stuck) == 1
    assert stuck[0].since_ms == pytest.approx(AT, abs=SLOT_MS)
    assert stuck[0].value == pytest.approx(3 * 3600, rel=0.05)
    assert stuck[0].until_ms is not None
    assert stuck[0].says().startswith("no change for 3 h")


def test_channel_that_falls_silent_beside_others_is_not_told():
    times, values = noisy(HOURS)
    keep = (times < AT) | (times >= AT + 2 * HOUR_MS)
    readings = {f"c{number}": noisy(HOURS, number) for number in range(4)}
    found, _ = run(readings | {"oil": (times[keep], values[keep])})
    assert [(one.channel, one.kind) for one in found] == [("oil", GAP)]
    assert found[0].since_ms == pytest.approx(AT, abs=SLOT_MS)
    assert found[0].until_ms is not None


def test_silent_device_is_a_finding_for_each_of_its_channels():
    readings = {}
    for number in range(4):
        times, values = noisy(HOURS, number)
        keep = (times < AT) | (times >= AT + 2 * HOUR_MS)
        readings[f"c{number}"] = (times[keep], values[keep])
    found, watch = run(readings)
    assert [(one.channel, one.kind) for one in found] == [(ALL, GAP)]
    assert watch.open() == []


def test_device_that_never_comes_back_is_forgotten():
    _, watch = run({"oil": noisy(20)}, until_ms=START_MS + 30 * HOUR_MS)
    assert [(one.channel, one.kind) for one in watch.open()] == [(ALL, GAP)]
    assert watch.open()[0].value == pytest.approx(11 * 3600, rel=0.02)


def test_metric_of_a_device_is_not_judged_as_a_channel_is():
    fleet = FleetWatch(QUICK)
    times, values = noisy(22)
    for at, value in zip(times.tolist(), (values - np.where(times >= AT, 20, 0)).tolist(), strict=True):
        fleet.take_samples([Sample("tenfold_heap_free_bytes", {"device": "hall-1"}, value), Sample("tenfold_devices", {}, 1.0)], at)
    told = fleet.samples()
    assert [(one.metric, one.labels) for one in told] == [
        ("tenfold_anomaly_score", {"device": "hall-1", "channel": "tenfold_heap_free_bytes"})]
    assert told[0].value > 1
