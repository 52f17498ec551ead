"""Statistics and scores in constant memory: exact, and not deaf after the first outlier."""

import unittest

from node.app.anomaly import MOST, WEIGHT, Score
from node.app.stats import Window


def noise(count, width=10, seed=1):
    """Uniform whole numbers in -width..width, the same on every runtime."""
    values = []
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) % 2147483648
        values.append(seed // 65536 % (2 * width + 1) - width)
    return values


def slow(values):
    """The second opinion: by definition, from whole lists."""
    n = len(values)
    total = sum(values)
    spread = n * sum([value * value for value in values]) - total * total
    std = 0
    while (2 * std + 1) * (2 * std + 1) * n * n <= 4 * spread:   # std + 1/2 <= sqrt(spread) / n
        std += 1
    return [min(values), (2 * total + n) // (2 * n), max(values), std]


class TestWindow(unittest.TestCase):
    def result(self, values):
        window = Window()
        for value in values:
            window.add(value)
        return window.result()

    def test_statistics_are_those_of_the_definition(self):
        for values in ([5], [5, 5], [1, 2], [-3, 4], [-1, -2, -4], noise(60), noise(3600, 1000),
                       [10**6 + value for value in noise(99)]):
            self.assertEqual(self.result(values), slow(values))

    def test_small_noise_on_a_large_value_is_not_rounded_away(self):
        self.assertEqual(self.result([2000000000 + value for value in (-2, 2, -2, 2)]), [1999999998, 2000000000, 2000000002, 2])

    def test_longest_window_of_the_widest_values_is_exact(self):
        top = 2147483647
        self.assertEqual(self.result([top, -top] * 1800), [-top, 0, top, top])

    def test_missing_samples_count_for_nothing(self):
        self.assertEqual(self.result([None, 4, None, 6, None]), [4, 5, 6, 1])

    def test_window_without_samples_is_missing(self):
        self.assertEqual(self.result([None, None]), [None] * 4)

    def test_window_starts_anew(self):
        window = Window()
        window.add(1000)
        window.result()
        window.add(3)
        window.add(5)
        self.assertEqual(window.result(), [3, 4, 5, 1])
        self.assertEqual(window.result(), [None] * 4)


class TestScore(unittest.TestCase):
    def warm(self, values=None):
        score = Score()
        for value in values or noise(300):
            score.step(value)
        return score

    def test_first_samples_have_no_score(self):
        score = Score()
        self.assertEqual([score.step(value) for value in noise(WEIGHT)], [None] * WEIGHT)
        self.assertIsNotNone(score.step(0))

    def test_usual_noise_is_usual_and_an_outlier_is_not(self):
        score = self.warm()
        self.assertLess(max([score.step(value) for value in noise(200, seed=7)]), 40)
        self.assertGreater(score.step(100), 150)

    def test_outlier_does_not_hide_the_next(self):
        score = self.warm()
        score.step(10**6)
        self.assertGreater(score.step(100), 150)

    def test_missing_sample_has_no_score_and_changes_nothing(self):
        one, other = self.warm(), self.warm()
        self.assertIsNone(one.step(None))
        self.assertEqual(one.step(33), other.step(33))

    def test_score_is_capped(self):
        self.assertEqual(self.warm().step(2147483647), MOST)

    def test_quiet_channel_that_moves_a_step_is_not_infinitely_unusual(self):
        self.assertEqual(self.warm([500] * 200).step(501), 10)

    def test_new_level_becomes_usual(self):
        score = self.warm()
        scores = [score.step(500 + value) for value in noise(400, seed=3)]
        self.assertGreater(scores[0], 500)
        self.assertLess(max(scores[200:]), 60)

    def test_level_is_not_dragged_by_rounding(self):
        """Floor division of small negative distances would pull the level down, a bit with each sample."""
        score = self.warm([1000, 1001] * 2000)
        for value in (1000, 1001):
            self.assertIn(score.step(value), (4, 5, 6))   # half a step from the middle, over the least spread


if __name__ == "__main__":
    unittest.main()
