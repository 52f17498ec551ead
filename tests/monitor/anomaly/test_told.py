"""What alerts are told of findings that are kept in the database."""

from dataclasses import replace

from host.monitor.anomaly.findings import OVER_MS, Finding, scores_of
from host.monitor.anomaly.scores import LEVEL

NOW = 1_790_000_000_000
ONE = Finding("hall-1", "oil", LEVEL, "Cel", NOW - 9_000_000, NOW - 8_000_000, NOW, 12.0, 4.0, 80.0, 60.0, 9.0)


def told(*findings):
    return {(one.labels["device"], one.labels["channel"]): one.value for one in scores_of(findings, NOW)}


def test_a_finding_that_goes_on_is_told_by_how_far_it_is_beyond_its_limit():
    assert told(ONE, replace(ONE, since_ms=NOW, score=8.0), replace(ONE, channel="flow")) == {
        ("hall-1", "oil"): 3.0, ("hall-1", "flow"): 3.0}


def test_an_end_is_told_or_an_alert_would_never_end():
    over = replace(ONE, until_ms=NOW - OVER_MS + 1)
    assert told(over) == {("hall-1", "oil"): 0.0}
    assert told(over, replace(ONE, since_ms=NOW)) == {("hall-1", "oil"): 3.0}
    assert told(replace(ONE, until_ms=NOW - OVER_MS)) == {}


def test_what_the_budget_holds_back_is_not_told():
    assert told(replace(ONE, held=True)) == {}
