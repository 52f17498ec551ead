"""What devices report, in every order, and what is made of it."""


import pytest

from ota.rules import events
from ota.rules.attempts import NEXT, PATIENCE, STEPPED, Seen, is_overdue, observe
from ota.rules.events import Happened
from ota.rules.rollout import after_altered
from ota.rules.values import Attempt, AttemptState, Policy, Release, Report, Rollout, RolloutState

TARGET = Release("b" * 64, "1.3.0", 3, ("hall",), 2, 2)
STONE = "a" * 64
ROLLOUT = Rollout("r1", TARGET, Policy(lease_s=100), RolloutState.RUNNING)
OFFERED = Attempt("hall-000000000001", TARGET.manifest, 3, AttemptState.OFFERED, 0, first_s=0, lease_until_s=100)
OLD = Report("hall-000000000001", "hall", "1.2.0", 2, "9" * 64, trial=False)
TRIAL = OLD._replace(release="1.3.0", counter=3, manifest=TARGET.manifest, trial=True)
CONFIRMED = TRIAL._replace(trial=False)
FAILED = OLD._replace(failed_manifest=TARGET.manifest, failed_reason="import error")
ALTERED = FAILED._replace(failed_reason="download.hash")


def after(*reports: Report, start: Attempt = OFFERED, now_s: float = 10) -> Attempt:
    for report in reports:
        start = observe(start, report, ROLLOUT, now_s)
    return start


def test_the_table_knows_every_case() -> None:
    assert set(NEXT) == set(AttemptState)
    assert all(set(row) == set(Seen) for row in NEXT.values())


def test_success_is_the_devices_own_word() -> None:
    assert after(OLD).state is AttemptState.OFFERED
    assert after(OLD, TRIAL).state is AttemptState.TRIAL
    assert after(OLD, TRIAL, CONFIRMED).state is AttemptState.CONFIRMED
    assert after(CONFIRMED).confirmed_s == 10


def test_a_told_failure_keeps_its_reason() -> None:
    found = after(TRIAL, FAILED)
    assert (found.state, found.reason, found.settled_s) == (AttemptState.FAILED, "import error", 10)


def test_a_failure_told_again_is_the_same_failure() -> None:
    once = after(TRIAL, FAILED)
    assert observe(once, FAILED, ROLLOUT, 20) == once


@pytest.mark.parametrize("reached", [(TRIAL,), (TRIAL, CONFIRMED)])
def test_a_silent_fallback_is_a_failure(reached: tuple[Report, ...]) -> None:
    found = after(*reached, OLD)
    assert found.state is AttemptState.FAILED
    assert found.confirmed_s == 0
    assert "1.2.0" in found.reason


def test_altered_bytes_are_no_failure_and_are_told_with_their_reason() -> None:
    for reason in ("manifest.hash", "download.hash"):
        found = after(ALTERED._replace(failed_reason=reason))
        assert (found.state, found.reason, found.settled_s, found.lease_until_s) == (AttemptState.OFFERED, reason, 10, 110)
        assert events.of_attempt(OFFERED, found) is Happened.ALTERED
    for reason in ("download.readback", "signature.threshold", "manifest.model", "download.hash of another"):
        assert after(ALTERED._replace(failed_reason=reason)).state is AttemptState.FAILED


def test_altered_bytes_told_again_are_the_same_and_do_not_move_the_next_try() -> None:
    once = after(ALTERED)
    again = observe(once, ALTERED, ROLLOUT, 20)
    assert again == once._replace(lease_until_s=120)
    assert events.of_attempt(once, again) is None


def test_each_wait_after_altered_bytes_is_as_long_as_all_before_it_within_bounds() -> None:
    policy = Policy(retry_s=10, lease_s=100)
    told = [OFFERED._replace(reason="download.hash", settled_s=told_s) for told_s in (1, 25, 60, 900)]
    assert [after_altered(each, policy) - each.settled_s for each in told] == [10, 25, 60, 100]
    assert after_altered(OFFERED._replace(settled_s=900), policy) == 0


def test_a_device_that_altered_bytes_reach_is_not_blamed_for_the_time_that_takes_but_for_silence_after_it() -> None:
    late_s = 10 * PATIENCE * 100
    told = after(ALTERED, start=OFFERED._replace(lease_until_s=late_s), now_s=late_s)
    assert told.state is AttemptState.OFFERED
    assert after(OLD, start=told, now_s=late_s + PATIENCE * 100).state is AttemptState.OFFERED
    assert after(OLD, start=told, now_s=late_s + PATIENCE * 100 + 1).state is AttemptState.FAILED


def test_the_failure_of_another_release_is_not_held_against_this_one() -> None:
    assert after(OLD._replace(failed_manifest="c" * 64)).state is AttemptState.OFFERED


def test_a_lost_device_that_comes_back_is_taken_at_its_word() -> None:
    lost = OFFERED._replace(state=AttemptState.LOST)
    assert after(OLD, start=lost).state is AttemptState.LOST
    assert after(CONFIRMED, start=lost).state is AttemptState.CONFIRMED
    assert after(FAILED, start=lost).state is AttemptState.FAILED


def test_a_device_that_reports_keeps_its_lease_but_not_for_ever() -> None:
    assert after(OLD, now_s=90).lease_until_s == 190
    found = after(OLD, now_s=PATIENCE * 100 + 1)
    assert found.state is AttemptState.FAILED
    assert "offered for more than" in found.reason


def test_a_device_that_moved_on_says_nothing_about_this_release() -> None:
    newer = CONFIRMED._replace(release="1.4.0", counter=4, manifest="d" * 64)
    assert after(newer).state is AttemptState.SUPERSEDED
    failed = after(TRIAL, FAILED)
    assert after(newer, start=failed).state is AttemptState.FAILED


def test_a_confirmed_stepping_stone_is_not_yet_success() -> None:
    on_stone = OFFERED._replace(manifest=STONE, counter=2, state=AttemptState.TRIAL)
    found = observe(on_stone, OLD._replace(manifest=STONE), ROLLOUT, 50)
    assert (found.state, found.reason, found.lease_until_s) == (AttemptState.OFFERED, STEPPED, 150)
    again = observe(found, OLD._replace(manifest=STONE), ROLLOUT, 60)
    assert (again.state, again.reason, again.first_s) == (AttemptState.OFFERED, STEPPED, 50)


def test_lost_is_silence_past_the_lease_also_after_success() -> None:
    assert not is_overdue(OFFERED, 0, ROLLOUT, 100)
    assert is_overdue(OFFERED, 0, ROLLOUT, 101)
    done = OFFERED._replace(state=AttemptState.CONFIRMED, confirmed_s=10)
    assert not is_overdue(done, 150, ROLLOUT, 250)
    assert is_overdue(done, 150, ROLLOUT, 251)
    assert not is_overdue(OFFERED._replace(state=AttemptState.FAILED), 0, ROLLOUT, 1e9)
