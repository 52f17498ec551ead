"""Alarms: one for one event, whatever the noise at the limit."""

import unittest

from node.app.alarms import HIGH, LOW, NORMAL, Alarm, next_state


class Channel:
    high, low, hysteresis = 100, 0, 5


class TestAlarms(unittest.TestCase):
    def states(self, *values):
        state, seen = NORMAL, []
        for value in values:
            state = next_state(state, value, 100, 0, 5)
            seen.append(state)
        return seen

    def test_noise_at_the_limit_makes_one_alarm(self):
        self.assertEqual(self.states(99, 100, 99, 101, 96, 95, 99), [NORMAL, HIGH, HIGH, HIGH, HIGH, NORMAL, NORMAL])
        self.assertEqual(self.states(1, 0, 1, 4, 5), [NORMAL, LOW, LOW, LOW, NORMAL])

    def test_alarm_without_hysteresis_ends_below_its_limit_only(self):
        self.assertEqual(next_state(HIGH, 100, 100, None, 0), HIGH)
        self.assertEqual(next_state(HIGH, 99, 100, None, 0), NORMAL)

    def test_jump_across_the_range_changes_the_alarm_directly(self):
        self.assertEqual(self.states(150, -20, 150), [HIGH, LOW, HIGH])

    def test_missing_sample_ends_no_alarm(self):
        alarm = Alarm(Channel())
        self.assertTrue(alarm.step(120))
        self.assertFalse(alarm.step(None))
        self.assertEqual(alarm.state, HIGH)

    def test_channel_without_limits_never_alarms(self):
        self.assertEqual(next_state(NORMAL, 10**9, None, None, 0), NORMAL)


if __name__ == "__main__":
    unittest.main()
