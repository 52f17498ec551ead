"""How a device gets from what it runs to a release: directly, or over stepping stones.

Versions are compared by release counter, never by label. A hop is allowed when the signed manifest's `from` range contains
the counter that the device runs; only stepping stones serve as stops, because an ordinary release between may be a bad one
that was withdrawn. The planner has no memory: a device back from years of sleep gets its next hop at each check-in.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from ota.rules.values import Release


def hop_allowed(counter: int, release: Release) -> bool:
    """Tell whether a device that runs `counter` may install `release` directly; never sideways or back."""
    return release.from_lo <= counter <= release.from_hi and counter < release.counter


def plan(model: str, counter: int, target: Release, releases: Iterable[Release]) -> tuple[Release, ...] | None:
    """Find the shortest path of releases from a counter to the target.

    Args:
        releases: all that are published; only the stepping stones for the model are used. The target need not be among them.

    Returns:
        The releases to install in order, the last is `target`; empty when the device runs it or something newer; None when
        there is no path. Of equally short paths the one with the newest stops.
    """
    if counter >= target.counter:
        return ()
    if model not in target.models:
        return None
    stones = sorted((each for each in releases if each.stone and model in each.models and each.counter < target.counter),
                    key=lambda each: -each.counter)
    return _search(counter, [target, *stones], target)


def _search(counter: int, nodes: Sequence[Release], target: Release) -> tuple[Release, ...] | None:
    """Breadth first, so the first path to arrive is a shortest one; each node is visited once."""
    waiting: deque[tuple[int, tuple[Release, ...]]] = deque([(counter, ())])
    seen: set[int] = set()
    while waiting:
        here, path = waiting.popleft()
        for node in nodes:
            if node.counter in seen or not hop_allowed(here, node):
                continue
            if node.manifest == target.manifest:
                return (*path, node)
            seen.add(node.counter)
            waiting.append((node.counter, (*path, node)))
    return None


def stranded(target: Release, releases: Iterable[Release], seen: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Tell which (model, counter) pairs that were seen could not reach a release; publishing it would leave them behind."""
    published = list(releases)
    return sorted(
        (model, counter) for model, counter in set(seen)
        if model in target.models and plan(model, counter, target, published) is None
    )
