"""Turns of upkeep: nobody starves, nobody hurries, and a server that is away is not asked without end."""

from hypothesis import given
from hypothesis import strategies as st

from host.upkeep.schedule import FIRST_S, JITTER, RETRY_S, Outcome, Standing, after, choose, first

HOUR = 3600.0
CHANCE = st.floats(0, 1, exclude_max=True)


def test_processes_that_start_together_do_not_ask_together():
    assert {first(HOUR, 100.0, chance).due_s for chance in (0.0, 0.5)} == {100.0, 100.0 + FIRST_S / 2}
    assert first(2.0, 100.0, 0.5).due_s == 101.0   # never later than a period


@given(CHANCE)
def test_a_period_is_kept_but_for_its_jitter(chance):
    due_s = after(Standing(0), HOUR, 1000.0, 1001.0, Outcome.DONE, chance).due_s
    assert 1000.0 + HOUR * (1 - JITTER) <= due_s <= 1000.0 + HOUR


@given(CHANCE, st.sampled_from(Outcome))
def test_a_long_turn_is_followed_by_as_long_a_rest(chance, outcome):
    assert after(Standing(0), 60.0, 0.0, 7200.0, outcome, chance).due_s == 14400.0


def test_what_had_no_time_to_end_goes_on_at_once():
    assert after(Standing(0), HOUR, 0.0, 30.0, Outcome.MORE, 0.0).due_s == 60.0


@given(st.integers(0, 100), CHANCE)
def test_failures_in_a_row_are_tried_more_and_more_seldom_and_never_less_than_once_a_period(failures, chance):
    standing = after(Standing(0, failures), HOUR, 10.0, 10.0, Outcome.FAILED, chance)
    longest = min(HOUR, RETRY_S * 2**failures)
    assert 10.0 + longest / 2 <= standing.due_s <= 10.0 + longest
    assert standing.failures == failures + 1


def test_one_success_ends_the_backing_off():
    assert after(Standing(0, 7), HOUR, 0.0, 1.0, Outcome.DONE, 0.0).failures == 0


def test_who_waits_for_the_longest_comes_first():
    standings = {"b": Standing(5.0), "a": Standing(7.0), "c": Standing(30.0)}
    assert choose(standings, 10.0) == ("b", 0.0)
    assert choose(standings, 4.0) == (None, 1.0)


@given(st.lists(st.tuples(st.floats(1, HOUR), st.floats(0, 100)), min_size=2, max_size=5), CHANCE)
def test_no_task_starves_beside_others_that_take_long(tasks, chance):
    now_s, standings = 0.0, {}
    for number, (every_s, _) in enumerate(tasks):
        standings[number] = first(every_s, now_s, chance)
    turns = dict.fromkeys(standings, 0)
    for _ in range(400):
        name, wait_s = choose(standings, now_s)
        if name is None:
            now_s += wait_s
            continue
        began_s, now_s = now_s, now_s + tasks[name][1]
        standings[name] = after(standings[name], tasks[name][0], began_s, now_s, Outcome.DONE, chance)
        turns[name] += 1
        round_s = sum(took_s for _, took_s in tasks)
        waited = {other: now_s - one.due_s for other, one in standings.items()}
        assert all(waited_s <= round_s + 1e-6 for waited_s in waited.values())
