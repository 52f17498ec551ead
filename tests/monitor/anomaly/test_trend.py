"""When a limit is reached: intervals that hold the truth, and the answers that are none."""

import numpy as np
import pytest

from host.bench.anomaly_wear import CONFIDENCE, on_lines
from host.clock import DAY_MS, HOUR_MS
from host.monitor.anomaly.trend import NO_TREND, NOT_IN_SIGHT, REACHED, REACHES, UNKNOWN, blocks_of, forecast, line

NOW = 1_700_000_000_000


def straight(slope=0.5, days=30, *, level=70.0, spread=0.3, seed=0):
    """An hourly channel with a day, which is at `level` now and moves by `slope` a day."""
    at = np.arange(-days * 24, 0) / 24.0
    noise = np.random.default_rng(seed).normal(0, spread, len(at))
    return NOW + (at * DAY_MS).astype(np.int64), level + slope * at + 2 * np.sin(2 * np.pi * at) + noise


def test_wear_is_foretold_for_another_time():
    told = forecast(*straight(), 75.0, NOW)
    assert told.answer == REACHES
    days = [(one - NOW) / DAY_MS for one in (told.from_ms, told.middle_ms, told.to_ms)]
    assert days[0] <= 10.0 <= days[2]
    assert days[2] - days[0] < 3
    assert told.slope_per_day == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_interval_holds_the_truth_less_often_than_it_says(rho):
    """60 forecasts; that so few hold it has a chance below 1 in 500 when the interval is as sure as it says (binomial)."""
    told = on_lines(rho, 5, lines=60)
    assert told["foretold"] >= 40
    assert told["held"] / told["foretold"] > CONFIDENCE - 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / told["foretold"])


def test_wear_that_speeds_up_is_foretold_too_late():
    times, _ = straight()
    days = (times - NOW) / DAY_MS
    noise = np.random.default_rng(2).normal(0, 0.3, len(times))
    told = forecast(times, 70.0 + 1.0 * days + 0.015 * days ** 2 + noise, 83.0, NOW)
    truth = NOW + (np.sqrt(1 + 4 * 0.015 * 13) - 1) / (2 * 0.015) * DAY_MS
    assert told.bends
    assert told.from_ms <= truth <= told.to_ms


def test_warming_that_settles_below_the_limit_is_given_a_last_day():
    times, _ = straight()
    days = (times - NOW) / DAY_MS
    told = forecast(times, 75.0 - 5.0 * np.exp(-(days + 30) / 15) + np.random.default_rng(2).normal(0, 0.1, len(times)), 76.0, NOW)
    assert told.bends
    assert (told.answer, told.to_ms) == (REACHES, None)


def test_noise_is_taken_for_a_trend():
    """At 90 % one in 20 reaches to each side: of 40, more than 8 upwards come once in a thousand times."""
    told = [forecast(*straight(0.0, seed=seed), 75.0, NOW).answer for seed in range(40)]
    assert told.count(NO_TREND) >= 32


def test_trend_away_from_the_limit_is_an_alarm():
    assert forecast(*straight(-0.5), 90.0, NOW).answer == NO_TREND
    assert forecast(*straight(-0.5), 65.0, NOW).answer == REACHES


def test_far_limit_is_given_a_date():
    told = forecast(*straight(0.05, spread=0.05), 700.0, NOW)
    assert told.answer == NOT_IN_SIGHT


def test_limit_that_is_passed_is_given_a_date():
    assert forecast(*straight(-0.5), 75.0, NOW).answer == REACHED
    assert forecast(*straight(level=80.0), 75.0, NOW).answer == REACHED


def test_outliers_bend_the_line():
    times, values = straight()
    values[::50] += 500.0
    told = forecast(times, values, 75.0, NOW)
    assert told.slope_per_day == pytest.approx(0.5, abs=0.3)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_too_little_is_known(count):
    times = NOW + np.arange(count, dtype=np.int64) * HOUR_MS
    assert forecast(times, np.arange(count, dtype=float), 75.0, NOW).answer == UNKNOWN


def test_bad_values_break_the_line():
    times, values = straight()
    values[::3] = np.nan
    values[1::7] = np.inf
    assert forecast(times, values, 75.0, NOW).answer == REACHES
    assert forecast(times, np.full(len(times), np.nan), 75.0, NOW).answer == UNKNOWN


def test_constant_channel_has_a_trend():
    times, _ = straight()
    assert forecast(times, np.full(len(times), 70.0), 75.0, NOW).answer == NO_TREND


def test_day_and_night_are_a_trend():
    at, means = blocks_of(*straight(0.0, days=20, spread=0.0))
    assert len(at) == 20
    assert np.ptp(means) < 0.01


def test_line_is_not_theil_and_sens():
    slope, level = line(np.array([-3.0, -2.0, -1.0, 0.0]), np.array([[1.0, 3.0, 5.0, 100.0]]))
    assert slope[0] == pytest.approx(np.median([2, 2, 2, 33, 48.5, 95]))
    assert level[0] == pytest.approx(np.median(np.array([1, 3, 5, 100]) - slope[0] * np.array([-3, -2, -1, 0])))
