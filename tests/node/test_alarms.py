"""Alarms: one for one event, whatever the noise at the limit."""

import unittest

from node.app.alarms import HIGH, LOW, NORMAL, Alarm
from node.app.edge import DelayedAlarm


class Channel:
    high, low, hysteresis = 100, 0, 5

    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)


def states(alarm, *values):
    seen = []
    for value in values:
        before = alarm.state
        changed = alarm.step(value)
        if changed != (alarm.state != before):
            raise AssertionError("it says something else than it does")
        seen.append(alarm.state)
    return seen


class TestAlarms(unittest.TestCase):
    def test_noise_at_the_limit_makes_one_alarm(self):
        self.assertEqual(states(Alarm(Channel()), 99, 100, 99, 101, 96, 95, 99), [NORMAL, HIGH, HIGH, HIGH, HIGH, NORMAL, NORMAL])
        self.assertEqual(states(Alarm(Channel()), 1, 0, 1, 4, 5), [NORMAL, LOW, LOW, LOW, NORMAL])

    def test_alarm_without_hysteresis_ends_below_its_limit_only(self):
        self.assertEqual(states(Alarm(Channel(low=None, hysteresis=0)), 100, 100, 99), [HIGH, HIGH, NORMAL])

    def test_jump_across_the_range_changes_the_alarm_directly(self):
        self.assertEqual(states(Alarm(Channel()), 150, -20, 150), [HIGH, LOW, HIGH])

    def test_missing_sample_ends_no_alarm(self):
        alarm = Alarm(Channel())
        self.assertTrue(alarm.step(120))
        self.assertFalse(alarm.step(None))
        self.assertEqual(alarm.state, HIGH)

    def test_channel_without_limits_never_alarms(self):
        self.assertEqual(states(Alarm(Channel(high=None, low=None)), 10**9, -10**9), [NORMAL, NORMAL])


class TestDelay(unittest.TestCase):
    def alarm(self, **values):
        return DelayedAlarm(Channel(delay=3, **values))

    def test_glitch_shorter_than_the_delay_is_no_alarm(self):
        self.assertEqual(states(self.alarm(), 120, 120, 50, 120, 120, 50), [NORMAL] * 6)

    def test_alarm_begins_and_ends_after_as_many_samples(self):
        self.assertEqual(states(self.alarm(), 120, 120, 120, 50, 50, 120, 50, 50, 50),
                         [NORMAL, NORMAL, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, NORMAL])

    def test_alternating_sides_are_not_the_same_alarm(self):
        self.assertEqual(states(self.alarm(), 120, -5, 120, -5, -5, -5), [NORMAL] * 5 + [LOW])

    def test_missing_sample_neither_counts_nor_starts_over(self):
        self.assertEqual(states(self.alarm(), 120, None, 120, None, 120), [NORMAL] * 4 + [HIGH])

    def test_hysteresis_holds_during_the_delay(self):
        self.assertEqual(states(self.alarm(), 120, 120, 120, 97, 97, 97, 95, 95, 95), [NORMAL, NORMAL] + [HIGH] * 6 + [NORMAL])


if __name__ == "__main__":
    unittest.main()
