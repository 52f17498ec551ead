"""Old devices find their way, and nobody is sent back or stranded."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ota.rules.paths import STEP_BYTES, down_bytes, hop_allowed, plan, stranded
from ota.rules.values import Load, Release, Way


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


def load(counter: int, artifact_bytes: int, image_bytes: int = 0, *ways: tuple[str, int, int]) -> Load:
    """Ways: (part, counter of the release from which it starts, bytes)."""
    return Load(f"artifact {counter}", artifact_bytes, f"image {counter}" if image_bytes else None, image_bytes,
                tuple(Way(part, f"{part} {base}", f"delta {base}-{counter}", size) for part, base, size in ways))


def loaded(each: Release, *found: object) -> Release:
    return replace(each, load=load(each.counter, *found))   # type: ignore[arg-type]


def test_two_deltas_over_a_stone_are_passed_over_for_a_whole_image() -> None:
    running = loaded(release(1, 0, 0), 100_000, 1_600_000)
    stone = loaded(release(2, 0, 1, stone=True), 100_000, 1_600_000, ("image", 1, 80_000), ("artifact", 1, 900))
    newest = loaded(release(3, 0, 2), 100_000, 1_600_000, ("image", 2, 90_000))
    known = [running, stone, newest]
    path = plan("hall", 1, release(3, 0, 2), known)   # a rollout's release comes without its load
    assert counters(path) == [2, 3]
    assert path is not None
    assert down_bytes("hall", 1, path, known) == [80_900, 190_000]
    assert counters(plan("hall", 0, newest, known)) == [3]   # nobody knows what lies on a device of a release that is gone


def test_a_step_more_is_taken_for_a_kilobyte() -> None:
    running, newest = loaded(release(1, 0, 0), 9_000), loaded(release(3, 0, 2), 9_000, 0, ("artifact", 2, 500))
    stone = loaded(release(2, 0, 1, stone=True), 9_000, 0, ("artifact", 1, 500))
    assert counters(plan("hall", 1, newest, [running, stone, newest])) == [3]


def test_a_stone_without_an_image_hides_the_delta_of_the_image_before_it() -> None:
    running, stone = loaded(release(1, 0, 0), 9_000, 1_600_000), loaded(release(2, 0, 1, stone=True), 9_000)
    newest = loaded(release(3, 2, 2), 9_000, 1_600_000, ("image", 1, 70_000))
    known = [running, stone, newest]
    path = plan("hall", 1, newest, known)
    assert path is not None
    assert down_bytes("hall", 1, path, known) == [9_000, 79_000]


LOADS = st.tuples(st.integers(0, 200_000), st.sampled_from([0, 400_000]), st.lists(
    st.tuples(st.sampled_from(["artifact", "image"]), st.integers(0, 12), st.integers(0, 100_000)), max_size=4))
RELEASES = st.lists(st.builds(
    lambda counter, low, span, stone, parts: loaded(
        release(counter, low, low + span, stone=stone), parts[0], parts[1], *parts[2]),
    st.integers(1, 12), st.integers(0, 11), st.integers(0, 5), st.booleans(), LOADS), max_size=8,
    unique_by=lambda each: each.counter)


def cheapest(counter: int, target: Release, known: list[Release]) -> int | None:
    """The cheapest path by trying everything."""
    return min((sum(down_bytes("hall", counter, path, known)) + len(path) * STEP_BYTES
                for path in every_path(counter, target, known)), default=None)


def every_path(counter: int, target: Release, stones: list[Release]) -> Iterator[tuple[Release, ...]]:
    if hop_allowed(counter, target):
        yield (target,)
    for stone in stones:
        if stone.stone and stone.counter < target.counter and hop_allowed(counter, stone):
            for rest in every_path(stone.counter, target, stones):
                yield (stone, *rest)


@given(st.integers(0, 12), RELEASES, LOADS)
def test_the_path_is_the_cheapest_one_and_every_hop_is_allowed(
        counter: int, releases: list[Release], parts: tuple[int, int, list[tuple[str, int, int]]]) -> None:
    target = loaded(release(13, 4, 12), parts[0], parts[1], *parts[2])
    path = plan("hall", counter, target, releases)
    if path is None:
        assert cheapest(counter, target, releases) is None
        return
    assert sum(down_bytes("hall", counter, path, releases)) + len(path) * STEP_BYTES == cheapest(counter, target, releases)
    assert path[-1] == target
    for before, after in zip([counter, *[each.counter for each in path]], path, strict=False):
        assert hop_allowed(before, after)
    assert all(each.stone for each in path[:-1])
    rest = plan("hall", path[0].counter, target, releases)   # at its next check-in the device goes on, on a path as cheap
    if path[0].load.image:   # else the server no longer knows which image lies there
        assert rest is not None
        assert sum(down_bytes("hall", path[0].counter, rest, releases)) + len(rest) * STEP_BYTES == sum(
            down_bytes("hall", counter, path, releases)[1:]) + (len(path) - 1) * STEP_BYTES
