"""Filters: spikes, noise, repetition, what cannot be, and samples that are missing."""

import json
import unittest

from node import config
from node.app.application import Group
from node.app.assembly import filters
from node.app.edge import Average, Calibration, Heartbeat, Plausible, Rate
from node.app.filters import Deadband, Ema, Median
from node.app.oversampling import Oversampling
from node.settings import Config


def channel(**keys):
    """A channel as the configuration makes it; resolution 0.01."""
    body = {"name": "temp", "resolution": "0.01"}
    body.update(keys)
    site = {"host": "h", "product": "p", "model": "m", "channels": [body]}
    return config.parse(json.dumps(site).encode(), Config()).channels[0]


class Rows:
    """What a group hands on."""

    def __init__(self):
        self.rows = []

    def add(self, due_ms, late_ms, row):
        self.rows.append(row[0])


def through(values, **keys):
    """What a channel reports of values, sample by sample."""
    group = Group(None, 0, (0,), 100, 0, [filters(channel(**keys), None, None)], 1)
    group.batcher = Rows()
    for value in values:
        group.take([value], 0)
    return group.batcher.rows


class TestFilters(unittest.TestCase):
    def test_one_spike_does_not_pass_the_median(self):
        median = Median(3)
        self.assertEqual([median.step(value) for value in (10, 11, 9999, 12, 13)], [10, 10, 11, 12, 13])

    def test_average_follows_a_slow_change_below_its_step(self):
        ema = Ema(10)
        values = [ema.step(0)] + [ema.step(1) for _ in range(40)]
        self.assertEqual((values[0], values[-1]), (0, 1))

    def test_average_starts_at_the_first_sample_not_at_zero(self):
        self.assertEqual(Ema(5).step(-4000), -4000)

    def test_deadband_reports_a_slow_drift_in_the_end(self):
        band = Deadband(5)
        self.assertEqual([band.step(value) for value in (100, 104, 96, 105, 109, 100)], [100, None, None, 105, None, 100])

    def test_missing_sample_is_never_replaced_by_the_last_value(self):
        self.assertEqual(through([10, None, 10], median=3, ema_pct=50), [10, None, 10])

    def test_no_filter_changes_nothing(self):
        self.assertEqual(through([5, -7, None, 2147483647]), [5, -7, None, 2147483647])

    def test_alarms_see_what_the_deadband_holds_back(self):
        group = Group(None, 0, (0,), 100, 0, [filters(channel(deadband=1, high=0.6), None, 1)], 1)
        group.batcher = Rows()
        self.assertEqual([group.take([value], 0) for value in (50, 60, 61)], [False, True, False])
        self.assertEqual(group.batcher.rows, [50, None, None])


class TestEdge(unittest.TestCase):
    def test_value_that_the_sensor_cannot_mean_is_missing(self):
        self.assertEqual([Plausible(-5, 5).step(value) for value in (-6, -5, 5, 6)], [None, -5, 5, None])
        self.assertEqual([Plausible(None, 5).step(value) for value in (-10**9, 6)], [-10**9, None])
        self.assertEqual([Plausible(-5, None).step(value) for value in (-6, 10**9)], [None, 10**9])

    def test_implausible_value_moves_no_later_filter(self):
        self.assertEqual(through([100, 85000, 100, 102], max=200, average=4), [100, None, 100, 101])

    def test_plausible_is_what_the_sensor_says_not_what_calibration_makes_of_it(self):
        self.assertEqual(through([9000, 11000], max=100, offset=50), [14000, None])

    def test_calibration_is_in_the_channels_unit(self):
        self.assertEqual(through([0, 1000, -1000], gain=1.1, offset=-0.5), [-50, 1050, -1150])
        self.assertEqual(through([0, 300, 1000], poly=[1, 2, 0.5, 0.1]), [100, 1420, 17100])

    def test_calibration_of_a_large_value_loses_no_steps(self):
        self.assertEqual(through([2000000001, 2000000003], gain=1, offset=0.01), [2000000002, 2000000004])

    def test_calibration_beyond_what_a_batch_holds_is_missing(self):
        self.assertEqual(through([2147483647, -2147483647, 5], gain=1, offset=1), [None, -2147483547, 105])
        for poly in ((0.0, 1e9, 1e9, 1e9), (float("inf"),), (float("nan"),)):
            self.assertIsNone(Calibration(poly, 0.01).step(2147483647))

    def test_glitch_is_missing_and_a_jump_that_stays_is_believed(self):
        rate = Rate(5)
        self.assertEqual([rate.step(value) for value in (10, 14, 99, 15, 99, 98, 101, 100)],
                         [10, 14, None, 15, None, None, 101, 100])

    def test_spikes_that_agree_with_nothing_are_never_believed(self):
        rate = Rate(5)
        self.assertEqual([rate.step(value) for value in (10, 99, -99, 99, -99, 99, 12)], [10] + [None] * 5 + [12])

    def test_average_forgets_exactly(self):
        average = Average(3)
        self.assertEqual([average.step(value) for value in (3, 6, 9, 2147483647, 12, 15, 18)],
                         [3, 5, 6, 715827887, 715827889, 715827891, 15])
        self.assertEqual([Average(2).step(-1), Average(1).step(-7)], [-1, -7])

    def test_filters_act_in_their_order(self):
        """99.99 is believed by the median and refused by the rate of change: the rate comes first."""
        self.assertEqual(through([100, 9999, 100, 9999, 104], rate=1, median=3, average=2, ema_pct=50), [100, None, 100, None, 100])

    def test_channel_inside_its_deadband_still_tells_that_it_lives(self):
        band = Heartbeat(10, 3)
        self.assertEqual([band.step(value) for value in (50, 51, 52, 53, 54, 70, 71, 72, 73)],
                         [50, None, None, 53, None, 70, None, None, 73])

    def test_first_value_after_a_silent_sensor_is_not_held_back(self):
        band = Heartbeat(10, 3)
        self.assertEqual([band.step(value) for value in (50, None, None, None, 51)], [50, None, None, None, 51])

    def test_heartbeat_is_in_seconds_whatever_the_period(self):
        self.assertEqual(through([5] * 5, deadband=1, heartbeat_s=4, period_ms=2000), [5, None, 5, None, 5])
        self.assertEqual(through([5] * 3, deadband=1, heartbeat_s=1, period_ms=2000), [5, 5, 5])


class Readings:
    """A sampler whose channels give a list of values, one for each time that they are asked."""

    def __init__(self, *columns):
        self.columns = [list(column) for column in columns]

    def lead_ms(self, places):
        return 750

    def start(self, places):
        self.started = places

    def take(self, places):
        return [self.columns[place].pop(0) for place in places]


class TestOversampling(unittest.TestCase):
    def test_one_bad_conversion_does_not_count(self):
        readings = Readings([10, 9999, 11], [5, 6], [7])
        sampler = Oversampling(readings, [3, 1, 1])
        self.assertEqual(sampler.take((0, 1)), [11, 5])
        self.assertEqual(readings.columns, [[], [6], [7]])

    def test_readings_that_failed_are_left_out(self):
        self.assertEqual(Oversampling(Readings([None, 4, None], [None] * 3), [3, 3]).take((1, 0)), [None, 4])

    def test_conversions_are_begun_as_without_it(self):
        readings = Readings()
        sampler = Oversampling(readings, [2])
        sampler.start((0,))
        self.assertEqual((sampler.lead_ms((0,)), readings.started), (750, (0,)))


if __name__ == "__main__":
    unittest.main()
