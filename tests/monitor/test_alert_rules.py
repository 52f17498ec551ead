"""Rules files: what is wrong is told by the rule's name and the key, and the shipped ones hold."""

from pathlib import Path
from typing import Any

import pytest

from host.monitor.alerting.rules import Rule, load_rules, matches
from host.settings import SettingsError
from tests.monitor.alerts import rule

SHIPPED = Path(__file__).parents[2] / "deploy/alerts/rules.toml"
GOOD = '[[rule]]\nname = "hot"\nmetric = "m"\nabove = 80\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    return path


def test_the_shipped_rules_are_rules_and_each_number_has_its_reason():
    assert len(load_rules(SHIPPED)) >= 10
    levels = [line for line in SHIPPED.read_text().splitlines() if line.startswith(("above", "below"))]
    assert levels
    assert not [line for line in levels if "#" not in line]


@pytest.mark.parametrize(("text", "key", "expected"), [
    (GOOD + "abvoe = 3\n", "rule hot.abvoe", "one of "),
    (GOOD + "for_s = -1\n", "rule hot.for_s", "greater than or equal to 0"),
    (GOOD + "below = 3\n", "rule hot", "exactly one of above, below and absent"),
    (GOOD + "clear = 90\n", "rule hot", "clear on the healthy side"),
    (GOOD + 'message = "{site}"\n', "rule hot", "not site"),
    (GOOD + 'message = "{value.__class__}"\n', "rule hot.message", "fields of the form"),
    (GOOD + 'message = "{value!r:>9999}"\n', "rule hot.message", "fields of the form"),
    (GOOD + 'unless = ["cold"]\n', "rule hot.unless", "earlier"),
    (GOOD + "wide_only = true\n", "rule hot", "wide_share or wide_count"),
    (GOOD + "severity = \"loud\"\n", "rule hot.severity", "'info', 'warning' or 'critical'"),
    (GOOD + GOOD, "rule hot.name", "each rule's own"),
    ('[[rule]]\nmetric = "m"\nabove = 1\n', "rule 1.name", "field required"),
    ('[[rule]]\nname = "hot"\nmetric = "m"\nabove = nan\n', "rule hot.above", "finite"),
    ('[[rule]]\nname = "gone"\nmetric = "m"\nabsent = true\ngroup_by = ["site"]\n', "rule gone", "what is not there"),
    ("[[rules]]\n", "rule", "field required"),
    ("[[rule]\n", "rules.toml", "valid TOML"),
])
def test_a_wrong_rule_is_named_with_its_key(tmp_path: Path, text: str, key: str, expected: str):
    with pytest.raises(SettingsError) as caught:
        load_rules(written(tmp_path, text))
    assert caught.value.key.startswith(key) or caught.value.key.endswith(key)
    assert expected in caught.value.expected


def test_a_message_that_parses_badly_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"rule hot\.message"):
        load_rules(written(tmp_path, GOOD + 'message = "{count"\n'))


@pytest.mark.parametrize(("patterns", "labels", "found"), [
    ({}, {}, True), ({"site": "n*"}, {"site": "nord"}, True), ({"site": "n*"}, {"site": "syd"}, False),
    ({"site": "!n*"}, {"site": "syd"}, True), ({"site": "!nord"}, {"site": "nord"}, False), ({"site": ""}, {}, True),
    ({"site": "?*"}, {}, False), ({"site": "nord", "model": "hall"}, {"site": "nord", "model": "gate"}, False),
])
def test_selectors(patterns: dict[str, str], labels: dict[str, str], found: bool):
    assert matches(patterns, labels) is found


@pytest.mark.parametrize(("changes", "firing", "total", "was", "wide"), [
    ({"wide_share": 0.5}, 5, 10, False, True), ({"wide_share": 0.5}, 4, 10, False, False), ({"wide_share": 0.5}, 3, 10, True, True),
    ({"wide_share": 0.5}, 2, 10, True, False), ({"wide_share": 0.5}, 1, 1, False, False), ({"wide_count": 3}, 3, 1000, False, True),
    ({"wide_share": 0.5, "wide_count": 3}, 2, 4, False, False), ({"wide_share": 0.5, "wide_count": 3}, 3, 10, False, False),
    ({}, 10, 10, False, False),
])
def test_outages_begin_and_end_at_different_shares(changes: dict[str, Any], firing: int, total: int, was: bool, wide: bool):
    assert rule(**changes).is_wide(firing, total, was=was) is wide


def test_every_key_of_a_rule_is_told_in_the_design():
    design = (SHIPPED.parents[2] / "host/DESIGN.md").read_text(encoding="utf-8")
    assert not [name for name in Rule.model_fields if f"`{name}`" not in design]
