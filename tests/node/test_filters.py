"""Filters: spikes, noise, repetition, and samples that are missing."""

import unittest

from node.app.filters import Chain, Deadband, Ema, Median


class Channel:
    median, ema_pct, deadband, high, low, hysteresis = 1, 100, 0, None, None, 0

    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)


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
        chain = Chain(Channel(median=3, ema_pct=50))
        self.assertEqual(chain.step(10), 10)
        self.assertIsNone(chain.step(None))
        self.assertIsNone(chain.smooth)
        self.assertEqual(chain.step(10), 10)

    def test_no_filter_changes_nothing(self):
        chain = Chain(Channel())
        self.assertEqual([chain.step(value) for value in (5, -7, None, 2147483647)], [5, -7, None, 2147483647])

    def test_alarms_see_what_the_deadband_holds_back(self):
        chain = Chain(Channel(deadband=100))
        chain.step(50)
        self.assertIsNone(chain.step(60))
        self.assertEqual(chain.smooth, 60)


if __name__ == "__main__":
    unittest.main()
