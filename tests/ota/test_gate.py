"""The gate: unknown never passes, one bad canary is enough, and looking often does not make good releases look bad."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.rules.gate import COMPARED, Evidence, Word, allowed_ratio, gather, judge
from ota.rules.values import Counts, Exposure, Gathered, Policy, Presence

POLICY = Policy()
OPENED = Gathered(0.0, Exposure(), Exposure())
SEEN = Presence(here=10, here_heard=10, rest=990, rest_heard=985, rest_silent=0, fleet=1_000)
HEALTHY = Evidence(
    Counts(confirmed=10, soaked=10), needed=10, soak_s=100, presence=SEEN,
    stage=Exposure(1_000, {"drops": 2, "tx_bytes": 4_000}), rest=Exposure(100_000, {"drops": 200, "tx_bytes": 300_000}))


def looked(evidence: Evidence) -> Evidence:
    """The same after one look."""
    found = gather(POLICY, OPENED, evidence.stage, evidence.rest, evidence.presence.here, 1.0)
    return replace(evidence, logs=found.logs)


def check(evidence: Evidence, name: str) -> Word:
    return next(each.word for each in judge(POLICY, looked(evidence)).checks if each.name == name)


def counted(**counts: int) -> Evidence:
    return replace(HEALTHY, counts=Counts(**counts), needed=max(1, counts.get("soaked", 1)))


def test_a_healthy_stage_passes() -> None:
    assert judge(POLICY, looked(HEALTHY)).word is Word.PASS


def test_one_failed_canary_halts() -> None:
    verdict = judge(POLICY, counted(failed=1))
    assert verdict.word is Word.FAIL
    assert verdict.reason.startswith("failures: 1 of 1 devices came back; 0.2 % allowed")


def test_one_lost_canary_halts() -> None:
    verdict = judge(POLICY, counted(lost=1))
    assert verdict.word is Word.FAIL
    assert verdict.reason.startswith("lost: 1 of 1 devices fell silent")


def test_a_canary_lost_together_with_the_rest_is_unknown() -> None:
    outage = replace(SEEN, rest=20, rest_heard=20, rest_silent=4, fleet=24)
    assert judge(POLICY, replace(counted(lost=1), presence=outage)).word is Word.UNKNOWN


def test_a_canary_still_in_trial_is_unknown() -> None:
    assert judge(POLICY, counted(open=1)).word is Word.UNKNOWN


def test_some_failures_too_few_to_be_sure_do_not_pass() -> None:
    """HawkBit's gap: a group that met neither threshold went on."""
    verdict = judge(POLICY, looked(counted(confirmed=9, soaked=9, failed=1)))
    assert verdict.word is Word.UNKNOWN
    assert "too few to be sure" in verdict.reason


def test_a_few_failures_in_a_large_stage_are_allowed() -> None:
    assert judge(POLICY, looked(counted(confirmed=999, soaked=10, failed=2, lost=1))).word is Word.PASS


def test_one_in_fifty_halts_among_a_thousand() -> None:
    assert judge(POLICY, counted(confirmed=980, soaked=10, failed=20)).word is Word.FAIL


def test_failures_told_first_are_not_taken_for_the_whole() -> None:
    """Of a thousand devices under way, the few that fail tell so long before the others confirm."""
    assert judge(POLICY, counted(open=997, failed=3)).word is Word.UNKNOWN


def test_most_of_a_stage_must_have_confirmed() -> None:
    stuck = counted(open=90, confirmed=10, soaked=10)
    assert check(stuck, "confirms") is Word.UNKNOWN
    assert check(counted(open=20, confirmed=80, soaked=10), "confirms") is Word.PASS


def test_more_crashes_than_the_rest_halt() -> None:
    crashing = replace(HEALTHY, stage=Exposure(1_000, {"app_crashes": 5, "task_restarts": 2}))
    assert judge(POLICY, looked(crashing)).word is Word.FAIL
    assert check(crashing, "crashes") is Word.FAIL


def test_a_single_crash_is_an_anecdote() -> None:
    assert check(replace(HEALTHY, stage=Exposure(1_000, {"app_crashes": 1})), "crashes") is Word.PASS


