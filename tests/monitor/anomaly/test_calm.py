"""What is no fault: no alarm beyond the budget, no crash on bad input, and nothing lost by a restart."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.bench.anomaly_wear import LEARN_DAYS, START_MS, clean, found_in
from host.clock import DAY_MS, HOUR_MS, WEEK_MS
from host.monitor.anomaly.limiter import Limiter, span
from host.monitor.anomaly.peaks import Peaks, threshold
from host.monitor.anomaly.scores import LEVEL
from host.monitor.anomaly.state import StateError, dump, load
from host.monitor.anomaly.tuning import Tuning
from host.monitor.anomaly.watch import MOST_CHANNELS, DeviceWatch, FleetWatch
from tests.monitor.anomaly.made import QUICK, SLOT_MS, noisy, run
from tests.monitor.anomaly.made import START_MS as QUICK_START_MS

HOURLY = Tuning(slot_ms=HOUR_MS)


def test_clean_season_raises_more_alarms_than_the_budget():
    """20 device-weeks at a budget of 1: with a true rate at the budget, 33 or more come once in 200 such tests (Poisson)."""
    false = 0
    for seed in range(10):
        found = found_in(*clean(np.random.default_rng(seed), LEARN_DAYS + 14, HOUR_MS), HOURLY)
        false += sum(at >= START_MS + LEARN_DAYS * DAY_MS for at, _, _ in found)
    assert false < 33


def test_threshold_is_exceeded_more_often_than_it_says():
    """Gumbel's own draws, 28 blocks each: on average no more blocks exceed the limit than were asked, within 4 standard errors."""
    chance, asked, tries = np.random.default_rng(1), 0.01, 400
    share = np.mean([1 - math.exp(-math.exp(-threshold(chance.gumbel(0, 1, 28).tolist(), asked))) for _ in range(tries)])
    assert share < asked + 4 * math.sqrt(asked * (1 - asked) / tries)
    assert threshold([1.0, 2.0, 3.0], 0.5) >= 3.0
    assert threshold([5.0] * 10, 1e-6) == 5.0


def test_peaks_forget_nothing_or_grow_for_ever():
    peaks = Peaks()
    for block in range(10):
        peaks.step(block, float(block), 4)
        peaks.step(block, 0.5, 4)
    assert peaks.highs == [5.0, 6.0, 7.0, 8.0]


@given(st.lists(st.integers(0, 60 * 24), max_size=80), st.sampled_from([0.3, 0.5, 1.0, 1.5, 2.5, 7.0]), st.booleans())
def test_device_tells_more_incidents_in_some_week_than_its_budget(hours, budget, in_order):
    """Findings at any times, a little out of order too: no sliding span holds more incidents than the budget has for it."""
    tuning, limiter = Tuning(budget_per_week=budget), Limiter()
    told = [hour * HOUR_MS for hour in (sorted(hours) if in_order else hours) if limiter.admit(hour * HOUR_MS, tuning)]
    begun: list[int] = []
    for at in sorted(told):
        if not begun or at - begun[-1] > tuning.quiet_ms:
            begun.append(at)
    most, over_ms = span(tuning)
    if in_order:
        assert all(last - first >= over_ms for first, last in zip(begun, begun[most:], strict=False))
        assert not any(sum(first <= at < first + WEEK_MS for at in begun) > math.ceil(budget) for first in begun)
    assert not any(last - first < over_ms for first, last in zip(limiter.begun_ms, limiter.begun_ms[most:], strict=False))


def test_finding_that_goes_on_lets_all_others_pass_the_budget():
    """A stuck sensor that nobody mends for a month, and a new finding on another channel each day."""
    limiter = Limiter()
    assert [day for day in range(28) if limiter.admit(day * DAY_MS, Tuning())] == [0, 7, 14, 21]


