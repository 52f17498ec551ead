"""`tenfold alerts`: commands say what is, and mistakes what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from sqlalchemy import Engine

from host.cli.alerts_common import reader
from host.cli.known import Sources
from host.cli.root import app
from host.clock import unix_ms
from host.db import DatabaseError
from host.ingest.sort import Reject
from host.monitor.alerting.rules import load_rules
from host.monitor.alerting.runner import Runner
from host.monitor.catalogue import METRICS
from host.monitor.presence import Presence, State
from host.settings import SettingsError
from host.store.telemetry import DeviceState, Telemetry
from tests.monitor.alerts import METRIC, rule, samples
from tests.monitor.receivers import receiver

NOW_MS = 1_800_000_000_000
SHIPPED = Path(__file__).parents[2] / "deploy/alerts/rules.toml"


def run(*words: str, code: int = 0) -> str:
    done = typer.testing.CliRunner().invoke(app, ["alerts", *words], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def url(engine: Engine) -> str:
    return str(engine.url)


@pytest.fixture
def firing(engine: Engine) -> Engine:
    given = samples({"hall-1": 1000.0, "hall-2": 2000.0})
    Runner([rule(group_by=["site"])], engine, [], lambda _: given, unix_ms, evaluate_s=30, history_days=30).tick()
    return engine


def test_the_shipped_rules_pass(tmp_path: Path):
    assert "site-offline" in run("check", str(SHIPPED))
    assert {each["name"] for each in json.loads(run("check", str(SHIPPED), "--json"))} >= {"device-offline", "overflow"}


def test_what_fires_is_listed_with_its_members(firing: Engine, url: str):
    said = run("list", "--database", url)
    assert "site=nord" in said
    assert "2 firing" in said
    assert "hall-1 hall-2" in said
    (row,) = json.loads(run("list", "--database", url, "--json"))["alerts"]
    assert (row["told"], row["states"], row["members"][0]["value"]) == ("some", {"firing": 2}, 1000.0)


def test_an_empty_list_leaves_open_whether_anybody_looked(engine: Engine, url: str):
    Runner([rule()], engine, [], lambda _: [], unix_ms, evaluate_s=30, history_days=30).tick()
    assert run("list", "--database", url).startswith("nothing is pending, firing or just over; evaluated ")


def test_that_nobody_evaluates_is_said(url: str):
    assert "nobody evaluates alerts" in run("list", "--database", url)


def test_history_tells_transitions_and_notices(firing: Engine, url: str):
    rows = json.loads(run("history", "--database", url, "--json"))
    assert [row["change"] for row in rows] == ["told.firing", "ok>firing"]
    assert "ok>firing" in run("history", "--database", url, "--since", "1h", "--rule", "offline")
    assert json.loads(run("history", "--database", url, "--rule", "other", "--json")) == []


def test_a_silence_is_made_shown_and_ended(url: str):
    assert run("silence", "add", "site=nord", "--reason", "roof", "--by", "anna", "--database", url).startswith("silence 1 until ")
    (row,) = json.loads(run("silence", "list", "--database", url, "--json"))
    assert (row["matchers"], row["author"], row["reason"], row["until_ms"] - row["from_ms"]) == (
        {"site": "nord"}, "anna", "roof", 7_200_000)
    assert "anna" in run("silence", "list", "--database", url)
    run("silence", "end", "1", "--database", url)
    assert json.loads(run("silence", "list", "--database", url, "--json")) == []
    assert "not ended" in run("silence", "end", "1", "--database", url, code=2)


@pytest.mark.parametrize(("words", "told"), [
    (["nord"], "LABEL=PATTERN"), (["site=nord", "--for", "soon"], "30m"), (["site=nord", "--for", "91d"], "90 days"),
    (["site=nord", "--for", "0s"], "90 days"),
])
def test_a_silence_that_makes_no_sense_is_refused(url: str, words: list[str], told: str):
    assert told in run("silence", "add", *words, "--reason", "x", "--database", url, code=2)


def test_a_rule_is_tried_on_samples_without_telling_anybody(tmp_path: Path):
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(json.dumps({"metric": METRIC, "labels": {"device": f"d{number}", "site": "nord"}, "value": 3600})
                              for number in range(5)))
    rows = {row["rule"]: row for row in json.loads(run("test", str(SHIPPED), "--samples", str(path), "--json"))}
    assert rows["site-offline"]["groups"] == [{"group": "site=nord", "breached": 5, "members": 5, "says": "outage"}]
    assert "no samples: a wrong name" in run("test", str(SHIPPED), "--samples", str(path), "--at", "2027-06-05T22:00Z")
    path.write_text('{"metric": 1}')
    with pytest.raises(SettingsError, match="line 1"):
        run("test", str(SHIPPED), "--samples", str(path))


def test_samples_are_what_ingest_wrote(engine: Engine, url: str):
    with Telemetry(engine).begin() as transaction:
        transaction.save({
            "on": DeviceState(presence=Presence(State.ONLINE, NOW_MS - 5000, 1, "1.0.0", 1), last_ms=NOW_MS - 2000),
            "off": DeviceState(presence=Presence(State.OFFLINE, NOW_MS - 60_000, 1, "1.0.0", 1), last_ms=NOW_MS - 61_000),
        })
        transaction.quarantine([Reject("t", "d", "batch.crc", b"x")], NOW_MS)
    found = {(each.metric, each.labels.get("device", "")): each.value for each in reader(Sources(url))(NOW_MS)}
    assert (found["tenfold_device_offline_seconds", "off"], found["tenfold_device_offline_seconds", "on"]) == (60, 0)
    assert found["tenfold_device_record_age_seconds", "off"] == 61
    assert found["tenfold_ingest_quarantined_total", ""] == 1


def test_a_source_that_nobody_named_is_not_away(url: str):
    found = [(each.labels["source"], each.value) for each in reader(Sources(url))(NOW_MS) if each.metric == "tenfold_source_up"]
    assert found == [("telemetry", 1)]


def test_shipped_rules_are_about_metrics_and_labels_that_there_are():
    for each in load_rules(SHIPPED):
        if each.metric == "tenfold_anomaly_score":   # the detectors' own
            continue
        assert set(each.group_by) <= set(METRICS[each.metric].labels), each.name
        assert set(each.where) <= set(METRICS[each.metric].labels), each.name


def test_rules_are_tried_on_a_database(url: str):
    rows = {row["rule"]: row for row in json.loads(run("test", str(SHIPPED), "--database", url, "--json"))}
    assert rows["no-devices"]["groups"][0]["says"] == "firing"
    assert "expected a time with its zone" in run("test", str(SHIPPED), "--database", url, "--at", "yesterday", code=2)


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path):
    with pytest.raises(DatabaseError, match="--database"):
        run("list", "--database", f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(DatabaseError, match="no such table"):
        run("list", "--database", f"sqlite:///{tmp_path}/empty.db")


def test_a_test_notice_reaches_a_real_receiver_or_says_why_not(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("correct horse battery")
    config = tmp_path / "alerts.toml"
    with receiver() as hears:
        config.write_text(f'rules = "rules.toml"\n[[webhooks]]\nname = "hook"\nurl = "{hears.url}"\nsecret_file = "{secret}"\n')
        assert run("send-test", "--config", str(config)) == "hook: taken\n"
        assert hears.bodies()[0]["kind"] == "alert.test"
        hears.status = 500
        found: list[dict[str, Any]] = json.loads(run("send-test", "--config", str(config), "--json", code=1))
        assert found == [{"target": "hook", "error": "status 500"}]
    with pytest.raises(SettingsError, match="no target named other"):
        run("send-test", "--config", str(config), "--target", "other")
