"""`tenfold bench ingest` and `faults`: a report that lacks a figure, records that are none, faults that are not seen."""

import json
import random

import pytest
from typer.testing import CliRunner

from host.bench import faults, ingest, ingest_peers, talking
from host.bench.talking import BOOT, Records
from host.cli.root import app
from node.errors import FormatError
from node.wire import batch


def invoke(*args):
    return CliRunner().invoke(app, ["bench", *args])


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("seq", [1, 127, 128, 20_000])
def test_a_record_that_is_numbered_here_is_none_of_the_firmwares(seq, steps):
    records = Records(60, 1, steps=steps)
    boot, number, _, n_readings, uptime_ms, epoch_ms, quality = batch.peek(records.record(seq))
    assert (boot, number, n_readings, uptime_ms, quality) == (BOOT, seq, 240, seq * 600_000, batch.QUALITY_NTP)
    assert (epoch_ms - talking.EPOCH_MS) % talking.STEP_MS == 0
    assert steps or epoch_ms == talking.EPOCH_MS
    columns = batch.decode(records.record(seq))["columns"]
    assert columns == [list(column) for column in talking.typical(1 + seq % talking.WAYS, 60)]
    assert batch.record_name(records.record(0)) == (batch.SCHEMA, BOOT, 0)


def test_a_clock_that_steps_stays():
    records = Records(16, 1, steps=True)
    assert len({batch.peek(records.record(seq))[5] for seq in range(1, 40)}) == 3


def test_garbage_is_a_record_after_all():
    chance, record = random.Random(1), Records(16, 1).record(5)
    for _ in range(300):
        with pytest.raises(FormatError):
            batch.peek(talking._damaged(record, chance))


def test_the_quick_tier_leaves_a_kind_of_fault_out():
    quick, whole = faults.cases(postgresql=True, quick=True), faults.cases(postgresql=True, quick=False)
    assert set(quick) < set(whole)
    assert {case.name for case in quick} == {case.name for case in whole}
    assert {frozenset(case.kill) for case in whole if len(case.kill) == 2} == {
        frozenset(pair) for pair in (("broker", "ingest"), ("database", "ingest"), ("database", "broker"))}
    assert not [case for case in faults.cases(postgresql=False, quick=False) if "database" in case.kill]


ROW = faults.Row(fault="x", database="sqlite", times=2, sent=10, stored=10, lost=0, twice=0, readings_sent=9, readings_stored=9,
                 again=0, garbage=0, quarantined=0, seconds=1.0)


@pytest.mark.parametrize("wrong", [{"lost": 1}, {"twice": 1}, {"readings_stored": 8}])
def test_a_loss_ends_the_bench_like_none(wrong, monkeypatch):
    monkeypatch.setattr(faults, "measure", lambda todo, step, quick: [ROW, {**ROW, **wrong}])
    assert invoke("faults", "--json").exit_code == 1
    monkeypatch.setattr(faults, "measure", lambda todo, step, quick: [ROW])
    result = invoke("faults", "--json")
    assert (result.exit_code, json.loads(result.stdout)["bad"]) == (0, False)
    assert "10" in invoke("faults").output


def test_a_case_that_is_not_there_is_run():
    assert invoke("faults", "--only", "earthquake").exit_code == 2


@pytest.mark.slow   # five processes at a time
def test_the_ingest_report_lacks_a_figure(monkeypatch):
    monkeypatch.setattr(ingest, "WARM_S", 0.3)
    monkeypatch.setattr(ingest, "QUICK_S", 1.0)
    monkeypatch.setattr(ingest_peers, "GROUP", 10)
    monkeypatch.setattr("shutil.which", lambda name: None)
    result = invoke("ingest", "--quick", "--devices", "4", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert set(report["sqlite"]) == set(ingest.Figures.__annotations__)
    assert report["sqlite"]["readings_per_s"] > 0 < report["sqlite"]["p50_ms"] <= report["sqlite"]["p99_ms"]
    assert report["sqlite"]["stored"] * 240 >= report["sqlite"]["readings"]
    assert report["peers"]["victoriametrics"] is None
    assert (report["postgresql"] is None) == (report["peers"]["postgresql_copy"] is None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGKILL of broker and ingest, sqlite", "stall of the database, sqlite", "disk full, sqlite",
                                  "1 % garbage, sqlite", "SIGKILL of database and ingest, postgresql"])
def test_a_fault_loses_a_reading_or_stores_it_twice(name, monkeypatch):
    monkeypatch.setattr(faults, "QUICK_RECORDS", 120)
    monkeypatch.setattr(faults, "QUICK_STALL_S", 1.0)
    postgresql = faults.postgres.programs() is not None
    if "postgresql" in name and not postgresql:
        pytest.skip("NOT TESTED: PostgreSQL is not installed; on Debian: apt-get install postgresql")
    todo = [case for case in faults.cases(postgresql=postgresql, quick=False) if f"{case.name}, {case.database}" == name]
    (row,) = faults.measure(todo, lambda what: None, quick=True)
    assert not faults.is_bad(row), row
    assert row["stored"] == row["sent"] == 120 * faults.DEVICES
    assert row["times"] == (0 if "garbage" in name else len(faults.AT))
    assert bool(row["garbage"]) == bool(row["quarantined"]) == ("garbage" in name)
