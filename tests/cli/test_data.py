"""`tenfold data` over a real database: what people see and what machines read are what is stored."""

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
from typer.testing import CliRunner

from host.cli import data
from host.cli.root import app
from host.db import DatabaseError, open_engine
from host.monitor.anomaly.findings import Finding
from host.monitor.anomaly.scores import LEVEL
from host.settings import SettingsError
from host.store.tables import anomaly_finding
from tests.databases import migrated
from tests.ingest.records import DEVICE, OTHER, state, will
from tests.store.filled import NOW, fill

WINDOW = ("--from", "2027-01-15T08:00Z", "--to", "2027-01-15T08:02Z", "--zone", "Europe/Oslo")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    engine = open_engine(migrated(tmp_path_factory.mktemp("data") / "telemetry.db"))
    made = fill(engine)
    made.say(*will(), now_ms=NOW + 20_000)
    made.say(*state(2, (2, 0), release="1.0.0"), now_ms=NOW + 30_000)
    found = Finding(DEVICE, "temperature", LEVEL, "Cel", NOW + 10_000, NOW + 10_000, NOW + 20_000, 12.0, 4.0, 80.0, 60.0, 9.0)
    with engine.begin() as connection:
        connection.execute(anomaly_finding.insert().values(
            body=json.dumps(asdict(found)), until_ms=None,
            **{name: getattr(found, name) for name in ("device", "channel", "kind", "since_ms", "last_ms")}))
    yield made
    engine.dispose()


