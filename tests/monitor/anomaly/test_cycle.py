"""A machine's cycle: found when there is one and only then, and a fault in a part of it that its mean does not show."""

import numpy as np
import pytest

from host.clock import DAY_MS, HOUR_MS
from host.monitor.anomaly.period import period_of
from host.monitor.anomaly.scores import LEVEL, SHAPE, SPIKE
from host.monitor.anomaly.state import dump, load
from host.monitor.anomaly.watch import DeviceWatch
from tests.monitor.anomaly.made import QUICK, START_MS, run

STEP_MS = 2000
AT = START_MS + 20 * HOUR_MS


def cycles(hours, period_ms=60_000, seed=0, *, noise=0.3, step_ms=STEP_MS):
    """A press that holds 60 for a third of its cycle and 40 for the rest."""
    times = START_MS + np.arange(hours * HOUR_MS // step_ms, dtype=np.int64) * step_ms
    phase = (times - START_MS) % period_ms / period_ms
    return times, np.round(np.where(phase < 1 / 3, 60.0, 40.0) + np.random.default_rng(seed).normal(0, noise, len(times)), 2)


def faulty(times, values, from_ms, to_ms=1 << 62):
    """Three less in four seconds of each cycle, and three more in the next four: the mean is the same."""
    part = (times - START_MS) % 60_000
    off = np.where((part >= 40_000) & (part < 44_000), -3.0, np.where((part >= 44_000) & (part < 48_000), 3.0, 0.0))
    return values + np.where((times >= from_ms) & (times < to_ms), off, 0.0)


def shapes(found):
    return [one for one in found if one.kind == SHAPE]


@pytest.mark.parametrize("period_ms", [60_000, 47_300, 20_000])
def test_period_is_taken_for_another(period_ms):
    times, values = cycles(1, period_ms)
    assert period_of(times[:600], values[:600]).ms == pytest.approx(period_ms, rel=0.002)


@pytest.mark.parametrize("seed", range(8))
def test_noise_or_a_wandering_channel_has_a_cycle(seed):
    chance = np.random.default_rng(seed)
    times = START_MS + np.arange(1024, dtype=np.int64) * STEP_MS
    noise = chance.normal(0, 1, 1024)
    for values in (noise, noise.cumsum(), np.linspace(0, 5, 1024) + noise):
        assert period_of(times, values) is None


@pytest.mark.parametrize("values", [np.zeros(600), np.full(600, 1e300), np.arange(600.0)])
def test_flat_or_huge_channel_breaks_the_search(values):
    assert period_of(START_MS + np.arange(600, dtype=np.int64) * STEP_MS, values) is None


def test_day_is_taken_for_the_cycle_of_a_machine():
    """A thousand readings of two minutes hold one day and a half, no six of them."""
    times = START_MS + np.arange(1024, dtype=np.int64) * 120_000
    assert period_of(times, 20 + 4 * np.sin(2 * np.pi * times / DAY_MS)) is None


def test_fault_in_four_seconds_of_a_minute_is_lost_in_its_mean():
    times, values = cycles(24)
    found, watch = run({"press": (times, faulty(times, values, AT))})
    assert not {one.kind for one in found} & {LEVEL, SPIKE}
    assert watch.channels["press"].cycle.period_ms == 60_000
    first = shapes(found)[0]
    assert AT <= first.found_ms <= AT + 4 * 60_000
    assert first.since_ms == pytest.approx(AT, abs=60_000)
    assert abs(first.value - first.expected) == pytest.approx(3.0, abs=0.8)
    assert "into its cycle of 60 s" in first.says()
    assert "Cel" in first.says()


@pytest.mark.parametrize("seed", range(3))
def test_calm_cycle_is_a_finding(seed):
    found, _ = run({"press": cycles(30, seed=seed)})
    assert shapes(found) == []


def test_clock_of_the_machine_that_is_not_ours_makes_findings():
    """The cycle takes 60.05 s: after twenty minutes it begins a second later than at first."""
    found, watch = run({"press": cycles(30, 60_050)})
    assert shapes(found) == []
    assert watch.channels["press"].cycle.period_ms == pytest.approx(60_050, abs=100)


def test_pause_of_the_machine_s_reports_makes_findings():
    times, values = cycles(30)
    kept = (times < AT) | (times >= AT + 2 * HOUR_MS + 17_000)
    times = np.where(times < AT, times, times + 23_000)
    found, _ = run({"press": (times[kept], values[kept])})
    assert shapes(found) == []


def test_clock_set_back_leaves_the_cycle_waiting_for_weeks():
    times, values = cycles(3)
    watch = DeviceWatch("hall-1", QUICK)
    for moved in (times, times - 20 * DAY_MS):
        watch.take({"press": (moved, values)}, int(times[-1]))
    cycle = watch.channels["press"].cycle
    assert abs(cycle.start_ms - (int(times[-1]) - 20 * DAY_MS)) < 3 * 60_000


def test_shape_that_stays_is_wrong_for_ever():
    times, values = cycles(40)
    _, watch = run({"press": (times, faulty(times, values, AT))})
    assert shapes(watch.open()) == []


def test_restart_forgets_the_cycle():
    times, values = cycles(24)
    values = faulty(times, values, AT)
    before = times < AT
    _, watch = run({"press": (times[before], values[before])})
    found, _ = run({"press": (times[~before], values[~before])}, watch=load(dump(watch), QUICK))
    assert len(shapes(found)) == 1


def test_fault_hides_the_next_one():
    """A long fault must not become what the limit is set by: the same fault is found again when it comes back."""
    times, values = cycles(40)
    for start in (20, 28):
        values = faulty(times, values, START_MS + start * HOUR_MS, START_MS + (start + 3) * HOUR_MS)
    found, watch = run({"press": (times, values)})
    begun = sorted(one.since_ms for one in shapes(found))
    assert [round((one - START_MS) / HOUR_MS) for one in begun] == [20, 28]
    assert shapes(watch.open()) == []
