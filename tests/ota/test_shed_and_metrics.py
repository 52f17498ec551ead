"""Load on a slope, and counters that are never counted twice."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.rules.metrics import delta
from ota.rules.shed import MAX_PERIOD_S, PROMISED, Admission, Tokens, period, retry_after


def test_a_small_fleet_checks_in_as_often_as_asked() -> None:
    assert period(300, 24, 1_000) == 300


def test_a_large_fleet_is_slowed_down() -> None:
    assert period(300, 1_000_000, 1_000) == 1_250   # 800 a second: peaks stay below 1,000
    assert period(300, 10**9, 1_000) == MAX_PERIOD_S


def test_those_turned_away_do_not_come_back_together() -> None:
    assert {retry_after(30, chance / 10) for chance in range(11)} >= {30, 45}
    assert retry_after(0.01, 0.0) == 1


@given(st.lists(st.floats(0, 5), max_size=200), st.floats(0.5, 20), st.floats(1, 20))
def test_a_token_bucket_never_gives_more_than_burst_and_rate(waits: list[float], rate: float, burst: float) -> None:
    tokens, now_s, given_out = Tokens(rate, burst, burst, 0.0), 0.0, 0
    for wait in waits:
        now_s += wait
        tokens, refused_s = tokens.take(now_s)
        given_out += refused_s == 0.0
        assert given_out <= burst + rate * now_s + 1e-6


def test_the_wait_told_is_long_enough() -> None:
    tokens, _ = Tokens(2, 1, 1, 0.0).take(0.0)
    tokens, wait_s = tokens.take(0.0)
    assert wait_s == pytest.approx(0.5)
    assert tokens.take(wait_s)[1] == 0.0


def test_a_clock_set_back_gives_no_tokens() -> None:
    tokens, _ = Tokens(1, 1, 1, 100.0).take(100.0)
    assert tokens.take(50.0)[1] > 0


def test_first_sight_adds_nothing() -> None:
    assert delta(None, 0, {"uptime_s": 500, "drops": 3}, 7) == {}


def test_growth_within_a_boot() -> None:
    assert delta({"uptime_s": 10, "drops": 1}, 3, {"uptime_s": 15, "drops": 1}, 3) == {"uptime_s": 5}


def test_counters_that_started_over_with_a_boot_count_in_full() -> None:
    assert delta({"uptime_s": 100, "drops": 9}, 3, {"uptime_s": 5, "drops": 2}, 4) == {"uptime_s": 5, "drops": 2}


def test_resets_are_counted_since_birth_and_so_survive_boots() -> None:
    assert delta({"uptime_s": 100, "resets": 7}, 3, {"uptime_s": 5, "resets": 9}, 5)["resets"] == 2
    assert "resets" not in delta({"uptime_s": 100}, 3, {"uptime_s": 5, "resets": 9}, 5)


def test_counters_that_fall_or_jump_add_nothing() -> None:
    assert delta({"drops": 9}, 3, {"drops": 2}, 3) == {}
    assert delta({"tx_bytes": 0}, 3, {"tx_bytes": 2**50}, 3) == {}


def test_those_turned_away_hear_different_times_at_a_part_of_the_rate() -> None:
    admission, told = Admission(Tokens(10, 10, 10, 0.0), 0.0), []
    for _ in range(40):
        admission, wait_s = admission.admit(0.0)
        told.append(wait_s)
    assert told[:10] == [0.0] * 10
    assert [later - sooner for sooner, later in pairwise(told[10:])] == pytest.approx([1 / (PROMISED * 10)] * 29)
    assert told[10] == pytest.approx(0.2)


def test_nobody_is_turned_away_for_more_than_a_day() -> None:
    admission, wait_s = Admission(Tokens(0.001, 1, 0, 0.0), 0.0), 0.0
    for _ in range(1000):
        admission, wait_s = admission.admit(0.0)
    assert wait_s == MAX_PERIOD_S


def test_promises_of_a_crowd_that_is_gone_hold_nobody_up() -> None:
    admission = Admission(Tokens(10, 1, 0, 0.0), 0.0)
    for _ in range(100):
        admission, _ = admission.admit(0.0)
    assert admission.admit(60.0)[1] == 0.0
