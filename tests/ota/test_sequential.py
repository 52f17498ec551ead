"""E-values: their expectation under what is allowed, at every look and however late outcomes are told; and their power."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.rules.sequential import NOTHING, RATIOS, add_look, log_mixture, log_share, reaches

SHARE = st.floats(0.0005, 0.6)


def binomial(bad: int, of: int, share: float) -> float:
    return math.comb(of, bad) * share**bad * (1 - share) ** (of - bad)


@given(st.integers(1, 60), SHARE, st.floats(0, 1))
def test_the_expectation_is_at_most_one_for_every_share_that_is_allowed(of: int, allowed: float, part: float) -> None:
    expected = sum(binomial(bad, of, part * allowed) * math.exp(log_share(bad, of, allowed)) for bad in range(of + 1))
    assert expected <= 1 + 1e-9


@given(st.integers(0, 30), st.integers(0, 30), SHARE)
def test_one_device_more_is_a_fair_bet_at_the_allowed_share(bad: int, good: int, allowed: float) -> None:
    """A martingale: so a look may come after any device."""
    now = math.exp(log_share(bad, bad + good, allowed))
    then = allowed * math.exp(log_share(bad + 1, bad + good + 1, allowed)) + (1 - allowed) * math.exp(
        log_share(bad, bad + good + 1, allowed))
    assert then == pytest.approx(now, rel=1e-9)


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(1, 20), st.integers(1, 40), st.floats(0, 1))
def test_a_look_is_at_most_a_fair_bet_for_every_ratio_that_is_allowed(
    here_s: float, there_s: float, ratio: float, events: int, part: float,
) -> None:
    odds = part * ratio * here_s / there_s
    expected = sum(
        binomial(here, events, odds / (1 + odds)) * math.exp(log_mixture(
            add_look(NOTHING, here, here_s, events - here, there_s, ratio)))
        for here in range(events + 1))
    assert expected <= 1 + 1e-9


def test_looks_add_up_and_begin_with_nothing() -> None:
    assert log_mixture(NOTHING) == pytest.approx(0.0)
    twice = add_look(add_look(NOTHING, 3, 10, 4, 100, 2), 5, 10, 6, 100, 2)
    assert twice == pytest.approx(add_look(NOTHING, 8, 20, 10, 200, 2))   # at equal shares of up-time the looks do not matter
    assert len(twice) == len(RATIOS)


def test_failures_told_early_do_not_break_the_error_rate() -> None:
    """Failures are told at once, successes only when all is over, and every device is a look: at the edge of what is allowed."""
    chance = random.Random(3)
    allowed, alpha, halted = 0.05, 0.1, 0
    for _ in range(1_000):
        bad = 0
        for touched in range(1, 301):
            bad += chance.random() < allowed
            if reaches(log_share(bad, touched, allowed), alpha):
                halted += 1
                break
    assert 0 < halted / 1_000 <= alpha


def test_a_release_that_fails_everywhere_is_found_with_the_first_device() -> None:
    assert reaches(log_share(1, 1, 0.002), 0.004)
    assert not reaches(log_share(1, 2, 0.002), 0.004)


def test_two_in_a_hundred_are_found_in_a_large_stage_and_two_in_a_thousand_are_not() -> None:
    assert reaches(log_share(20, 1_000, 0.003), 0.004)
    assert not reaches(log_share(20, 10_000, 0.003), 0.004)
    assert log_share(2_000, 1_000_000, 0.002) < 0


def test_nothing_failed_is_no_evidence_and_certainly_good_underflows_quietly() -> None:
    assert log_share(0, 0, 0.002) == pytest.approx(0.0)
    assert log_share(0, 1_000_000, 0.002) < -1_000


def test_counts_that_cannot_be_are_refused() -> None:
    for bad, touched, allowed in ((2, 1, 0.1), (-1, 1, 0.1), (0, 1, 0.0), (0, 1, 1.0)):
        with pytest.raises(ValueError, match=f"{bad} of {touched} at {allowed}"):
            log_share(bad, touched, allowed)
    with pytest.raises(ValueError, match="device-seconds"):
        add_look(NOTHING, 1, 0, 1, 10, 2)
