"""The sampler: sources that fail in every way, values that are too old, and samples that come late."""

import unittest

from node.app.sampler import BAD_AFTER, Sampler, next_slot, plan


class Source:
    def __init__(self, channels=(0, 1), lead_ms=0, fault=None):
        self.channels, self.lead_ms, self.fault = channels, lead_ms, fault
        self.deaf = False        # start() fails
        self.stuck = False       # recover() fails
        self.calls = []
        self.measured = 0        # the number of the measurement that read() gives

    def start(self):
        self.calls.append("start")
        if self.deaf:
            raise OSError(19)
        self.measured += 1

    def read(self):
        self.calls.append("read")
        if self.fault:
            raise self.fault
        return [10 * self.measured + channel for channel in self.channels]

    def recover(self):
        self.calls.append("recover")
        if self.stuck:
            raise OSError(110)


def sampled(sampler, places=(0, 1)):
    sampler.start(places)
    return sampler.take(places)


class TestFailures(unittest.TestCase):
    def test_failing_source_gives_missing_readings_not_an_exception(self):
        for fault in (OSError(5), ValueError("crc"), ZeroDivisionError(), MemoryError()):
            self.assertEqual(sampled(Sampler([Source(fault=fault)], 2)), [None, None])

    def test_source_that_fails_takes_others_with_it(self):
        sampler = Sampler([Source((1,), fault=OSError(5)), Source((0, 2), 10)], 3)
        for number in range(1, 40):
            self.assertEqual(sampled(sampler, (0, 1, 2)), [10 * number, None, 10 * number + 2])

    def test_row_of_the_wrong_length_is_no_row(self):
        source = Source()
        for row in ([1], [1, 2, 3], None, 5):
            source.read = lambda row=row: row
            self.assertEqual(sampled(Sampler([source], 2)), [None, None])

    def test_channel_without_a_source_is_missing_and_bad(self):
        sampler = Sampler([Source((1,))], 2)
        self.assertEqual((sampled(sampler), sampler.bad), ([None, 11], 1))

    def test_start_that_failed_is_followed_by_a_read_of_the_measurement_before(self):
        source = Source(lead_ms=10)
        sampler = Sampler([source], 2)
        self.assertEqual(sampled(sampler), [10, 11])
        source.deaf = True
        self.assertEqual(sampled(sampler), [None, None])
        self.assertEqual(source.calls, ["start", "read", "start"])

    def test_recoveries_follow_the_plan_and_go_on_for_ever(self):
        source = Source(fault=OSError(5))
        sampler = Sampler([source], 2)
        at = []
        for row in range(1, 100):
            source.calls = []
            sampled(sampler)
            if source.calls:
                at.append((row, "recover" in source.calls))
        self.assertEqual(at[:12], [(1, False), (2, False), (3, True), (4, False), (5, False), (6, True), (7, False), (8, True),
                                   (10, True), (14, True), (22, True), (38, True)])
        self.assertEqual([row for row, _ in at[12:]], [54, 70, 86])
        self.assertEqual((sum(recovered for _, recovered in at), sampler.bad), (10, 2))

    def test_plan_of_a_device_that_fails_for_years(self):
        self.assertEqual(plan(10_000_000), (15, True))

    def test_recovery_that_fails_too_stops_nothing(self):
        source = Source(fault=OSError(5))
        source.stuck = True
        sampler = Sampler([source], 2)
        for _ in range(20):
            self.assertEqual(sampled(sampler), [None, None])

    def test_bad_source_that_answers_again_is_well_at_once(self):
        source = Source(fault=OSError(5))
        sampler = Sampler([source], 2)
        for _ in range(BAD_AFTER):
            sampled(sampler)
        self.assertEqual(sampler.bad, 2)
        source.fault = None
        self.assertEqual(sampled(sampler), [None, None])   # let go by
        self.assertEqual(sampled(sampler), [90, 91])
        self.assertEqual(sampler.bad, 0)
        self.assertEqual(sampled(sampler), [100, 101])


class TestOldValues(unittest.TestCase):
    def test_value_whose_measurement_was_not_started_is_given(self):
        source = Source(lead_ms=10)
        sampler = Sampler([source], 2)
        self.assertEqual(sampler.take((0, 1)), [None, None])
        self.assertEqual(sampled(sampler), [10, 11])
        self.assertEqual(sampler.take((0, 1)), [None, None])   # given once
        self.assertEqual(source.calls, ["start", "read"])

    def test_measurement_that_nobody_took_is_given_to_the_next_sample(self):
        sampler = Sampler([Source(lead_ms=10)], 2)
        sampler.start((0, 1))
        self.assertEqual(sampled(sampler), [20, 21])

    def test_two_groups_of_one_chip_take_each_others_measurement(self):
        source = Source(lead_ms=10)
        sampler = Sampler([source], 2)
        sampler.start((0,))
        sampler.start((1,))   # the chip would refuse a second start while it measures
        self.assertEqual((sampler.take((0,)), sampler.take((1,))), ([10], [11]))
        self.assertEqual(source.calls, ["start", "read"])
        sampler.start((0,))
        self.assertEqual((sampler.take((1,)), sampler.take((0,))), ([None], [20]))

    def test_group_in_another_order(self):
        self.assertEqual(Sampler([Source((2, 0)), Source((1,))], 3).take((1, 2, 0)), [11, 12, 10])

    def test_only_what_takes_time_is_started_before(self):
        slow, slower, quick = Source((0,), 10), Source((1,), 80), Source((2,))
        sampler = Sampler([slow, slower, quick], 3)
        self.assertEqual([sampler.lead_ms(places) for places in ((0, 1, 2), (0, 2), (2,), ())], [80, 10, 0, 0])
        sampler.start((0, 2))
        self.assertEqual((slow.calls, slower.calls, quick.calls), (["start"], [], []))
        sampler.take((0, 2))
        self.assertEqual((slow.calls, slower.calls, quick.calls), (["start", "read"], [], ["start", "read"]))


class TestGrid(unittest.TestCase):
    def test_late_sample_keeps_its_place_and_the_next_is_in_time(self):
        self.assertEqual(next_slot(1000, 1030, 100), (1100, 0))

    def test_places_that_went_by_are_skipped_not_made_up(self):
        self.assertEqual(next_slot(1000, 1350, 100), (1400, 3))


if __name__ == "__main__":
    unittest.main()
