"""Which samples are which member of a rule, and what its value is.

Decides identity: a device stays the same member when its release, model or site changes. Of several samples of one member the worst
counts, whatever their order.
"""

from collections.abc import Iterable, Mapping

from host.monitor.alerting.member import Observation
from host.monitor.alerting.rise import Mark, mark
from host.monitor.alerting.rules import Rule, key_of, labels_of, matches
from host.monitor.sample import Sample

ATTRIBUTES = frozenset({"model", "release", "site"})   # of a device: it stays the same member when they change


class Names:
    """Keys of members and groups, each made once: many metrics of a device have the same labels. For one tick."""

    def __init__(self) -> None:
        self._members: dict[tuple[tuple[str, str], ...], str] = {}
        self._groups: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}

    def member(self, labels: Mapping[str, str]) -> str:
        told = tuple(labels.items())
        key = self._members.get(told)
        if key is None:
            key = self._members[told] = key_of(identity(labels))
        return key

    def group(self, by: tuple[str, ...], labels: Mapping[str, str]) -> str:
        told = by, tuple([labels.get(label, "") for label in by])
        key = self._groups.get(told)
        if key is None:
            key = self._groups[told] = key_of(dict(zip(*told, strict=True)))
        return key


def observe(rule: Rule, samples: Iterable[Sample], names: Names | None = None) -> dict[str, Observation]:
    """Tell what samples of its metric say to a rule: one observation for each member, the worst where there are several."""
    names = names or Names()
    found = [sample for sample in samples if matches(rule.where, sample.labels)] if rule.where else list(samples)
    if rule.absent:
        return {key_of({}): Observation({}, key_of({}), float(len(found)))}
    seen: dict[str, Observation] = {}
    for sample in found:
        key = names.member(sample.labels)
        before = seen.get(key)
        if before is None or rule.worse(sample.value, before.value) or (
            sample.value == before.value and key_of(sample.labels) < key_of(before.labels)
        ):
            seen[key] = Observation(sample.labels, names.group(rule.group_by, sample.labels), sample.value)
    return seen


def risen(
    rule: Rule, window_s: float, known: Mapping[str, Mark], seen: Mapping[str, Observation], now_ms: int, most_members: int,
) -> tuple[dict[str, Observation], dict[str, Mark]]:
    """Put rises in the place of values; a member that finds no room for its marks has not risen.

    Returns:
        Observations, and the marks to remember: of members without a sample until the rule forgets them.
    """
    marks = {key: each for key, each in known.items() if key not in seen and now_ms - each.new_ms < rule.forget_s * 1000}
    found: dict[str, Observation] = {}
    for key in sorted(seen, key=lambda each: (each not in known, each)):   # those that have room keep it
        told = seen[key]
        made, rise = mark(known.get(key), told.value, now_ms, window_s)
        if len(marks) < most_members:
            marks[key] = made
        found[key] = Observation(told.labels, told.group, rise)
    return found, marks


def identity(labels: Mapping[str, str]) -> dict[str, str]:
    """Tell the labels that name a member: a device stays itself with another release or at another site."""
    if "device" not in labels:
        return dict(labels)
    return {label: value for label, value in labels.items() if label not in ATTRIBUTES}


def name_of(key: str) -> str:
    """Name a member for people: the device, and what else names it; "fleet" for that without labels."""
    labels = labels_of(key)
    device = labels.pop("device", "")
    rest = " ".join(f"{label}={value}" for label, value in labels.items())
    return " ".join(part for part in (device, rest) if part) or "fleet"
