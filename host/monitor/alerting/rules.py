"""What an alert rule is, and which samples it is about.

Decides whether a rule makes sense and what one value means to it. Errors name the rule and its key. Reads one file, of TOML or
JSON; keeps no state.
"""

import json
import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from host.settings import Settings, SettingsError, load, validated

MAX_RULES = 500          # a person reads them
DAY_S = 86_400
SEVERITIES = ("info", "warning", "critical")   # ascending
# What a message may say beside the labels of `group_by`.
FIELDS = frozenset({"rule", "severity", "count", "total", "value", "members", "group"})
WIDE_LEAST = 2           # members: the failure of one is never a site's

Severity = Literal["info", "warning", "critical"]


class Rule(Settings):
    """One rule.

    Attributes:
        name: unique in the file.
        metric: name of the samples that it watches.
        where: label -> pattern with * and ?; all must match. A pattern that begins with "!" must not.
        above: a value above it is a breach. below: the other way round. absent: no sample matches at all.
        rise_s: s; what counts is by how much the value rose within this (at least within half of it): for sums that only grow.
        clear: a firing alert is over when the value is back at this or beyond it; default the level itself.
        for_s: s; the breach must have been seen for so long.
        severity: info, warning or critical; targets choose by it.
        group_by: labels whose values make one group; a group is told as one. None: all that the rule finds is one group.
        wide_share: 0..1; a group with this share of its members firing is one outage, told once. wide_count: so many.
            With both, both must be reached.
        wide_only: fewer are not told at all; another rule tells of those.
        unless: earlier rules; while one of them has told of a group that a member belongs to, this one is mute about the member.
        wait_s: s; a group waits so long after a change, so that what fails together is told together.
        every_s: s; a group is not told of more often.
        repeat_s: s; what still fires is told again after this; 0: never.
        forget_s: s; an alert whose samples stopped for so long is given up, which is said. Less would take silence for health.
        message: template; fields are FIELDS and the labels of `group_by`.
    """

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,63}$")
    metric: str = Field(pattern="^[a-zA-Z_:][a-zA-Z0-9_:]{0,127}$")
    where: dict[str, str] = {}   # noqa: RUF012  frozen with the model
    above: float | None = None
    below: float | None = None
    absent: bool = False
    rise_s: float | None = Field(None, ge=60, le=30 * DAY_S)
    clear: float | None = None
    for_s: float = Field(0, ge=0, le=30 * DAY_S)
    severity: Severity = "warning"
    group_by: tuple[str, ...] = ()
    wide_share: float | None = Field(None, gt=0, le=1)
    wide_count: int | None = Field(None, ge=2)
    wide_only: bool = False
    unless: tuple[str, ...] = ()
    wait_s: float = Field(60, ge=0, le=3600)
    every_s: float = Field(300, ge=0, le=DAY_S)
    repeat_s: float = Field(0, ge=0, le=30 * DAY_S)
    forget_s: float = Field(14 * DAY_S, ge=3600)
    message: str = Field("{count} of {total}: {members}", max_length=1000)

    @field_validator("above", "below", "clear")
    @classmethod
    def _is_number(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError("a finite number")
        return value

    @field_validator("message")
    @classmethod
    def _parses(cls, message: str) -> str:
        for _, field, form, conversion in Formatter().parse(message):
            if field is not None and (not field.isidentifier() or form or conversion):
                raise ValueError("fields of the form {name} only")
        return message

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.above is not None) + (self.below is not None) + self.absent != 1:
            raise ValueError("exactly one of above, below and absent")
        if self.clear is not None and (self.absent or self.breached(self.clear)):
            raise ValueError("clear on the healthy side of above or below")
        if self.absent and (self.group_by or self.wide_share or self.wide_count or self.rise_s):
            raise ValueError("no group_by, wide_share, wide_count or rise_s with absent: what is not there has none of it")
        if self.wide_only and self.wide_share is None and self.wide_count is None:
            raise ValueError("wide_share or wide_count with wide_only")
        known = FIELDS | set(self.group_by)
        unknown = sorted({field for _, field, _, _ in Formatter().parse(self.message) if field} - known)
        if unknown:
            raise ValueError(f"message with fields of {', '.join(sorted(known))}; not {unknown[0]}")
        return self

    def breached(self, value: float) -> bool:
        """Tell whether a value fires."""
        if self.absent:
            return value < 1   # samples found
        return value > self.above if self.above is not None else value < (self.below or 0.0)

    def cleared(self, value: float) -> bool:
        """Tell whether a value ends an alert; between the two levels it neither fires nor ends one."""
        if self.absent:
            return value >= 1
        if self.above is not None:
            return value <= (self.above if self.clear is None else self.clear)
        return value >= ((self.below or 0.0) if self.clear is None else self.clear)

    def worse(self, one: float, other: float) -> bool:
        """Tell whether a value is nearer to firing than another."""
        return one > other if self.above is not None else one < other

    def is_wide(self, firing: int, total: int, *, was: bool) -> bool:
        """Tell whether so many firing members are one outage; one that was ends below half of what begins one."""
        if self.wide_share is None and self.wide_count is None:
            return False
        need = max(self.wide_count or WIDE_LEAST, math.ceil((self.wide_share or 0.0) * total))
        return firing * 2 >= need if was else firing >= need


class RulesFile(Settings):
    """The file: `[[rule]]` tables."""

    rule: tuple[dict[str, Any], ...] = Field(max_length=MAX_RULES)


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read a file of rules.

    Raises:
        SettingsError: the file is unusable, or a rule is; the key is `rule <its name>.<key>`.
    """
    rules: list[Rule] = []
    for number, values in enumerate(load(RulesFile, path).rule, 1):
        named = values.get("name")
        rule = validated(Rule, values, f"rule {named if isinstance(named, str) else number}")
        if any(rule.name == other.name for other in rules):
            raise SettingsError(f"rule {rule.name}.name", "a name twice", "each rule's own")
        for other in rule.unless:
            if all(other != each.name for each in rules):
                raise SettingsError(f"rule {rule.name}.unless", repr(other), "names of rules that stand earlier in the file")
        rules.append(rule)
    return tuple(rules)


def matches(patterns: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether labels fit all patterns; a label that is not there is empty."""
    return all(fits(pattern, labels.get(label, "")) for label, pattern in patterns.items())


def fits(pattern: str, value: str) -> bool:
    if pattern.startswith("!"):
        return not fnmatchcase(value, pattern[1:])
    return fnmatchcase(value, pattern)


def key_of(labels: Mapping[str, str]) -> str:
    """Name a set of labels; read back by `labels_of`."""
    return json.dumps(dict(sorted(labels.items())), separators=(",", ":"))


def labels_of(key: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(key)
    return found
