"""`tenfold anomaly` and the detectors on a real database: a restart goes on, and a question writes nothing."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from host.cli.root import app
from host.clock import DAY_MS, HOUR_MS
from host.db import open_engine
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.monitor.anomalies import Anomalies
from host.monitor.anomaly.forest import ModelError
from host.monitor.anomaly.tuning import Tuning
from host.store.anomalies import AnomalyRows
from host.store.queries import Queries
from host.store.telemetry import Telemetry
from tests.databases import migrated
from tests.ingest.records import DEVICE, OTHER, batch_of, schema_of, up
from tests.store.filled import Filled

NOW = time.time_ns() // 1_000_000 // 60_000 * 60_000   # the readings end now
DAYS = 21
PERIOD_MS = 600_000
TUNING = Tuning(slot_ms=PERIOD_MS)


def put(engine, device, *, jump=0, days=DAYS, seed=0):
    """Ten-minute readings of two channels until NOW; the first rises slowly, and by `jump` hundredths in the last 12 hours."""
    chance = np.random.default_rng(seed)
    first = NOW - days * DAY_MS
    messages = [up(schema_of(1, 0), device)]
    for day in range(days):
        at = first + day * DAY_MS + np.arange(144) * PERIOD_MS
        late = at >= NOW - 12 * HOUR_MS
        slow = 200 * (at - first) / (days * DAY_MS)
        steps = [2000 + slow + 300 * np.sin(2 * np.pi * at / DAY_MS) + chance.normal(0, 30, 144) + jump * late,
                 500 + chance.normal(0, 20, 144)]
        payload = batch_of(1, day + 1, quality=3, epoch_ms=first, uptime_ms=day * DAY_MS, period_ms=PERIOD_MS,
                           columns=[np.round(one).astype(int).tolist() for one in steps])
        messages.append(up(payload, device))
    Committer(Telemetry(engine)).commit([sort(*one) for one in messages], NOW)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    address = migrated(tmp_path_factory.mktemp("anomaly") / "telemetry.db")
    engine = open_engine(address)
    put(engine, DEVICE, jump=900)
    put(engine, OTHER, seed=1)
    engine.dispose()
    return address


def at_work(url, *, write=False, clock=lambda: NOW):
    engine = open_engine(url, read_only=not write)
    rows = AnomalyRows(engine)
    return Anomalies(Queries(engine), rows, TUNING, writer=rows if write else None, clock_ms=clock)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """What commands ask: it stands still, however long ago the tests were collected; else there is a gap at the end."""
    monkeypatch.setattr("host.clock.time", SimpleNamespace(time_ns=lambda: NOW * 1_000_000))


def tenfold(*args):
    return CliRunner().invoke(app, ["anomaly", *args])


def test_one_command_does_not_tell_what_is_wrong_in_the_fleet(url):
    result = tenfold("list", "--database", url, "--all", "--json")   # a drift of the week may have taken the budget
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["devices"], told["warm"]) == (2, 2)
    worst = told["findings"][0]
    assert (worst["device"], worst["channel"], worst["unit"]) == (DEVICE, "temperature", "Cel")
    assert worst["since_ms"] == pytest.approx(NOW - 12 * HOUR_MS, abs=HOUR_MS)
    assert worst["excess"] > 1
    assert {one["kind"] for one in told["findings"] if one["device"] == OTHER} <= {"drift"}   # it does rise


def test_table_is_for_people(url):
    result = tenfold("list", "--database", url)
    assert result.exit_code == 0
    assert DEVICE in result.output
    assert "2 devices" in result.output
    assert any(block in result.output for block in "▁▂▃▄▅▆▇█")


def test_question_writes_into_the_database(url):
    assert tenfold("list", "--database", url).exit_code == 0
    assert tenfold("explain", DEVICE, "--database", url).exit_code == 0
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        for table in ("anomaly_state", "anomaly_finding", "anomaly_model"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0   # noqa: S608  the names above
    engine.dispose()


def test_explanation_lacks_what_was_expected(url):
    told = json.loads(tenfold("explain", DEVICE, "--database", url, "--json").stdout)
    channel = next(one for one in told["channels"] if one["channel"] == "temperature")
    assert channel["blocks_learnt"] == channel["blocks_needed"]
    assert channel["expected"] == pytest.approx(21.5, abs=4.5)
    assert channel["limits"]["level"] >= 4.0
    assert "where" in told["findings"][0]["says"]


def test_forecast_of_wear(url):
    asked = ("forecast", OTHER, "temperature", "--limit", "23", "--days", "21", "--database", url)
    told = json.loads(tenfold(*asked, "--json").stdout)
    assert told["answer"] == "reaches"
    days = [(told[key] - NOW) / DAY_MS for key in ("from_ms", "to_ms")]
    assert days[0] - 0.1 <= 10.5 <= days[1] + 0.1
    assert "reaches 23 Cel in" in tenfold(*asked).output


@pytest.mark.parametrize(("args", "fault"), [
    (("explain", "no-such"), "no-such"), (("forecast", DEVICE, "no_such", "--limit", "1"), "no_such"),
    (("list", "--zone", "Mars/Base"), "Mars/Base"), (("forecast", DEVICE, "temperature"), "--limit"),
])
def test_wrong_word_ends_in_a_traceback(url, args, fault):
    result = tenfold(*args, "--database", url)
    assert result.exit_code == 2
    assert fault in result.output


def test_question_makes_a_database_where_there_is_none(tmp_path):
    result = tenfold("list", "--database", f"sqlite:///{tmp_path}/none.db")
    assert "no such file" in str(result.exception)
    assert not (tmp_path / "none.db").exists()


@pytest.fixture
def own(tmp_path):
    address = migrated(tmp_path / "telemetry.db")
    engine = open_engine(address)
    put(engine, DEVICE, jump=900)
    yield address
    engine.dispose()


def test_restart_learns_anew_or_tells_twice(own):
    whole = {(one.channel, one.kind, one.since_ms): one for one in at_work(own).catch_up(DEVICE)}
    first = at_work(own, write=True, clock=lambda: NOW - 3 * DAY_MS)
    first.catch_up(DEVICE)
    second = at_work(own, write=True)
    assert second.watch(DEVICE).is_warm()
    second.catch_up(DEVICE)
    stored = {(one.channel, one.kind, one.since_ms): one for one in AnomalyRows(open_engine(own)).findings(0)}
    assert stored == whole
    assert [one.labels["channel"] for one in second.samples()] == ["temperature"]


def test_tick_does_all_work_at_once(own):
    working = at_work(own, write=True)
    working.tick(1)
    assert working.watch(DEVICE).until_ms <= NOW - (working._past_ms - DAY_MS)
    for _ in range(30):
        working.tick(1)
    assert working.watch(DEVICE).until_ms == NOW - PERIOD_MS


def test_damaged_state_or_model_stops_the_rest(own):
    working = at_work(own, write=True)
    working.catch_up(DEVICE)
    working.train(DEVICE)
    engine = open_engine(own)
    with engine.begin() as connection:
        connection.execute(text("UPDATE anomaly_state SET body = '{'"))
        connection.execute(text("UPDATE anomaly_model SET body = 'x'"))
        connection.execute(text("UPDATE anomaly_finding SET body = '[]'"))
    rows = AnomalyRows(engine)
    assert (rows.state(DEVICE, TUNING), rows.model(DEVICE), rows.findings(0)) == (None, None, [])
    assert at_work(own).catch_up(DEVICE)
    engine.dispose()


def test_device_without_readings_gets_a_forest(own):
    with pytest.raises(ModelError, match="no readings that can be read"):
        at_work(own).train("hall-none")


def test_train_command_keeps_nothing(own):
    told = json.loads(tenfold("train", "--database", own, "--json").stdout)
    assert (told["devices"], told["forests"], told["without_forest"]) == (1, 1, {})
    assert told["findings_changed"] > 0
    rows = AnomalyRows(open_engine(own))
    assert rows.model(DEVICE) is not None
    assert rows.findings(NOW - DAY_MS)
    assert json.loads(tenfold("list", "--database", own, "--json").stdout)["findings"][0]["channel"] == "temperature"


def test_what_tells_of_alarms_is_no_channel_that_fell_silent(tmp_path):
    engine = open_engine(migrated(tmp_path / "telemetry.db"))
    made = Filled(engine)
    made.told(DEVICE, [("oil", "Cel", "0.1")])
    made.told(DEVICE, [("oil.alarm", "Cel", "0.1"), ("oil.high", "Cel", "0.1")])
    made.put(DEVICE, [("oil", "Cel", "0.1")], 0, [[700, 812]], epoch_ms=NOW - DAY_MS)
    made.put(DEVICE, [("oil.alarm", "Cel", "0.1"), ("oil.high", "Cel", "0.1")], 0, [[812], [800]], epoch_ms=NOW - DAY_MS)
    one = Anomalies(Queries(engine), AnomalyRows(engine), TUNING, clock_ms=lambda: NOW)
    one.catch_up(DEVICE)
    assert (set(one.watch(DEVICE).channels), set(one.units(DEVICE))) == ({"oil"}, {"oil"})
    engine.dispose()
