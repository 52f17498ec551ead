"""A trial: nothing but work done confirms it, and it ends."""

import unittest

from node.agent import trial

TRIAL_MS = 30000


def judge(acked=False, checked_in=False, app_crashes=0, elapsed_ms=1000, stalled_ms=None):
    return trial.judge(acked, checked_in, app_crashes, elapsed_ms, elapsed_ms if stalled_ms is None else stalled_ms, TRIAL_MS)[0]


class TestTrial(unittest.TestCase):
    def test_release_that_merely_boots_is_not_confirmed(self):
        self.assertEqual(judge(), trial.WAIT)

    def test_release_that_only_reaches_the_broker_is_not_confirmed(self):
        self.assertEqual(judge(acked=True), trial.WAIT)
        self.assertEqual(judge(acked=True, elapsed_ms=TRIAL_MS), trial.GIVE_UP)

    def test_release_that_only_checks_in_is_not_confirmed(self):
        self.assertEqual(judge(checked_in=True), trial.WAIT)
        self.assertEqual(judge(checked_in=True, elapsed_ms=TRIAL_MS), trial.GIVE_UP)

    def test_release_that_did_both_is_confirmed(self):
        self.assertEqual(judge(acked=True, checked_in=True), trial.CONFIRM)

    def test_proof_at_the_last_moment_counts(self):
        self.assertEqual(judge(acked=True, checked_in=True, elapsed_ms=TRIAL_MS * 2), trial.CONFIRM)

    def test_good_release_is_given_up_while_an_old_backlog_drains(self):
        self.assertEqual(judge(checked_in=True, elapsed_ms=TRIAL_MS * 5, stalled_ms=TRIAL_MS - 1), trial.WAIT)
        self.assertEqual(judge(checked_in=True, elapsed_ms=TRIAL_MS * 5, stalled_ms=TRIAL_MS), trial.GIVE_UP)

    def test_backlog_without_an_end_keeps_a_release_that_adds_nothing_to_it(self):
        self.assertEqual(judge(checked_in=True, elapsed_ms=TRIAL_MS * trial.MAX_TRIALS, stalled_ms=0), trial.GIVE_UP)

    def test_backlog_excuses_a_release_that_cannot_check_in(self):
        self.assertEqual(judge(elapsed_ms=TRIAL_MS, stalled_ms=0), trial.GIVE_UP)

    def test_app_that_keeps_crashing_is_given_up_although_it_is_heard(self):
        self.assertEqual(judge(acked=True, checked_in=True, app_crashes=trial.MAX_APP_CRASHES), trial.GIVE_UP)
        self.assertEqual(judge(acked=True, checked_in=True, app_crashes=trial.MAX_APP_CRASHES - 1), trial.CONFIRM)

    def test_every_reason_fits_the_boot_record(self):
        for crashes in (0, trial.MAX_APP_CRASHES):
            for acked in (False, True):
                for checked_in in (False, True):
                    for elapsed_ms in (0, TRIAL_MS):
                        reason = trial.judge(acked, checked_in, crashes, elapsed_ms, elapsed_ms, TRIAL_MS)[1]
                        self.assertTrue(len(reason) <= 20)


if __name__ == "__main__":
    unittest.main()
