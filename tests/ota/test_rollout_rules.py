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
    Step,
    at_end,
    check_policy,
    claims,
    concerns,
    decide,
    move,
    needed,
    rank,
    step,
)
from ota.rules.values import (
    Attempt,
    AttemptState,
    Counts,
    Failures,
    Filter,
    Labels,
    Policy,
    Release,
    Report,
    Rollout,
    RolloutState,
    Tags,
)

TARGET = Release("b" * 64, "1.3.0", 3, ("hall",), 2, 2)
STONE = Release("a" * 64, "1.2.0", 2, ("hall",), 0, 1, stone=True)
RUNNING = Rollout("r1", TARGET, Policy(), RolloutState.RUNNING, population=100, capacity=1, limit=BUCKETS)
OLD = Report("hall-000000000001", "hall", "1.2.0", 2, STONE.manifest, trial=False)
ATTEMPT = Attempt(OLD.device, TARGET.manifest, 3, AttemptState.OFFERED, 0, 0, 100)
PASS, FAIL, UNKNOWN = (Verdict(word, word) for word in (Word.PASS, Word.FAIL, Word.UNKNOWN))


def decision(report=OLD, rollout=RUNNING, attempt=None, failures=None, releases=(STONE, TARGET), now_s=1_000, labels=None):
    return decide(
        report, rollout, attempt, failures=failures or {}, releases=releases, now_s=now_s, labels=labels or Labels())


def test_a_member_of_the_stage_is_offered_the_release() -> None:
    found = decision()
    assert (found.kind, found.manifest, found.takes_place) == (Kind.OFFER, TARGET.manifest, True)
    assert concerns(RUNNING, OLD, Labels(), 1_000)


def test_an_old_device_is_offered_the_stone_first() -> None:
    found = decision(OLD._replace(counter=0, manifest=""))
    assert (found.reason, found.manifest, found.counter) == (Reason.STEP, STONE.manifest, 2)


@pytest.mark.parametrize("state", [each for each in RolloutState if each not in OFFERING])
def test_a_rollout_that_is_not_running_offers_nothing(state: RolloutState) -> None:
    stopped = replace(RUNNING, state=state)
    assert decision(rollout=stopped).reason is Reason.NOT_RUNNING
    assert decision(rollout=stopped, attempt=ATTEMPT).kind is Kind.HOLD
    assert not concerns(stopped, OLD, Labels(), 1_000)