def test_crashes_too_few_to_be_sure_hold() -> None:
    assert check(replace(HEALTHY, stage=Exposure(1_000, {"app_crashes": 3})), "crashes") is Word.UNKNOWN


def test_an_outage_that_hits_everyone_tells_nothing_against_the_release() -> None:
    outage = replace(HEALTHY, stage=Exposure(1_000, {"drops": 10}), rest=Exposure(99_000, {"drops": 990}))
    assert judge(POLICY, looked(outage)).word is Word.PASS


def test_an_outage_after_most_have_changed_sides_tells_nothing_against_the_release() -> None:
    """The sums say 9000 here to 1100 there in as many device-seconds. Look by look nobody is worse than the other."""
    quiet = gather(POLICY, OPENED, Exposure(100_000, {"drops": 100}), Exposure(1_000_000, {"drops": 1_000}), 9_000, 1.0)
    stage, rest = Exposure(1_000_000, {"drops": 9_100}), Exposure(1_010_000, {"drops": 1_100})
    outage = gather(POLICY, quiet, stage, rest, 9_000, 2.0)
    evidence = replace(HEALTHY, stage=stage, rest=rest, logs=outage.logs, presence=replace(SEEN, here=9_000))
    assert judge(POLICY, evidence).word is not Word.FAIL
    pooled = gather(POLICY, OPENED, stage, rest, 9_000, 2.0)
    assert judge(POLICY, replace(evidence, logs=pooled.logs)).word is Word.FAIL


def test_a_rest_of_one_device_says_little() -> None:
    """At the end of a rollout the few that are left have no crash in a day; that is no evidence against the many."""
    last = replace(HEALTHY, presence=replace(SEEN, here=2_000, here_heard=2_000, rest=1), stage=Exposure(6e8, {"app_crashes": 64}),
                   rest=Exposure(2.6e6, {}))
    assert check(last, "crashes") is Word.PASS


def test_a_look_without_news_of_one_side_waits() -> None:
    assert gather(POLICY, OPENED, Exposure(10, {"drops": 1}), Exposure(), 1, 5.0) is OPENED
    assert gather(POLICY, OPENED, Exposure(), Exposure(10), 1, 5.0) is OPENED


def test_a_canary_with_a_bad_link_is_not_taken_for_a_bad_release() -> None:
    """It drops ten times as often as the rest, as it always did; in a stage of a thousand that would be the release."""
    alone = replace(HEALTHY, counts=Counts(confirmed=1, soaked=1), needed=1, presence=replace(SEEN, here=1),
                    stage=Exposure(1_000, {"drops": 20}))
    assert check(alone, "drops") is Word.PASS
    assert check(replace(alone, presence=replace(SEEN, here=900, here_heard=900)), "drops") is Word.FAIL


def test_no_report_since_the_stage_opened_is_unknown() -> None:
    assert check(replace(HEALTHY, stage=Exposure()), "drops") is Word.UNKNOWN
    assert check(replace(HEALTHY, stage=Exposure(100)), "drops") is Word.UNKNOWN
    assert check(replace(HEALTHY, rest=Exposure()), "drops") is Word.UNKNOWN
    assert check(replace(HEALTHY, rest=Exposure()), "traffic") is Word.UNKNOWN


def test_devices_that_are_missing_hold_and_do_not_halt() -> None:
    missing = replace(SEEN, here=100, here_heard=90)
    assert check(replace(HEALTHY, presence=missing), "online") is Word.UNKNOWN
    assert check(replace(HEALTHY, presence=replace(missing, rest_heard=900)), "online") is Word.PASS   # so is the rest


def test_much_more_traffic_holds_and_does_not_halt() -> None:
    talkative = replace(HEALTHY, stage=Exposure(1_000, {"tx_bytes": 20_000, "rx_bytes": 5_000}))
    assert check(talkative, "traffic") is Word.UNKNOWN
    assert judge(POLICY, looked(talkative)).word is Word.UNKNOWN


def test_with_nobody_left_there_is_nothing_to_compare() -> None:
    alone = replace(SEEN, rest=0, rest_heard=0, fleet=10)
    assert judge(POLICY, replace(HEALTHY, rest=Exposure(), presence=alone)).word is Word.PASS


