"""What lies in deploy/ for Prometheus and Grafana: rules that promtool passes and fires, and no metric that nobody exports."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from host.monitor.catalogue import HISTOGRAM, METRICS

ROOT = Path(__file__).parents[2]
PROMETHEUS, GRAFANA = ROOT / "deploy/prometheus", ROOT / "deploy/grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
NAME = re.compile(r"(?<![\w:])tenfold_[a-z0-9_]+")
EXPORTED = {name + part for name, metric in METRICS.items() for part in (
    ("_bucket", "_sum", "_count") if metric.kind == HISTOGRAM else ("",))}
ALERTS = (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")
METRICS_MD = (ROOT / "host/monitor/METRICS.md").read_text(encoding="utf-8")


def promtool(*arguments: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: rules and alerts are NOT checked (Debian: prometheus)")
    done = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def queries(board: dict) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]] + [
        each["definition"] for each in board["templating"]["list"]]


def test_promtool_takes_the_configuration_and_its_rules() -> None:
    promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_for_its_fault_and_not_beside_it() -> None:
    promtool("test", "rules", "tests.yml")


def test_every_alert_has_such_a_test_and_says_what_to_do() -> None:
    tested = (PROMETHEUS / "tests.yml").read_text(encoding="utf-8")
    names = re.findall(r"alert: (\w+)", ALERTS)
    assert len(names) > 10
    assert not [name for name in names if f"alertname: {name}\n        exp_alerts:\n          - " not in tested]
    assert ALERTS.count("action: ") == ALERTS.count("summary: ") == len(names)


@pytest.mark.parametrize("name", ["rules.yml", "alerts.yml", "tests.yml"])
def test_rules_name_only_what_is_exported(name: str) -> None:
    assert set(NAME.findall((PROMETHEUS / name).read_text(encoding="utf-8"))) <= EXPORTED


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_names_only_what_is_exported_with_its_labels(path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    named = {name for query in queries(board) for name in NAME.findall(query)}
    assert named
    assert named <= EXPORTED
    for query in queries(board):
        for name, matchers in re.findall(r"(tenfold_[a-z0-9_]+)\{([^}]*)\}", query):
            assert set(re.findall(r"(\w+)=", matchers)) <= set(METRICS[name].labels), query


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_promtool_parses_every_query_of_a_dashboard(path: Path, tmp_path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    rules = [{"record": f"query:{number}", "expr": re.sub(r"\$(site|model|release|device)\b", ".*", expression)}
             for number, expression in enumerate(query for query in queries(board) if not query.startswith("label_values("))]
    file = tmp_path / "rules.yml"   # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": path.stem, "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", str(file))


def test_dashboards_and_datasource_belong_together() -> None:
    assert [path.stem for path in DASHBOARDS] == ["device", "fleet", "ingest", "rollout"]
    source = (GRAFANA / "provisioning/datasources/tenfold.yml").read_text(encoding="utf-8")
    for path in DASHBOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        assert board["uid"] == f"tenfold-{path.stem}"
        uids = {panel["datasource"]["uid"] for panel in board["panels"]}
        assert [f"uid: {uid}" in source for uid in uids] == [True]
        places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in board["panels"]]
        assert all(x + w <= 24 for x, _, w, _ in places)


def test_every_metric_is_on_a_dashboard_or_in_a_rule_and_in_the_document() -> None:
    shown = {name for path in (*DASHBOARDS, PROMETHEUS / "rules.yml", PROMETHEUS / "alerts.yml")
             for name in NAME.findall(path.read_text(encoding="utf-8"))}
    derived = {   # each can be had from another that is shown, or is for rules that are evaluated in the host
        "tenfold_link_online_ratio", "tenfold_link_drops_per_device_day", "tenfold_stored_records_total",
        "tenfold_stored_bytes_total", "tenfold_ring_dropped_records_total", "tenfold_drops_told_total", "tenfold_check_ins_total",
        "tenfold_groups_folded", "tenfold_devices_left_out"}
    assert EXPORTED - shown == derived


def test_the_document_lists_every_metric_as_the_catalogue_has_it() -> None:
    rows = [f"| `{name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.text} |".replace("|  |", "| |")
            for name, metric in METRICS.items()]
    assert [line for line in METRICS_MD.splitlines() if line.startswith("| `tenfold_")] == rows