def test_finding_that_comes_and_goes_is_told_each_time():
    times, values = noisy(40)
    flapping = (times >= QUICK_START_MS + 20 * HOUR_MS) & ((times // HOUR_MS) % 3 == 0)
    tuning = replace(QUICK, quiet_ms=4 * HOUR_MS)
    watch, begun = DeviceWatch("hall-1", tuning), []
    for at in range(QUICK_START_MS, int(times[-1]) + 1, SLOT_MS):
        use = (times >= at) & (times < at + SLOT_MS)
        for one in watch.take({"oil": (times[use], (values + np.where(flapping, 8.0, 0.0))[use])}, at + SLOT_MS):
            if one.kind == LEVEL and one.last_ms == (one.again_ms or one.found_ms) and one.until_ms is None:
                begun.append(one.held)
    assert len(begun) >= 4
    assert begun.count(False) <= 2   # the first, and again within its incident


def test_fleet_s_devices_take_from_each_other_s_budget():
    fleet = FleetWatch(Tuning())
    one, other = fleet.of("hall-1"), fleet.of("hall-2")
    assert one.limiter.admit(0, Tuning())
    assert not one.limiter.admit(DAY_MS, Tuning())
    assert other.limiter.admit(DAY_MS, Tuning())


def test_findings_of_one_incident_cost_an_alarm_each():
    limiter = Limiter()
    assert all(limiter.admit(minute * 60_000, Tuning()) for minute in range(0, 300, 10))
    assert (limiter.left(300 * 60_000, Tuning()), limiter.left(8 * DAY_MS, Tuning())) == (0, 1)


def test_held_finding_stays_held_when_the_budget_has_room_again():
    limiter = Limiter([0])
    assert not limiter.admit(WEEK_MS - 1, Tuning())
    assert limiter.admit(WEEK_MS, Tuning())


def test_device_finds_before_it_has_learnt():
    times, values = noisy(11)
    values[300:] += 40
    found, watch = run({"oil": (times, values)})
    assert found == []
    learnt, needed = watch.channels["oil"].warm(QUICK)
    assert 0 < learnt < needed
    assert not watch.is_warm()


def test_restart_forgets_or_doubles_findings():
    times, values = noisy(26)
    values = values + np.where(times >= QUICK_START_MS + 20 * HOUR_MS, 6.0, 0.0)
    whole, _ = run({"oil": (times, values)})
    cut = times < QUICK_START_MS + 21 * HOUR_MS
    first, watch = run({"oil": (times[cut], values[cut])})
    again = load(dump(watch), QUICK)
    assert dump(again) == dump(watch)
    rest, _ = run({"oil": (times[~cut], values[~cut])}, watch=again)
    seen = {(one.kind, one.since_ms): one for one in [*first, *rest]}
    assert seen == {(one.kind, one.since_ms): one for one in whole}


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"version": 2}', '{"version": 1, "slot_ms": 1}'])
def test_damaged_state_is_gone_on_from(text):
    with pytest.raises(StateError, match="state"):
        load(text, QUICK)


def test_state_of_other_lengths_of_time_is_gone_on_from():
    _, watch = run({"oil": noisy(2)})
    with pytest.raises(StateError, match="slot_ms 60000, expected 300000"):
        load(dump(watch), Tuning())


@pytest.mark.parametrize("values", [
    [float("nan")] * 5, [math.inf, -math.inf, 1.0, 1.0, 1.0], [1.0], [1e308, -1e308, 1e308, 0.0, 0.0], [0.0] * 5,
])
def test_bad_values_stop_the_detectors(values):
    watch = DeviceWatch("hall-1", QUICK)
    times = QUICK_START_MS + np.arange(len(values), dtype=np.int64) * SLOT_MS
    for turn in range(60):
        at = times + turn * len(values) * SLOT_MS
        assert watch.take({"oil": (at, np.array(values))}, int(at[-1])) == []
    load(dump(watch), QUICK)


def test_constant_channel_is_called_stuck():
    times, values = noisy(30, spread=0.0)
    found, _ = run({"oil": (times, values)})
    assert found == []


def test_readings_of_the_future_and_of_the_past_are_taken():
    times, values = noisy(3)
    watch = DeviceWatch("hall-1", QUICK)
    now_ms = int(times[-1])
    watch.take({"oil": (times, values)}, now_ms)
    watch.take({"oil": (times + 10 * DAY_MS, values)}, now_ms)
    watch.take({"oil": (times, values)}, now_ms)
    channel = watch.channels["oil"]
    assert channel.folder.last_ms == now_ms
    assert channel.folder.refused == 2 * len(times)


def test_clock_that_was_set_back_makes_the_device_mute():
    times, values = noisy(3)
    watch = DeviceWatch("hall-1", QUICK)
    watch.take({"oil": (times, values)}, int(times[-1]))
    earlier = times - 20 * DAY_MS
    watch.take({"oil": (earlier, values)}, int(times[-1]))
    assert watch.channels["oil"].folder.last_ms == int(earlier[-1])
    assert watch.channels["oil"].folder.refused == 0


def test_empty_reading_or_unknown_device_is_a_fault():
    watch = DeviceWatch("hall-1", QUICK)
    none = np.empty(0, np.int64), np.empty(0)
    assert watch.take({"oil": none}, 0) == []
    assert watch.tick(QUICK_START_MS) == []
    assert watch.samples() == []


def test_device_that_makes_up_channels_fills_the_memory():
    watch = DeviceWatch("hall-1", QUICK)
    one = np.array([QUICK_START_MS]), np.array([1.0])
    watch.take({f"c{number}": one for number in range(MOST_CHANNELS + 7)}, QUICK_START_MS)
    assert (len(watch.channels), watch.refused) == (MOST_CHANNELS, 7)


def test_level_that_stays_is_wrong_for_ever():
    times, values = noisy(40)
    values = values + np.where(times >= QUICK_START_MS + 20 * HOUR_MS, 6.0, 0.0)
    found, watch = run({"oil": (times, values)})
    assert [one.kind for one in watch.open()] == []
    level = next(one for one in found if one.kind == LEVEL)
    assert level.until_ms is not None
    assert level.until_ms - level.since_ms == pytest.approx(QUICK.relearn_ms, rel=0.5)
