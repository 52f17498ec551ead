"""Which devices a rollout is for: one small expression as data, and why a device does not match it.

Looks at what a device reports (model, counter) and at what operators say of it (site, tags). Part of a rollout's policy, fixed
when that is created. Only decides who may get a place: a device that has one keeps it, whatever becomes of its tags or version.
"""

import re
from collections.abc import Mapping
from typing import Any

from ota.rules.values import Filter, Labels, Tags

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")   # of sites and tags
MAX_NAMES = 100          # in one list of a filter: a policy has to fit into a request of 64 KiB, and be read by people
MAX_TAGS = 12            # of one device: they are kept in one column of 400 characters
MAX_COUNTER = 2**31 - 1


def check(wanted: Filter) -> None:
    """Refuse a filter that is malformed or that no device can fit.

    Raises:
        ValueError: key, got and expected of the first fault.
    """
    lists = {"models": wanted.models, "sites": wanted.sites, "tags.any": wanted.tags.any, "tags.none": wanted.tags.none}
    for key, names in lists.items():
        wrong = [name for name in names if not NAME.fullmatch(name)]
        if wrong or len(names) > MAX_NAMES:
            got = repr(wrong[0]) if wrong else f"{len(names)} names"
            raise ValueError(f"filter.{key}: got {got:.60}, expected up to {MAX_NAMES} names of up to 32 of a-z, 0-9, dot, _ and -")
    if wanted.tags.any and set(wanted.tags.any) <= set(wanted.tags.none):
        raise ValueError("filter.tags: got the same tags in any and none, expected some that a device can have")
    if wanted.versions is not None and not 0 <= wanted.versions[0] <= wanted.versions[1] <= MAX_COUNTER:
        raise ValueError(f"filter.versions: got {list(wanted.versions)}, expected the lowest and the highest counter")


def miss(wanted: Filter, model: str, counter: int, labels: Labels) -> str:
    """Tell why a device does not match; empty when it does."""
    if wanted.models and model not in wanted.models:
        return f"model: got {model}, expected {_listed(wanted.models)}"
    if wanted.versions is not None and not wanted.versions[0] <= counter <= wanted.versions[1]:
        return f"version: runs counter {counter}, expected {wanted.versions[0]} to {wanted.versions[1]}"
    return label_miss(wanted, labels)


def label_miss(wanted: Filter, labels: Labels) -> str:
    """The part of `miss` that a device's labels decide."""
    if wanted.sites and labels.site not in wanted.sites:
        return f"site: got {labels.site or 'none'}, expected {_listed(wanted.sites)}"
    if wanted.tags.any and not set(wanted.tags.any) & set(labels.tags):
        return f"tags: has {_listed(labels.tags) or 'none'}, expected {_listed(wanted.tags.any)}"
    barred = sorted(set(wanted.tags.none) & set(labels.tags))
    return f"tags: has {_listed(barred)}, which the rollout leaves out" if barred else ""


def may_share(one: Filter, other: Filter) -> bool:
    """Tell whether a device can match both filters, whatever devices there are."""
    for here, there in ((one.models, other.models), (one.sites, other.sites)):
        if here and there and not set(here) & set(there):
            return False
    for wanted, barred in ((one.tags.any, other.tags.none), (other.tags.any, one.tags.none)):
        if wanted and set(wanted) <= set(barred):
            return False
    if one.versions is None or other.versions is None:
        return True
    return one.versions[0] <= other.versions[1] and other.versions[0] <= one.versions[1]


def from_json(kept: Mapping[str, Any]) -> Filter:
    """Read a filter as a policy's row keeps it; `check` judges it."""
    tags, versions = kept["tags"], kept["versions"]
    return Filter(tuple(kept["models"]), tuple(kept["sites"]), Tags(tuple(tags["any"]), tuple(tags["none"])),
                  None if versions is None else (versions[0], versions[1]))


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names)
