"""Every version has a way, or is told to have none; a change is charged only with the ways that it breaks."""

from hypothesis import given
from hypothesis import strategies as st

from ota.rules.audit import audit, broken, newest
from ota.rules.values import Release
from tests.ota.test_paths import RELEASES, release

STONE, TARGET = release(3, 0, 2, stone=True), release(5, 3, 4)


def ways(releases: list[Release], *counters: int, floor: int = 0) -> dict[int, list[int] | None]:
    found = audit(releases, floor, [("hall", counter) for counter in counters])
    return {each.counter: None if each.path is None else [step.counter for step in each.path] for each in found}


def test_each_version_is_told_its_steps() -> None:
    assert ways([STONE, TARGET], 1, 3, 5, 9) == {1: [3, 5], 3: [5], 5: [], 9: []}


def test_a_version_without_a_way_is_told() -> None:
    assert ways([TARGET], 1, 4) == {1: None, 4: [5]}


def test_without_any_release_of_the_model_there_is_nothing_to_reach() -> None:
    assert ways([release(9, 0, 8, models=("roof",))], 1) == {1: []}
    assert newest("hall", []) is None


def test_a_withdrawn_version_must_not_stay_even_if_nothing_newer_is_left() -> None:
    assert ways([], 1, 4, floor=4) == {1: None, 4: []}


def test_a_stone_that_is_needed_is_missed_and_one_that_is_not_is_not() -> None:
    seen = [("hall", 1), ("hall", 3)]
    spare = release(2, 0, 1, stone=True)
    both = audit([STONE, TARGET, spare], 0, seen)
    assert broken(both, audit([TARGET, spare], 0, seen)) == [("hall", 1)]
    assert broken(both, audit([STONE, TARGET], 0, seen)) == []


def test_what_had_no_way_before_is_not_charged_to_a_change() -> None:
    seen = [("hall", 1)]
    assert broken(audit([TARGET], 0, seen), audit([], 0, seen)) == []


@given(RELEASES, st.integers(0, 7))
def test_retiring_what_breaks_nothing_leaves_everybody_a_way(releases: list[Release], index: int) -> None:
    seen = [("hall", counter) for counter in range(13)]
    left = [each for number, each in enumerate(releases) if number != index]
    before, after = audit(releases, 0, seen), audit(left, 0, seen)
    lost = {(each.model, each.counter) for each in after if each.path is None} - {
        (each.model, each.counter) for each in before if each.path is None}
    assert set(broken(before, after)) == lost
