"""The device's clock: wraps, jumps and lying dates."""

import unittest

from node.agent.clock import DeviceClock
from node.agent.dates import http_date_s
from node.wire.batch import QUALITY_FLOOR, QUALITY_NONE, QUALITY_NTP, QUALITY_SERVER

WRAP = 1 << 30
NOW_MS = 1795237512780


class Ticks:
    def __init__(self, at=0):
        self.at = at

    def __call__(self):
        return self.at % WRAP


class TestTicks(unittest.TestCase):
    def test_ticks_go_on_when_the_ports_wrap(self):
        raw = Ticks(WRAP - 10)
        clock = DeviceClock(raw, WRAP)
        for _ in range(3):   # three wraps of 12.4 days
            for _ in range(4):
                raw.at += WRAP // 4
                clock.ticks_ms()
        self.assertEqual(clock.ticks_ms(), 3 * WRAP)

    def test_ticks_begin_at_zero_whatever_the_port_says(self):
        self.assertEqual(DeviceClock(Ticks(12345), WRAP).ticks_ms(), 0)


class TestTimeOfDay(unittest.TestCase):
    def setUp(self):
        self.raw = Ticks()
        self.clock = DeviceClock(self.raw, WRAP)

    def test_time_is_unknown_until_somebody_told_it(self):
        self.assertEqual((self.clock.unix_ms(), self.clock.epoch_ms, self.clock.quality), (0, 0, 0))

    def test_readings_before_the_clock_was_known_are_dated_too(self):
        self.raw.at = 60000
        self.assertTrue(self.clock.learn(NOW_MS, QUALITY_SERVER))
        self.assertEqual(self.clock.epoch_ms, NOW_MS - 60000)
        self.raw.at = 61000
        self.assertEqual(self.clock.unix_ms(), NOW_MS + 1000)

    def test_whole_seconds_of_a_server_do_not_move_the_epoch(self):
        self.clock.learn(NOW_MS, QUALITY_SERVER)
        self.assertFalse(self.clock.learn(NOW_MS + 999, QUALITY_SERVER))
        self.assertTrue(self.clock.learn(NOW_MS + 5000, QUALITY_SERVER))

    def test_worse_source_is_not_heard_after_a_better_one(self):
        self.clock.learn(NOW_MS, QUALITY_NTP)
        self.assertFalse(self.clock.learn(NOW_MS + 9000, QUALITY_SERVER))

    def test_year_2000_of_a_server_without_a_clock_is_refused(self):
        for wrong in (0, 946684800000, 7258118400000, -5):
            self.assertFalse(self.clock.learn(wrong, QUALITY_SERVER))

    def test_remembered_time_dates_no_reading(self):
        for quality in (QUALITY_NONE, QUALITY_FLOOR):
            self.assertFalse(self.clock.learn(NOW_MS, quality))
        clock = DeviceClock(self.raw, WRAP, floor_s=NOW_MS // 1000, seen_s=NOW_MS // 1000)
        self.assertEqual((clock.unix_ms(), clock.epoch_ms, clock.quality), (0, 0, QUALITY_NONE))


class TestLyingSources(unittest.TestCase):
    def setUp(self):
        self.told = []
        self.raw = Ticks()
        self.clock = DeviceClock(self.raw, WRAP, floor_s=NOW_MS // 1000, seen_s=NOW_MS // 1000 + 3600,
                                 told=lambda unix_ms, vouched: self.told.append((unix_ms, vouched)))

    def test_clock_is_turned_back_below_the_floor_by_nobody(self):
        for quality in (QUALITY_SERVER, QUALITY_NTP):
            self.assertFalse(self.clock.learn(NOW_MS - 1000, quality))
        self.assertEqual((self.clock.unix_ms(), self.clock.vouched, self.told), (0, False, []))

    def test_forged_ntp_cannot_go_back_to_before_what_a_server_once_said(self):
        self.assertFalse(self.clock.learn(NOW_MS + 3_599_000, QUALITY_NTP))
        self.assertTrue(self.clock.learn(NOW_MS + 3_600_000, QUALITY_NTP))

    def test_server_that_was_once_wrong_can_put_it_right(self):
        self.assertTrue(self.clock.learn(NOW_MS + 1000, QUALITY_SERVER))

    def test_forged_ntp_does_not_contradict_a_server(self):
        self.clock.learn(NOW_MS + 4_000_000, QUALITY_SERVER)
        for wrong_ms in (60_000, -60_000, 86_400_000):
            self.assertFalse(self.clock.learn(NOW_MS + 4_000_000 + wrong_ms, QUALITY_NTP))
        self.assertEqual(self.clock.unix_ms(), NOW_MS + 4_000_000)
        self.assertTrue(self.clock.learn(NOW_MS + 4_000_400, QUALITY_NTP))   # finer, and in agreement

    def test_server_corrects_a_forged_ntp(self):
        self.clock.learn(NOW_MS + 900_000_000_000, QUALITY_NTP)
        self.assertTrue(self.clock.learn(NOW_MS + 5_000_000, QUALITY_SERVER))
        self.assertEqual((self.clock.unix_ms(), self.clock.quality), (NOW_MS + 5_000_000, QUALITY_SERVER))

    def test_chips_clock_is_told_each_word_and_whether_a_server_stands_behind_it(self):
        self.clock.learn(NOW_MS + 4_000_000, QUALITY_NTP)
        self.raw.at = 5000
        self.clock.learn(NOW_MS + 4_004_300, QUALITY_SERVER)   # agrees: moves nothing
        self.assertEqual(self.told, [(NOW_MS + 4_000_000, False), (NOW_MS + 4_005_000, True)])


class TestHttpDate(unittest.TestCase):
    def test_date_of_the_rfc(self):
        self.assertEqual(http_date_s("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777)

    def test_leap_day_and_century(self):
        self.assertEqual(http_date_s("Thu, 29 Feb 2024 00:00:00 GMT"), 1709164800)
        self.assertEqual(http_date_s("Mon, 01 Mar 2100 00:00:00 GMT"), 4107542400)

    def test_nonsense_is_no_date(self):
        for text in ("", "now", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Foo 1994 08:49:37 GMT", "a b c d e GMT",
                     "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT"):
            self.assertEqual(http_date_s(text), 0)


if __name__ == "__main__":
    unittest.main()
