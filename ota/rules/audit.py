"""Whether every version that was seen still has a way to the newest release of its model, and who would lose theirs.

Decides from values: which releases are usable (published, not retired, not withdrawn by a root, whole in the archive) and which
versions were seen are the caller's to know. Paths are `paths.plan`'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ota.rules.paths import plan
from ota.rules.values import Release

Version = tuple[str, int]   # model and release counter


@dataclass(frozen=True)
class Route:
    """How one version gets to the newest release of its model.

    Attributes:
        target: the newest usable release; None when the model has none.
        path: what is installed on the way, the target last; empty when there is nothing to install; None when there is no way.
    """

    model: str
    counter: int
    target: Release | None
    path: tuple[Release, ...] | None


def newest(model: str, releases: Iterable[Release]) -> Release | None:
    """Tell the newest release of a model."""
    return max((each for each in releases if model in each.models), key=lambda each: each.counter, default=None)


def route(version: Version, usable: Sequence[Release], floor: int) -> Route:
    """Find a version's way.

    Args:
        floor: the newest root's `min_counter`: a version below it must not stay, so without a target it has no way.
    """
    model, counter = version
    target = newest(model, usable)
    if target is None:
        return Route(model, counter, None, () if counter >= floor else None)
    return Route(model, counter, target, plan(model, counter, target, usable))


def audit(usable: Sequence[Release], floor: int, seen: Iterable[Version]) -> list[Route]:
    """Find the way of every version that was seen, by model and counter."""
    return [route(version, usable, floor) for version in sorted(set(seen))]


def broken(before: Iterable[Route], after: Iterable[Route]) -> list[Version]:
    """Tell which versions had a way before a change and have none after it."""
    lost = {(each.model, each.counter) for each in after if each.path is None}
    return sorted((each.model, each.counter) for each in before if each.path is not None and (each.model, each.counter) in lost)
