"""Old devices find their way, and nobody is sent back or stranded."""

from hypothesis import given
from hypothesis import strategies as st

from ota.rules.paths import hop_allowed, plan, stranded
from ota.rules.values import Release


def release(counter: int, low: int, high: int, *, stone: bool = False, models: tuple[str, ...] = ("hall",)) -> Release:
    return Release(f"{counter:064x}", f"1.{counter}.0", counter, models, low, high, stone)


def counters(path: tuple[Release, ...] | None) -> list[int] | None:
    return None if path is None else [each.counter for each in path]


NEWEST = release(9, 6, 8)
STONES = [release(3, 0, 2, stone=True), release(6, 3, 5, stone=True), release(5, 3, 4), release(7, 6, 6)]


def test_a_direct_hop_is_taken_where_the_signed_range_allows_it() -> None:
    assert counters(plan("hall", 7, NEWEST, STONES)) == [9]


def test_a_device_asleep_for_years_walks_over_the_stones() -> None:
    assert counters(plan("hall", 1, NEWEST, STONES)) == [3, 6, 9]


def test_ordinary_releases_are_no_stones() -> None:
    assert counters(plan("hall", 3, NEWEST, STONES)) == [6, 9]
    assert plan("hall", 3, NEWEST, [STONES[2]]) is None


def test_publication_order_does_not_matter() -> None:
    assert counters(plan("hall", 0, NEWEST, STONES[::-1])) == [3, 6, 9]


def test_never_sideways_and_never_back() -> None:
    assert plan("hall", 9, NEWEST, STONES) == ()
    assert plan("hall", 12, NEWEST, STONES) == ()
    assert not hop_allowed(9, release(9, 0, 20))
    assert not hop_allowed(12, release(9, 0, 20))


def test_stones_and_targets_of_another_model_are_not_used() -> None:
    assert plan("hall", 1, NEWEST, [release(3, 0, 2, stone=True, models=("roof",)), STONES[1]]) is None
    assert plan("roof", 7, NEWEST, STONES) is None


def test_stranded_versions_are_named() -> None:
    seen = [("hall", 1), ("hall", 7), ("hall", 9), ("roof", 1)]
    assert stranded(NEWEST, STONES[:2], seen) == []
    assert stranded(NEWEST, STONES[1:2], seen) == [("hall", 1)]


RELEASES = st.lists(st.builds(
    lambda counter, low, span, stone: release(counter, low, low + span, stone=stone),
    st.integers(1, 12), st.integers(0, 11), st.integers(0, 5), st.booleans()), max_size=8, unique_by=lambda each: each.counter)


def distance(counter: int, target: Release, stones: list[Release]) -> int | None:
    """Shortest path by trying everything."""
    best = 1 if hop_allowed(counter, target) else None
    for stone in stones:
        if stone.stone and stone.counter < target.counter and hop_allowed(counter, stone):
            rest = distance(stone.counter, target, stones)
            if rest is not None and (best is None or rest + 1 < best):
                best = rest + 1
    return best


@given(st.integers(0, 12), RELEASES)
def test_the_path_is_a_shortest_one_and_every_hop_is_allowed(counter: int, releases: list[Release]) -> None:
    target = release(13, 4, 12)
    path = plan("hall", counter, target, releases)
    if path is None:
        assert distance(counter, target, releases) is None
        return
    assert len(path) == distance(counter, target, releases)
    assert path[-1] == target
    for before, after in zip([counter, *[each.counter for each in path]], path, strict=False):
        assert hop_allowed(before, after)
    assert all(each.stone for each in path[:-1])
