"""Scatter: what a whole fleet does at once becomes a slope."""

import unittest

from node.agent.scatter import backoff_ms, next_due_ms, phase_ms, uniform

FLEET = [f"hall-{i:012x}" for i in range(2000)]
MOST = b"\xff\xff\xff\xff"


class TestPhase(unittest.TestCase):
    def test_fleet_does_not_act_in_one_moment(self):
        slots = [0] * 20
        for device in FLEET:
            slots[phase_ms(device, 60000) // 3000] += 1
        self.assertLess(max(slots), 150)   # 100 expected; 5 standard deviations
        self.assertGreater(min(slots), 50)

    def test_phase_is_the_same_after_every_boot(self):
        self.assertEqual(phase_ms("hall-0242ac110001", 60000), phase_ms("hall-0242ac110001", 60000))

    def test_next_due_is_after_now_and_on_the_phase(self):
        for now in (0, 1, 249, 250, 251, 1249, 99999):
            due = next_due_ms(now, 1000, 250)
            self.assertGreater(due, now)
            self.assertLessEqual(due, now + 1000)
            self.assertEqual(due % 1000, 250)

    def test_jitter_only_delays(self):
        self.assertEqual(next_due_ms(0, 1000, 250, 40), 290)


class TestBackoff(unittest.TestCase):
    def test_wait_is_spread_over_the_whole_interval_from_the_first_failure(self):
        self.assertEqual(backoff_ms(1, 1000, 60000, bytes(4)), 0)
        self.assertEqual(backoff_ms(1, 1000, 60000, MOST), 1000)

    def test_nobody_comes_again_while_others_come_for_the_first_time(self):
        shortest = [backoff_ms(n, 1000, 9000, bytes(4)) for n in (1, 2, 3, 4, 5)]
        self.assertEqual(shortest, [0, 1000, 2000, 4000, 4500])

    def test_base_above_the_cap_is_half_of_it(self):
        self.assertEqual([backoff_ms(n, 9000, 5000, r) for n in (1, 2) for r in (bytes(4), MOST)], [0, 2500, 2500, 5000])

    def test_wait_doubles_up_to_the_cap_and_stays_there_for_ever(self):
        self.assertEqual([backoff_ms(n, 1000, 5000, MOST) for n in (1, 2, 3, 4, 5)], [1000, 2000, 4000, 5000, 5000])
        self.assertEqual(backoff_ms(10**9, 1000, 5000, MOST), 5000)

    def test_uniform_reaches_both_ends_and_no_further(self):
        self.assertEqual((uniform(bytes(4), 7), uniform(MOST, 7)), (0, 7))


if __name__ == "__main__":
    unittest.main()