@pytest.mark.parametrize(("report", "reason"), [
    (OLD._replace(model="roof"), Reason.NO_ROLLOUT),
    (OLD._replace(counter=3, manifest=TARGET.manifest), Reason.CURRENT),
    (OLD._replace(counter=3, manifest="e" * 64), Reason.CURRENT),
    (OLD._replace(counter=4), Reason.NEWER),
    (OLD._replace(trial=True), Reason.IN_TRIAL),
    (OLD._replace(config_trial=True), Reason.CONFIG_TRIAL),
    (OLD._replace(failed_manifest="c" * 64), Reason.TELLS_FAILURE),
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
    found = decision(OLD._replace(counter=0), releases=(TARGET,))
    assert (found.kind, found.reason) == (Kind.REFUSE, Reason.NO_PATH)


def test_a_device_that_came_back_waits_and_is_then_quarantined() -> None:
    failed = ATTEMPT._replace(state=AttemptState.FAILED)
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


@pytest.mark.parametrize(("change", "words"), [
    ({"filter": Filter(sites=("Nord",))}, "filter.sites: got 'Nord'"),
    ({"filter": Filter(tags=Tags(("a b",)))}, "filter.tags.any"),
    ({"filter": Filter(tags=Tags(("pilot",), ("pilot", "x")))}, "same tags in any and none"),
    ({"filter": Filter(versions=(3, 2))}, "filter.versions"), ({"filter": Filter(sites=("s",) * 101)}, "101 names"),
    ({"windows": ("at night",)}, "windows: got 'at night'"), ({"windows": ("mon 22:00-05:00",) * 17}, "at most 16"),
    ({"windows": ("mon 24:00-05:00",)}, "00:00 to 24:00"), ({"windows": ("day 22:00-05:00",)}, "days of mon"),
    ({"start_at": -1}, "start_at"), ({"start_at": math.inf}, "start_at"), ({"not_after": math.nan}, "not_after"),
    ({"start_at": 10, "not_after": 10}, "after start_at"), ({"start_at": 1_800_000_000_000}, "start_at"),
])
def test_targets_that_no_device_could_fit_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        check_policy(replace(Policy(), **change))


def test_the_default_policy_is_valid() -> None:
    check_policy(Policy())


PILOT = replace(RUNNING, policy=Policy(filter=Filter(tags=Tags(("pilot",)))))
# 2027-06-05 is a Saturday; 20:30 UTC is 22:30 in Berlin.
NIGHT, NOON = 1_812_227_400.0, 1_812_190_000.0
AT_NIGHT = replace(RUNNING, policy=Policy(windows=("sat 22:00-05:00",)))
BERLIN = Labels("hall-1", (), "Europe/Berlin")


def test_a_filter_decides_who_gets_a_place_and_takes_none_away() -> None:
    told = decision(rollout=PILOT)
    assert (told.reason, told.detail) == (Reason.FILTERED, "tags: has none, expected pilot")
    assert decision(rollout=PILOT, labels=Labels(tags=("pilot",))).kind is Kind.OFFER
    assert decision(rollout=PILOT, attempt=ATTEMPT).reason is Reason.CONTINUED


def test_nothing_new_is_offered_outside_of_a_window() -> None:
    assert decision(rollout=AT_NIGHT, labels=BERLIN, now_s=NIGHT).kind is Kind.OFFER
    told = decision(rollout=AT_NIGHT, labels=BERLIN, now_s=NOON)
    assert (told.reason, told.from_s, told.until_s) == (Reason.WINDOW, NIGHT - 1_800, NIGHT + 6.5 * 3_600)
    assert decision(rollout=AT_NIGHT, now_s=NIGHT).reason is Reason.WINDOW   # in UTC it is 20:30
    assert concerns(AT_NIGHT, OLD, BERLIN, NIGHT)
    assert not concerns(AT_NIGHT, OLD, BERLIN, NOON)


def test_the_end_of_a_window_breaks_no_update_but_stops_the_next_step_and_the_next_try() -> None:
    assert decision(rollout=AT_NIGHT, attempt=ATTEMPT, now_s=NOON).reason is Reason.CONTINUED
    on_stone = ATTEMPT._replace(manifest=STONE.manifest, counter=2)
    assert decision(rollout=AT_NIGHT, attempt=on_stone, now_s=NOON).reason is Reason.WINDOW
    failed = ATTEMPT._replace(state=AttemptState.FAILED)
    once = {TARGET.manifest: Failures(1, 0)}
    assert decision(rollout=AT_NIGHT, attempt=failed, failures=once, now_s=NOON).reason is Reason.WINDOW


def test_what_came_altered_is_offered_again_later_and_never_quarantines() -> None:
    told = ATTEMPT._replace(reason="manifest.hash", first_s=1_000, settled_s=1_500)
    held = decision(attempt=told, now_s=1_500 + 3_599)
    assert (held.kind, held.reason, held.detail, held.from_s) == (Kind.HOLD, Reason.ALTERED, "manifest.hash", 1_500 + 3_600)
    assert decision(attempt=told, now_s=1_500 + 3_600).reason is Reason.CONTINUED


def test_a_device_whose_time_zone_has_gone_is_held_and_told_apart(zone_that_goes) -> None:
    name, go = zone_that_goes
    here = Labels("hall-1", (), name)
    assert decision(rollout=AT_NIGHT, labels=here, now_s=NIGHT).kind is Kind.OFFER
    go()
    for now_s in (NIGHT, NOON):
        told = decision(rollout=AT_NIGHT, labels=here, now_s=now_s)
        assert (told.kind, told.reason) == (Kind.HOLD, Reason.ZONE)
        assert told.detail == "zone: got Plant/Hall, expected one of the server's database"
        assert not concerns(AT_NIGHT, OLD, here, now_s)
    assert decision(rollout=AT_NIGHT, labels=here, attempt=ATTEMPT, now_s=NOON).reason is Reason.CONTINUED
    assert decision(labels=here).kind is Kind.OFFER   # no windows: the zone is not asked for


def test_nothing_new_is_offered_when_the_time_is_over() -> None:
    late = replace(RUNNING, policy=Policy(not_after=1_000))
    assert decision(rollout=late, now_s=999).kind is Kind.OFFER
    assert decision(rollout=late, now_s=1_000).reason is Reason.OVER
    assert decision(rollout=late, attempt=ATTEMPT, now_s=1_000).reason is Reason.CONTINUED
    assert decision(rollout=replace(late, state=RolloutState.DONE), now_s=1_000).reason is Reason.OVER


def test_a_rollout_ends_when_its_time_is_over_and_nothing_is_under_way() -> None:
    late, stay = replace(RUNNING, policy=Policy(not_after=1_000)), Step(None, "12 devices wait")
    assert at_end(late, Counts(), stay, 999) is stay
    assert at_end(late, Counts(open=1), stay, 1_000) is stay
    assert at_end(late, Counts(), stay, 1_000) == Step(Event.ABORT, "its time is over; 12 devices wait")
    for event in (Event.HALT, Event.FINISH):
        assert at_end(late, Counts(), Step(event, ""), 1_000).event is event


def test_the_newest_release_goes_first_and_for_one_release_the_rollout_added_last() -> None:
    newer = replace(RUNNING, ident="r9", release=replace(TARGET, counter=4))
    first, last = replace(RUNNING, ident="r3", added_s=5.0), replace(RUNNING, ident="r2", added_s=9.0)
    assert sorted([first, newer, last], key=rank) == [newer, last, first]


@pytest.mark.parametrize(("change", "counter"), [
    ({"state": RolloutState.HALTED}, 2), ({"state": RolloutState.DONE}, 2), ({"policy": Policy(not_after=500)}, 2),
    ({"policy": Policy(filter=Filter(sites=("nord",)))}, 2), ({}, 3), ({}, 0),
])
def test_a_rollout_claims_only_what_it_can_serve(change: dict[str, object], counter: int) -> None:
    released = (TARGET,)
    assert claims(RUNNING, "hall", 2, Labels(), releases=released, now_s=1_000)
    assert claims(replace(RUNNING, state=RolloutState.PAUSED), "hall", 2, Labels(), releases=released, now_s=1_000)
    assert not claims(replace(RUNNING, **change), "hall", counter, Labels(), releases=released, now_s=1_000)
