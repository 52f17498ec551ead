"""Alarms: one for one event, whatever the noise at the limit."""

import unittest

from node.app.alarms import HIGH, LOW, NORMAL, Alarm
from node.app.edge import DelayedAlarm


class Channel:
    high, low, hysteresis = 100, 0, 5

    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)


class Journal:
    def __init__(self):
        self.told = []

    def commit(self, number, at_ms, period_ms, columns, exceptions):
        self.told.append((number, at_ms, columns))


def alarm(journal=None, **values):
    return Alarm(Channel(**values), journal, 3)


def told(one, journal, *values):
    """What is committed when values come second by second, and each is followed by a commit."""
    for second, value in enumerate(values):
        one.step(value, 1000 * second)
        one.flush()
    return journal.told


def states(alarm, *values):
    seen = []
    for value in values:
        before = alarm.state
        changed = alarm.step(value, 0)
        if changed != (alarm.state != before):
            raise AssertionError("it says something else than it does")
        seen.append(alarm.state)
    return seen


class TestAlarms(unittest.TestCase):
    def test_noise_at_the_limit_makes_one_alarm(self):
        self.assertEqual(states(alarm(), 99, 100, 99, 101, 96, 95, 99), [NORMAL, HIGH, HIGH, HIGH, HIGH, NORMAL, NORMAL])
        self.assertEqual(states(alarm(), 1, 0, 1, 4, 5), [NORMAL, LOW, LOW, LOW, NORMAL])

    def test_alarm_without_hysteresis_ends_below_its_limit_only(self):
        self.assertEqual(states(alarm(low=None, hysteresis=0), 100, 100, 99), [HIGH, HIGH, NORMAL])

    def test_jump_across_the_range_changes_the_alarm_directly(self):
        self.assertEqual(states(alarm(), 150, -20, 150), [HIGH, LOW, HIGH])

    def test_missing_sample_ends_no_alarm(self):
        one = alarm()
        self.assertTrue(one.step(120, 0))
        self.assertFalse(one.step(None, 0))
        self.assertEqual(one.state, HIGH)

    def test_channel_without_limits_never_alarms(self):
        self.assertEqual(states(alarm(high=None, low=None), 10**9, -10**9), [NORMAL, NORMAL])


class TestTelling(unittest.TestCase):
    """An alarm that the host does not hear of, or hears of wrongly."""

    def test_alarm_is_told_with_its_value_and_limit_and_its_end_without_one(self):
        journal = Journal()
        self.assertEqual(told(alarm(journal), journal, 50, 100, 120, 96, 90), [
            (3, 0, [[50], [None], [None]]), (3, 1000, [[100], [100], [None]]), (3, 4000, [[90], [None], [None]])])

    def test_limit_is_of_the_side_that_was_passed_and_a_side_without_one_has_no_column(self):
        journal = Journal()
        self.assertEqual(told(alarm(journal, high=None), journal, -3), [(3, 0, [[-3], [0]])])
        journal = Journal()
        self.assertEqual(told(alarm(journal), journal, 150, -20), [
            (3, 0, [[150], [100], [None]]), (3, 1000, [[-20], [None], [0]])])

    def test_state_of_a_start_is_told_once_so_that_an_alarm_of_the_boot_before_does_not_stand_for_ever(self):
        journal = Journal()
        self.assertEqual(len(told(alarm(journal), journal, None, 50, 51, None, 52)), 1)

    def test_what_happens_between_two_commits_is_told_all(self):
        journal = Journal()
        one = alarm(journal)
        for second, value in enumerate((50, 120, 50)):
            one.step(value, 1000 * second)
        one.flush()
        self.assertEqual([(at_ms, columns[0]) for _, at_ms, columns in journal.told], [(0, [50]), (1000, [120]), (2000, [50])])
        one.flush()
        self.assertEqual(len(journal.told), 3)

    def test_delayed_alarm_is_told_with_the_value_that_made_it_one(self):
        journal = Journal()
        one = DelayedAlarm(Channel(delay=2), journal, 3)
        self.assertEqual(told(one, journal, 120, 121), [(3, 0, [[120], [None], [None]]), (3, 1000, [[121], [100], [None]])])


class TestDelay(unittest.TestCase):
    def alarm(self, **values):
        return DelayedAlarm(Channel(delay=3, **values), None, 0)

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
