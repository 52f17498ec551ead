"""How a device gets from what it runs to a release: directly, or over stepping stones.

Versions are compared by release counter, never by label. A hop is allowed when the signed manifest's `from` range contains
the counter that the device runs; only stepping stones serve as stops, because an ordinary release between may be a bad one
that was withdrawn. The planner has no memory: a device back from years of sleep gets its next hop at each check-in, and the rest
of a cheapest path is the cheapest path from there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from ota.rules.values import Release, Way

# What a step costs beside its download: a manifest, a direction and some TLS connections; and a reset and a trial, which a saved
# kilobyte is not worth.
STEP_BYTES = 16 * 1024


def hop_allowed(counter: int, release: Release) -> bool:
    """Tell whether a device that runs `counter` may install `release` directly; never sideways or back."""
    return release.from_lo <= counter <= release.from_hi and counter < release.counter


def plan(model: str, counter: int, target: Release, releases: Iterable[Release]) -> tuple[Release, ...] | None:
    """Find the cheapest path of releases from a counter to the target: the fewest bytes, each step counted with `STEP_BYTES`.

    Args:
        releases: all that are published; the stepping stones for the model are the stops, and the one that the device runs tells
            from where deltas lead. The target need not be among them; what is not known of a load is counted as nothing.

    Returns:
        The releases to install in order, the last is `target`; empty when the device runs it or something newer; None when
        there is no path. Of equally cheap paths the one with the fewest steps, then with the newest stops.
    """
    if counter >= target.counter:
        return ()
    if model not in target.models:
        return None
    known = [each for each in releases if model in each.models]
    stops = [each for each in known if each.stone and each.counter < target.counter]
    target = next((each for each in known if each.manifest == target.manifest), target)
    if not stops:   # nothing to weigh: by far the most check-ins
        return (target,) if hop_allowed(counter, target) else None
    return _cheapest(_start(counter, known), [target, *stops], target)


def down_bytes(model: str, counter: int, path: Iterable[Release], releases: Iterable[Release]) -> list[int]:
    """Tell what a device downloads at each step of its path, as planned; a step's own cost is left out."""
    found, here = [], _start(counter, [each for each in releases if model in each.models])
    for step in path:
        found.append(here.bytes_to(step))
        here = here.after(step)
    return found


@dataclass(frozen=True)
class _Place:
    """Where a device stands: its counter, and its bundle and image by name as far as they are known."""

    counter: int
    artifact: str | None = None
    image: str | None = None

    def after(self, step: Release) -> "_Place":
        """A release without an image leaves the one that is there."""
        if step.load is None:
            return _Place(step.counter)
        return _Place(step.counter, step.load.artifact, step.load.image or self.image)

    def bytes_to(self, step: Release) -> int:
        """The bytes of both parts, each whole or by the smallest delta that starts here, as a device fetches them."""
        load = step.load
        if load is None:
            return 0
        bundle = _part_bytes("artifact", self.artifact, load.artifact_bytes, load.ways)
        return bundle + (_part_bytes("image", self.image, load.image_bytes, load.ways) if load.image else 0)


def _part_bytes(part: str, here: str | None, whole_bytes: int, ways: Iterable[Way]) -> int:
    return min([whole_bytes, *(way.size_bytes for way in ways if way.target == part and way.base == here)])


def _start(counter: int, known: Iterable[Release]) -> _Place:
    running = next((each for each in known if each.counter == counter), None)
    return _Place(counter) if running is None else _Place(counter).after(running)


def _cheapest(start: _Place, nodes: Sequence[Release], target: Release) -> tuple[Release, ...] | None:
    """Dijkstra's search; a place is left once, by the cheapest path to it."""
    order = count()   # of equal costs and stops none is better, and releases do not compare
    waiting: list[tuple[int, int, tuple[int, ...], int, _Place, tuple[Release, ...]]] = [(0, 0, (), next(order), start, ())]
    left: set[_Place] = set()
    while waiting:
        cost, steps, stops, _, here, path = heappop(waiting)
        if path and path[-1] is target:
            return path
        if here in left:
            continue
        left.add(here)
        for node in nodes:
            if hop_allowed(here.counter, node):
                spent = cost + here.bytes_to(node) + STEP_BYTES
                heappush(waiting, (spent, steps + 1, (*stops, -node.counter), next(order), here.after(node), (*path, node)))
    return None


def stranded(target: Release, releases: Iterable[Release], seen: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Tell which (model, counter) pairs that were seen could not reach a release; publishing it would leave them behind."""
    published = list(releases)
    return sorted(
        (model, counter) for model, counter in set(seen)
        if model in target.models and plan(model, counter, target, published) is None
    )