@pytest.fixture
def run(filled, monkeypatch):
    for name in ("TENFOLD_SERVER", "TENFOLD_CA", "TENFOLD_CERT", "TENFOLD_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "160")

    def ask(*words):
        result = CliRunner().invoke(app, ["data", *words, "--database", str(filled.engine.url)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return ask


def test_latest_is_found_by_the_end_of_a_name(run):
    rows = json.loads(run("latest", "002", "--json"))
    assert [(row["device"], row["channel"], row["value"]) for row in rows] == [(OTHER, "oil.mean", 0.3)]
    assert "temperature" in run("latest")


@pytest.mark.parametrize("name", ["0242ac11000", "zz", "000", "%"])
def test_a_name_of_no_device_is_refused(run, name):
    with pytest.raises(SettingsError, match="was heard"):
        run("latest", name)


def test_a_name_of_two_is_refused_with_both(filled, run):
    filled.told("mill-aa42ac110001", [("x", "", "1")])
    with pytest.raises(SettingsError, match=f"{DEVICE}, mill-aa42ac110001, expected the end of one name only"):
        run("range", "0001")
    assert run("range", DEVICE, *WINDOW)


def test_night_tells_values_gaps_drops_and_restarts(run):
    shown = run("night", DEVICE, *WINDOW)
    assert "2027-01-15 09:00:00 to 2027-01-15 09:02:00 (Europe/Oslo, UTC+0100)" in shown
    assert "firmware 1.0.0; 1 lost connection, 1 restart, no updates, no roll-backs, 2 gaps" in shown
    assert "09:00:39  no readings for 11 s" in shown
    assert "09:00:20  connection lost" in shown
    assert "09:00:30  restarted" in shown
    assert "09:00:10  temperature: level, 80 Cel where 60 Cel is usual" in shown
    assert "…" not in shown   # nothing is cut off, in a terminal of 80 columns
    found = json.loads(run("night", DEVICE, *WINDOW, "--json"))
    assert [one["kind"] for one in found["events"]] == ["connect", "drop", "reboot", "connect"]
    assert {one["name"]: one["count"] for one in found["channels"]} == {"temperature": 124, "odd": 160, "big": 120, "oil.mean": 9}


ALARM = [("oil.alarm", "Cel", "0.1"), ("oil.high", "Cel", "0.1")]
WELL = "press-0242ac110003"


def test_night_tells_when_an_alarm_began_with_its_limit_and_when_it_ended(filled, run):
    filled.told(WELL, [("oil", "Cel", "0.1")])
    filled.told(WELL, ALARM)
    filled.put(WELL, [("oil", "Cel", "0.1")], 0, [[700, 812, 815, 780]], period_ms=10_000)
    for uptime_ms, value, limit in ((0, 700, None), (10_000, 812, 800), (30_000, 780, None)):
        filled.put(WELL, ALARM, uptime_ms, [[value], [limit]], period_ms=1000)
    shown = run("night", WELL, *WINDOW)
    assert "1 alarm" in shown
    assert "09:00:10  oil above 80 Cel (81.2)" in shown
    assert "09:00:30  oil well again (78) after 20 s" in shown
    assert "oil.high" not in shown
    found = json.loads(run("night", WELL, *WINDOW, "--json"))
    assert found["alarms"] == [{
        "channel": "oil", "unit": "Cel", "side": "high", "limit": 80.0, "from_ms": NOW + 10_000, "value": 81.2,
        "until_ms": NOW + 30_000, "end_value": 78.0}]
    assert [one["name"] for one in found["channels"]] == ["oil"]
    assert [row["channel"] for row in json.loads(run("latest", WELL, "--json"))] == ["oil"]
    assert json.loads(run("night", WELL, "current", *WINDOW, "--json"))["alarms"] == []


def test_night_of_a_machine_in_alarm_since_the_day_before_says_so(filled, run):
    late = ("--from", "2027-01-15T08:00:20Z", "--to", "2027-01-15T08:00:25Z", "--zone", "Europe/Oslo")
    assert "oil above 80 Cel (81.2), since" in run("night", WELL, *late)


def test_range_shows_a_plot_or_rows_or_points(run):
    assert "temperature Cel  min -0.010" in run("range", DEVICE, "temperature", *WINDOW)
    assert "09:00:00.530" in run("range", DEVICE, *WINDOW, "--rows")
    (only,) = json.loads(run("range", DEVICE, "odd", *WINDOW, "--points", "20", "--json"))["channels"]
    assert (len(only["t"]) <= 20, max(only["v"]), only["unit"]) == (True, only["max"], "a,b")


def test_sums_by_site_of_a_file(run, tmp_path):
    sites = tmp_path / "sites.csv"
    sites.write_text(f"device,site\n{DEVICE},nord\n")
    rows = json.loads(run(
        "aggregate", DEVICE, OTHER, "--by", "site", "--sites", str(sites), "--channel", "oil.mean", *WINDOW, "--json"))
    assert [(row["site"], row["count"], row["min"]) for row in rows] == [("nord", 9, 20.1), ("unknown", 3, 0.1)]
    assert "nord" in run("aggregate", "--by", "site", "--sites", str(sites), "--bucket", "1min", *WINDOW)


def test_sums_by_site_need_to_know_sites(run, tmp_path):
    with pytest.raises(SettingsError, match=r"--sites: got nothing.*--server"):
        run("aggregate", "--by", "site")
    (tmp_path / "bad.csv").write_text("x,y,z\n")
    with pytest.raises(SettingsError, match=r"bad\.csv:1: got 3 fields"):
        run("aggregate", "--by", "site", "--sites", str(tmp_path / "bad.csv"))


@pytest.mark.parametrize(("words", "told"), [
    (("aggregate", "--by", "moon"), "--by"), (("export", "--format", "xls"), "--format"), (("export", "--json"), "--out"),
    (("range", DEVICE, "--from", "soon"), "--from"), (("range", DEVICE, "--from", "now", "--to", "-1h"), "1 h before --from"),
])
def test_what_cannot_be_is_refused_by_name(run, words, told):
    with pytest.raises(SettingsError, match=told):
        run(*words)


def test_an_export_is_a_whole_file_with_all_readings(filled, run, tmp_path):
    out = tmp_path / "all.csv"
    told = json.loads(run("export", "--out", str(out), *WINDOW, "--json"))
    content = out.read_bytes()
    assert told["bytes"] == len(content)
    assert len(list(csv.reader(io.StringIO(content.decode(), newline="")))) == 1 + len(filled.rows)
    assert run("export", *WINDOW).encode() == content.replace(b"\r\n", b"\n")   # the runner reads text


def test_an_export_that_breaks_leaves_the_file_as_it_was(run, tmp_path, monkeypatch):
    out = tmp_path / "all.csv"
    out.write_text("before")

    def broken(*_given, **_keys):
        yield b"half"
        raise OSError(28, "No space left on device", "disk")

    monkeypatch.setattr(data, "exported", broken)
    with pytest.raises(OSError, match="No space"):
        run("export", "--out", str(out), *WINDOW)
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


def test_a_reader_that_goes_away_is_no_fault_of_ours(filled):
    command = (sys.executable, "-c", "from host.cli import main; main()", "data", "export", *WINDOW,
               "--database", str(filled.engine.url))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        process.stdout.close()   # before the first byte
        assert process.stderr.read() == b""
        process.wait()


def test_a_database_that_is_not_there_is_told_and_not_made(tmp_path):
    result = CliRunner().invoke(app, ["data", "latest", "--database", f"sqlite:///{tmp_path}/none.db"])
    assert "no such file" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "told"), [(b"", "no such table"), (b"no database at all" * 99, "not a database")])
def test_a_file_that_holds_no_telemetry_is_told(tmp_path, content, told):
    (tmp_path / "x.db").write_bytes(content)
    result = CliRunner().invoke(app, ["data", "latest", "--database", f"sqlite:///{tmp_path}/x.db"])
    assert isinstance(result.exception, DatabaseError)
    assert told in str(result.exception)
