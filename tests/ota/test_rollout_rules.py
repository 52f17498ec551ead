"""Who is offered what, and when a rollout moves."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.rules.bucket import BUCKETS
from ota.rules.gate import Verdict, Word
from ota.rules.rollout import (
    OFFERING,
    TRANSITIONS,
    Event,
    Kind,
    PolicyError,
    Reason,
    RolloutError,
    check_policy,
    concerns,
    decide,
    move,
    needed,
    step,
)
from ota.rules.values import Attempt, AttemptState, Counts, Failures, Policy, Release, Report, Rollout, RolloutState

TARGET = Release("b" * 64, "1.3.0", 3, ("hall",), 2, 2)
STONE = Release("a" * 64, "1.2.0", 2, ("hall",), 0, 1, stone=True)
RUNNING = Rollout("r1", TARGET, Policy(), RolloutState.RUNNING, population=100, capacity=1, limit=BUCKETS)
OLD = Report("hall-000000000001", "hall", "1.2.0", 2, STONE.manifest, trial=False)
ATTEMPT = Attempt(OLD.device, TARGET.manifest, 3, AttemptState.OFFERED, 0, 0, 100)
PASS, FAIL, UNKNOWN = (Verdict(word, word) for word in (Word.PASS, Word.FAIL, Word.UNKNOWN))


def decision(report=OLD, rollout=RUNNING, attempt=None, failures=None, releases=(STONE, TARGET), now_s=1_000):
    return decide(report, rollout, attempt, failures=failures or {}, releases=releases, now_s=now_s)


def test_a_member_of_the_stage_is_offered_the_release() -> None:
    found = decision()
    assert (found.kind, found.manifest, found.takes_place) == (Kind.OFFER, TARGET.manifest, True)
    assert concerns(RUNNING, OLD)


def test_an_old_device_is_offered_the_stone_first() -> None:
    found = decision(replace(OLD, counter=0, manifest=""))
    assert (found.reason, found.manifest, found.counter) == (Reason.STEP, STONE.manifest, 2)


@pytest.mark.parametrize("state", [each for each in RolloutState if each not in OFFERING])
def test_a_rollout_that_is_not_running_offers_nothing(state: RolloutState) -> None:
    stopped = replace(RUNNING, state=state)
    assert decision(rollout=stopped).reason is Reason.NOT_RUNNING
    assert decision(rollout=stopped, attempt=ATTEMPT).kind is Kind.HOLD
    assert not concerns(stopped, OLD)


@pytest.mark.parametrize(("report", "reason"), [
    (replace(OLD, model="roof"), Reason.NO_ROLLOUT),
    (replace(OLD, counter=3, manifest=TARGET.manifest), Reason.CURRENT),
    (replace(OLD, counter=3, manifest="e" * 64), Reason.CURRENT),
    (replace(OLD, counter=4), Reason.NEWER),
    (replace(OLD, trial=True), Reason.IN_TRIAL),
    (replace(OLD, config_trial=True), Reason.CONFIG_TRIAL),
    (replace(OLD, failed_manifest="c" * 64), Reason.TELLS_FAILURE),
])
def test_hold(report: Report, reason: Reason) -> None:
    assert decision(report).reason is reason
    assert decision(report).kind is Kind.HOLD


def test_outside_of_the_stage() -> None:
    assert decision(rollout=replace(RUNNING, limit=0)).reason is Reason.NOT_IN_STAGE
    assert decision(rollout=replace(RUNNING, offered=1)).reason is Reason.STAGE_FULL


def test_a_device_with_a_place_keeps_it() -> None:
    found = decision(rollout=replace(RUNNING, offered=1, limit=0), attempt=ATTEMPT)
    assert (found.reason, found.takes_place) == (Reason.CONTINUED, False)


def test_no_path() -> None:
    found = decision(replace(OLD, counter=0), releases=(TARGET,))
    assert (found.kind, found.reason) == (Kind.REFUSE, Reason.NO_PATH)


def test_a_device_that_came_back_waits_and_is_then_quarantined() -> None:
    failed = replace(ATTEMPT, state=AttemptState.FAILED)
    once = {TARGET.manifest: Failures(1, 1_000)}
    assert decision(attempt=failed, failures=once, now_s=1_001).reason is Reason.RETRY_LATER
    assert decision(attempt=failed, failures=once, now_s=1_000 + Policy().retry_s).reason is Reason.OFFERED
    twice = {TARGET.manifest: Failures(2, 1_000)}
    assert decision(attempt=failed, failures=twice, now_s=1e9).reason is Reason.QUARANTINED


def test_the_quarantine_holds_in_the_next_rollout_of_the_same_release() -> None:
    assert decision(failures={TARGET.manifest: Failures(2, 0)}).kind is Kind.REFUSE


def test_reasons_fit_into_an_answer() -> None:
    assert all(len(reason) <= 120 and reason.isascii() for reason in Reason)


def test_every_move_of_the_table_and_no_other() -> None:
    for state in RolloutState:
        for event in Event:
            if (state, event) in TRANSITIONS:
                assert move(state, event) is TRANSITIONS[state, event]
            else:
                with pytest.raises(RolloutError, match=f"rollout is {state}: got {event}"):
                    move(state, event)


def test_only_an_operator_leads_out_of_a_halt() -> None:
    assert {event for state, event in TRANSITIONS if state is RolloutState.HALTED} == {Event.RESUME, Event.ABORT}
    assert not [event for state, event in TRANSITIONS if state is RolloutState.ABORTED]


def test_a_small_stage_needs_all_of_its_devices() -> None:
    assert needed(replace(RUNNING, capacity=3)) == 3
    assert needed(replace(RUNNING, capacity=50)) == 10
    assert needed(replace(RUNNING, capacity=50, population=4)) == 4
    assert needed(replace(RUNNING, capacity=0, population=0)) == 1


HEALTHY = Counts(confirmed=1, soaked=1)


def test_a_stage_advances_only_when_soaked_and_passed() -> None:
    assert step(RUNNING, HEALTHY, PASS).event is Event.ADVANCE
    assert step(RUNNING, HEALTHY, UNKNOWN).event is None
    assert step(RUNNING, Counts(confirmed=1), PASS).event is None
    assert step(RUNNING, HEALTHY, FAIL).event is Event.HALT
    assert step(RUNNING, Counts(), FAIL).event is Event.HALT


NUMBER = st.integers(0, 2_000)


@given(st.builds(Counts, open=NUMBER, confirmed=NUMBER, soaked=NUMBER, failed=NUMBER, lost=NUMBER, soaking=NUMBER, waiting=NUMBER),
       st.integers(0, 3), st.integers(0, 2_000), st.sampled_from([PASS, UNKNOWN, FAIL]))
def test_whatever_the_numbers_only_a_pass_moves_on_and_a_fail_always_halts(
    counts: Counts, stage: int, population: int, verdict: Verdict,
) -> None:
    rollout = replace(RUNNING, stage=stage, population=population, capacity=max(1, population))
    event = step(rollout, counts, verdict).event
    if verdict is FAIL:
        assert event is Event.HALT
    elif event is not None:
        assert verdict is PASS
        assert counts.soaked >= needed(rollout) > 0
        assert event is (Event.FINISH if stage == 3 else Event.ADVANCE)


def test_a_fleet_that_is_asleep_advances_nothing() -> None:
    assert step(replace(RUNNING, population=0), HEALTHY, PASS).event is None


@pytest.mark.parametrize("left", [{"open": 1}, {"waiting": 1}, {"soaking": 1}])
def test_the_last_stage_ends_when_nobody_is_left(left: dict[str, int]) -> None:
    last = replace(RUNNING, stage=3, capacity=2**31 - 1)
    full = Counts(confirmed=100, soaked=100)
    assert step(last, full, PASS).event is Event.FINISH
    assert step(last, replace(full, **left), PASS).event is None


def test_somebody_always_wakes_in_a_large_fleet() -> None:
    """A rollout that waits for the last device of a million is never done, and the next one never begins."""
    last = replace(RUNNING, stage=3, capacity=2**31 - 1, population=1_000_000)
    full = Counts(confirmed=999_500, soaked=999_200)
    assert step(last, replace(full, open=100, waiting=100, soaking=300), PASS).event is Event.FINISH
    assert step(last, replace(full, open=100, waiting=101, soaking=300), PASS).event is None
    assert step(replace(last, population=10_000), replace(full, open=21), PASS).event is None


@pytest.mark.parametrize(("change", "words"), [
    ({"stages": ()}, "stages: got"), ({"stages": (5, 1, 10, 100)}, "rising"), ({"stages": (1, 5, 10, 50)}, "the last 100"),
    ({"stages": (0, 5, 10, 100)}, "0.01"), ({"soak_s": (1, 1)}, "4 values"), ({"soak_s": (1, 1, 1, -1)}, "soak_s"),
    ({"soak_s": (1, 1, 1, math.nan)}, "soak_s"), ({"lease_s": 0}, "lease_s: got 0"), ({"lease_s": math.nan}, "lease_s: got nan"),
    ({"max_failure_pct": 100}, "max_failure_pct"), ({"failure_alpha": 0}, "failure_alpha"), ({"min_reports": 0}, "min_reports"),
])
def test_a_policy_that_could_not_be_kept_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        check_policy(replace(Policy(), **change))


def test_the_default_policy_is_valid() -> None:
    check_policy(Policy())
