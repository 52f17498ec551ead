"""The gate: unknown never passes, and one bad canary is enough."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.rules.gate import Evidence, Word, binomial_tail, judge
from ota.rules.values import Counts, Exposure, Policy

POLICY = Policy()
HEALTHY = Evidence(
    Counts(confirmed=10, soaked=10), needed=10, soak_s=100, stage=Exposure(1_000, {"drops": 2}),
    rest=Exposure(100_000, {"drops": 200}), rest_devices=990)


def check(evidence: Evidence, name: str) -> Word:
    return next(each.word for each in judge(POLICY, evidence).checks if each.name == name)


def test_a_healthy_stage_passes() -> None:
    assert judge(POLICY, HEALTHY).word is Word.PASS


def test_one_failed_canary_halts() -> None:
    verdict = judge(POLICY, replace(HEALTHY, counts=Counts(failed=1), needed=1))
    assert verdict.word is Word.FAIL
    assert verdict.reason.startswith("failures: 1 of 1 devices came back")


def test_one_lost_canary_halts() -> None:
    assert judge(POLICY, replace(HEALTHY, counts=Counts(lost=1), needed=1)).word is Word.FAIL


def test_a_canary_still_in_trial_is_unknown() -> None:
    assert judge(POLICY, replace(HEALTHY, counts=Counts(open=1), needed=1)).word is Word.UNKNOWN


def test_some_failures_too_few_to_be_sure_do_not_pass() -> None:
    """HawkBit's gap: a group that met neither threshold went on."""
    verdict = judge(POLICY, replace(HEALTHY, counts=Counts(confirmed=9, soaked=9, failed=1), needed=9))
    assert verdict.word is Word.UNKNOWN
    assert "too few to be sure" in verdict.reason


def test_a_few_failures_in_a_large_stage_are_allowed() -> None:
    assert judge(POLICY, replace(HEALTHY, counts=Counts(confirmed=199, soaked=199, failed=1))).word is Word.PASS


def test_more_crashes_than_the_rest_halt() -> None:
    crashing = replace(HEALTHY, stage=Exposure(1_000, {"app_crashes": 5, "task_restarts": 2}))
    assert judge(POLICY, crashing).word is Word.FAIL
    assert check(crashing, "crashes") is Word.FAIL


def test_a_single_crash_is_an_anecdote() -> None:
    assert judge(POLICY, replace(HEALTHY, stage=Exposure(1_000, {"app_crashes": 1}))).word is Word.PASS


def test_an_outage_that_hits_everyone_tells_nothing_against_the_release() -> None:
    outage = replace(HEALTHY, stage=Exposure(1_000, {"drops": 10}), rest=Exposure(99_000, {"drops": 990}))
    assert judge(POLICY, outage).word is Word.PASS


def test_no_report_since_the_stage_opened_is_unknown() -> None:
    assert check(replace(HEALTHY, stage=Exposure()), "drops") is Word.UNKNOWN
    assert check(replace(HEALTHY, stage=Exposure(100)), "drops") is Word.UNKNOWN
    assert check(replace(HEALTHY, rest=Exposure()), "drops") is Word.UNKNOWN


def test_with_nobody_left_there_is_nothing_to_compare() -> None:
    assert judge(POLICY, replace(HEALTHY, rest=Exposure(), rest_devices=0)).word is Word.PASS


@pytest.mark.parametrize("nothing", [Counts(), Counts(open=3)])
def test_without_evidence_nothing_passes(nothing: Counts) -> None:
    empty = Evidence(nothing, needed=1, soak_s=0, stage=Exposure(), rest=Exposure(), rest_devices=0)
    assert judge(POLICY, empty).word is Word.UNKNOWN


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.001, 0.999))
def test_the_tail_is_the_exact_binomial_sum(successes: int, more: int, share: float) -> None:
    trials = successes + more
    exact = sum(math.comb(trials, k) * share**k * (1 - share)**(trials - k) for k in range(successes, trials + 1))
    found = binomial_tail(successes, trials, share)
    if successes <= trials * share:
        assert found == 1.0
    else:
        assert found == pytest.approx(exact, rel=1e-9)


def test_the_tail_of_a_million_trials_is_quick_and_sane() -> None:
    assert 0.0 < binomial_tail(20_600, 1_000_000, 0.02) < 1e-4
    assert binomial_tail(1, 10, 0.0) == 0.0
    with pytest.raises(ValueError, match="11 of 10"):
        binomial_tail(11, 10, 0.5)


COUNT = st.integers(0, 50)


@given(st.builds(Counts, open=COUNT, confirmed=COUNT, soaked=COUNT, failed=COUNT, lost=COUNT), st.integers(1, 50),
       st.floats(0, 1e5), st.integers(0, 20), st.floats(0, 1e5), st.integers(0, 20), st.integers(0, 50))
def test_whatever_passes_has_the_needed_devices_and_few_failures(
    counts: Counts, needed: int, seconds: float, events: int, rest_s: float, rest_events: int, rest_devices: int,
) -> None:
    evidence = Evidence(counts, needed, 10, Exposure(seconds, {"drops": events}), Exposure(rest_s, {"drops": rest_events}),
                        rest_devices)
    if judge(POLICY, evidence).word is Word.PASS:
        bad = counts.failed + counts.lost
        assert counts.soaked >= needed
        assert bad <= 0.02 * (bad + counts.confirmed)
        assert rest_devices == 0 or seconds > 0
