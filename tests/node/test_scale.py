"""Scales: rounding that loses nothing, and values that cannot be readings."""

import unittest

from node.app.picks import row
from node.app.scaling import ratio, scale_of
from node.errors import SensorError
from tests.node.common import code_of


class TestScale(unittest.TestCase):
    def test_decimals(self):
        for text, expected in (("0.01", (1, 100)), ("-40", (-40, 1)), ("1e-3", (1, 1000)), ("2.5E2", (250, 1)), (".5", (5, 10)),
                               ("-0.5", (-5, 10)), (7, (7, 1))):
            self.assertEqual(ratio(text), expected)
        for text in ("", "x", "1.2.3", "1e", "nan", "inf", "1e99", "--1"):
            with self.assertRaises(ValueError):
                ratio(text)

    def test_nearest_step_on_both_sides_of_zero(self):
        scale = scale_of("0.1", 100)   # hundredths to tenths
        self.assertEqual([scale.steps(value) for value in (2104, 2105, 2106, -2104, -2106, 0, None)],
                         [210, 211, 211, -210, -211, 0, None])

    def test_finer_steps_than_the_drivers(self):
        self.assertEqual(scale_of("0.0625", 16).steps(-401), -401)
        self.assertEqual(scale_of("0.001", 16).steps(401), 25063)   # 25.0625, up

    def test_gain_and_offset_of_a_transmitter(self):
        scale = scale_of("0.01", 1_000_000, "2.5", "-1.25")   # 0.5..4.5 V are 0..10 bar
        self.assertEqual([scale.steps(uv) for uv in (500_000, 2_500_000, 4_500_000)], [0, 500, 1000])

    def test_floats_of_a_register_are_exact(self):
        for value, steps in ((230.5, 2305), (-0.25, -2), (-0.375, -4), (0.0, 0), (1.5e6, 15_000_000)):
            self.assertEqual(scale_of("0.1").steps(value), steps)

    def test_what_no_reading_can_hold_is_refused(self):
        for value in (float("nan"), float("inf"), -float("inf"), 1e30, 3_000_000_000, -3_000_000_000):
            self.assertEqual(code_of(self, SensorError, scale_of("1").steps, value), "sensor.range")

    def test_limits_are_inside(self):
        scale = scale_of("0.1", 100, low="-30", high="60.5")
        self.assertEqual([scale.steps(value) for value in (-3000, 6050)], [-300, 605])
        for value in (-3010, 6060):
            self.assertEqual(code_of(self, SensorError, scale.steps, value), "sensor.range")

    def test_one_implausible_value_leaves_the_others_and_all_are_a_fault(self):
        picks = ((0, scale_of("1", high="10")), (2, scale_of("1", high="10")))
        self.assertEqual(row((5, 99, 6), picks), [5, 6])
        self.assertEqual(row((50, 99, 6), picks), [None, 6])
        self.assertEqual(row((None, 99, None), picks), [None, None])
        self.assertEqual(code_of(self, SensorError, row, (50, 5, 60), picks), "sensor.range")
        self.assertEqual(code_of(self, SensorError, row, (50, 5, None), picks), "sensor.range")

    def test_pulses_that_make_no_whole_step_are_lost(self):
        scale, rest, total = scale_of("1", 1, "0.3"), 0, 0
        for _ in range(10):
            steps, rest = scale.whole(1, rest)
            total += steps
        self.assertEqual((total, rest), (3, 0))


if __name__ == "__main__":
    unittest.main()