@pytest.mark.parametrize("nothing", [Counts(), Counts(open=3)])
def test_without_evidence_nothing_passes(nothing: Counts) -> None:
    empty = Evidence(nothing, needed=1, soak_s=0, presence=Presence(), stage=Exposure(), rest=Exposure())
    assert judge(POLICY, empty).word is Word.UNKNOWN


def test_larger_stages_are_allowed_less() -> None:
    ratios = [allowed_ratio(POLICY, devices) for devices in (0, 1, 10, 100, 10_000, 1_000_000)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == ratios[1] == 14.0
    assert ratios[-1] == pytest.approx(2.0, abs=0.02)


COUNT = st.integers(0, 50)


@given(st.builds(Counts, open=COUNT, confirmed=COUNT, soaked=COUNT, failed=COUNT, lost=COUNT), st.integers(1, 50),
       st.floats(0, 1e5), st.integers(0, 20), st.floats(0, 1e5), st.integers(0, 20),
       st.builds(Presence, here=COUNT, here_heard=COUNT, rest=COUNT, rest_heard=COUNT, rest_silent=COUNT, fleet=st.just(200)))
def test_whatever_passes_has_the_needed_devices_and_few_failures(
    counts: Counts, needed: int, seconds: float, events: int, rest_s: float, rest_events: int, presence: Presence,
) -> None:
    evidence = looked(Evidence(counts, needed, 10, presence, Exposure(seconds, {"drops": events}),
                               Exposure(rest_s, {"drops": rest_events})))
    if judge(POLICY, evidence).word is Word.PASS:
        settled = counts.failed + counts.lost + counts.confirmed
        assert counts.soaked >= needed
        assert counts.failed <= 0.002 * settled
        assert counts.lost <= (0.002 + presence.rest_silent / 200) * settled
        assert counts.confirmed >= 0.8 * counts.touched
        assert presence.rest == 0 or (seconds > 0 and rest_s > 0)


@given(st.builds(Counts, open=COUNT, confirmed=COUNT, soaked=COUNT, failed=COUNT, lost=COUNT))
def test_one_more_failure_never_makes_a_better_verdict(counts: Counts) -> None:
    order = [Word.PASS, Word.UNKNOWN, Word.FAIL]
    for worse in (replace(counts, failed=counts.failed + 1), replace(counts, lost=counts.lost + 1)):
        before, after = (judge(POLICY, replace(HEALTHY, counts=each, logs=looked(HEALTHY).logs)).word for each in (counts, worse))
        assert order.index(after) >= order.index(before) or counts.touched == 0


def test_comparisons_looked_at_a_thousand_times_keep_their_error_rate() -> None:
    """A release at the very edge of what is allowed, in a stage that grows while the fleet's level changes."""
    chance = random.Random(5)
    policy = replace(POLICY, spread=0.0, worse_alpha=0.3, stages=(100,))   # an error rate that 300 runs can show
    halted = 0
    for _ in range(300):
        state = OPENED
        stage, rest, drops, others = 0.0, 0.0, 0, 0
        for look in range(100):
            level, here_s, there_s = chance.choice((0.001, 0.02)), 10.0 + 9 * look, 1_000.0 - 9 * look
            stage, rest = stage + here_s, rest + there_s
            drops += poisson(chance, policy.worse_ratio * level * here_s)
            others += poisson(chance, level * there_s)
            state = gather(policy, state, Exposure(stage, {"drops": drops}), Exposure(rest, {"drops": others}), 10_000, look)
            evidence = Evidence(Counts(), 1, 1, SEEN, state.stage, state.rest, state.logs)
            if next(each.word for each in judge(policy, evidence).checks if each.name == "drops") is Word.FAIL:
                halted += 1
                break
    assert halted / 300 <= policy.worse_alpha / len(COMPARED)


def poisson(chance: random.Random, mean: float) -> int:
    count, left = 0, chance.expovariate(1.0)
    while left < mean:
        count, left = count + 1, left + chance.expovariate(1.0)
    return count
