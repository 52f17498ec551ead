"""The sampler: sensors that fail in every way, and samples that come late."""

import unittest

from node.app.sampler import RECOVER_MAX_GAP, Sampler, next_slot


class Sensors:
    def __init__(self, fault=None):
        self.fault = fault
        self.recovered = 0
        self.deaf = False

    def read(self):
        if self.fault:
            raise self.fault
        return [1, None]

    def recover(self):
        self.recovered += 1
        if self.deaf:
            raise OSError(110)


class TestSampler(unittest.TestCase):
    def test_failing_bus_gives_missing_readings_not_an_exception(self):
        for fault in (OSError(5), ValueError("crc"), ZeroDivisionError(), MemoryError()):
            self.assertEqual(Sampler(Sensors(fault), 2).take(), [None, None])

    def test_one_missing_channel_leaves_the_others(self):
        self.assertEqual(Sampler(Sensors(), 2).take(), [1, None])

    def test_row_of_the_wrong_length_is_no_row(self):
        self.assertEqual(Sampler(Sensors(), 3).take(), [None, None, None])

    def test_bus_is_recovered_at_growing_intervals_and_for_ever(self):
        sensors = Sensors(OSError(5))
        sampler = Sampler(sensors, 2)
        at = []
        for row in range(1, 2000):
            before = sensors.recovered
            sampler.take()
            if sensors.recovered > before:
                at.append(row)
        self.assertEqual(at[:5], [3, 6, 12, 24, 48])
        self.assertLessEqual(max(b - a for a, b in zip(at, at[1:])), RECOVER_MAX_GAP)  # noqa: B905, RUF007

    def test_recovery_that_fails_too_stops_nothing(self):
        sensors = Sensors(OSError(5))
        sensors.deaf = True
        sampler = Sampler(sensors, 2)
        for _ in range(20):
            self.assertEqual(sampler.take(), [None, None])

    def test_bus_that_answers_again_is_used_at_once(self):
        sensors = Sensors(OSError(5))
        sampler = Sampler(sensors, 2)
        for _ in range(10):
            sampler.take()
        sensors.fault = None
        self.assertEqual(sampler.take(), [1, None])
        self.assertEqual(sampler.failures, 0)


class TestGrid(unittest.TestCase):
    def test_late_sample_keeps_its_place_and_the_next_is_in_time(self):
        self.assertEqual(next_slot(1000, 1030, 100), (1100, 0))

    def test_places_that_went_by_are_skipped_not_made_up(self):
        self.assertEqual(next_slot(1000, 1350, 100), (1400, 3))


if __name__ == "__main__":
    unittest.main()
