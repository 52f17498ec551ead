"""`tenfold bench ingest` and `faults`: a report that lacks a figure, records that are none, faults that are not seen."""

import asyncio
import json
import math
import os
import random
import resource
import signal

import pytest
from typer.testing import CliRunner

from host.bench import faults, ingest, ingest_peers, talking
from host.bench import strikes as strikes_module
from host.bench.strikes import Case, Strikes, not_happened
from host.bench.talking import BOOT, Progress, Records
from host.cli.root import app
from host.sim.processes import Child, Program
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
                 again=0, garbage=0, quarantined=0, seconds=1.0, not_happened=[])
DONE = talking.Done(took_s=[], wall_s=1, readings=9, acked=10, sent=10, again=0, duplicates=0, reordered=0, garbage=0,
                    connections=1, cpu_s=0)


@pytest.mark.parametrize("wrong", [{"lost": 1}, {"twice": 1}, {"readings_stored": 8}, {"not_happened": ["strike"]}])
def test_a_loss_ends_the_bench_like_none(wrong, monkeypatch):
    monkeypatch.setattr(faults, "measure", lambda todo, step, quick: [ROW, {**ROW, **wrong}])
    assert invoke("faults", "--json").exit_code == 1
    monkeypatch.setattr(faults, "measure", lambda todo, step, quick: [ROW])
    result = invoke("faults", "--json")
    assert (result.exit_code, json.loads(result.stdout)["bad"]) == (0, False)
    assert "10" in invoke("faults").output
    monkeypatch.setattr(faults, "measure", lambda todo, step, quick: [{**ROW, **wrong}])
    assert ("did not happen as told: strike" in invoke("faults").output) == ("not_happened" in wrong)


@pytest.mark.parametrize(("case", "done", "missing"), [
    ({"kill": ("ingest",)}, {}, "strike"), ({"duplicate_pct": 20}, {"duplicates": 1}, "duplicates"),
    ({"garbage_pct": 1}, {"garbage": 1}, "garbage"), ({"reorder": True}, {"reordered": 1}, "reordering"),
])
def test_a_fault_that_never_came_was_withstood(case, done, missing):
    case = Case("x", "sqlite", **case)
    assert not_happened(case, 2, 2, {**DONE, **done}, 0) == []
    assert not_happened(case, 1, 2, DONE, 0) == [missing]


def test_clocks_that_never_stepped_are_withstood():
    assert not_happened(Case("x", "sqlite", steps=True), 0, 2, DONE, 0) == ["clock steps"]
    for steps in (False, True):
        records = Records(16, 1, steps=steps)
        assert bool(faults._clock_steps({seq: records.record(seq) for seq in range(40)})) == steps


@pytest.mark.parametrize(("running", "under_way", "times"), [(True, 3, 1), (True, 0, 0), (False, 3, 0)])
def test_a_kill_of_nothing_or_with_nothing_on_its_way_counts(running, under_way, times, tmp_path):
    async def once():
        child = Child(Program("ingest", ("sleep", "600"), tmp_path, tmp_path / "log"), held=True)
        strikes = Strikes(Case("x", "sqlite", kill=("ingest",)), {"ingest": child}, None, "", 0)
        if running:
            await child.start()
        try:
            strikes.hear(Progress(acked=5, under_way=under_way, at_s=math.inf))
            await strikes.strike()
            assert not running or await child.process.wait() == -signal.SIGKILL
        finally:
            await child.stop()
        return strikes.times

    assert asyncio.run(once()) == times


@pytest.mark.parametrize(("said", "failed"), [
    ("cannot store, nothing is acknowledged, trying again in 0.2 s: disk I/O error", True),
    ("cannot store, nothing is acknowledged, trying again in 0.2 s: database is locked", False), ("", False),
])
def test_a_disk_that_had_room_after_all_was_full(said, failed, tmp_path, monkeypatch):
    """The limit is set on a real process; what its log says decides, and the limit is lifted again."""
    monkeypatch.setattr(strikes_module, "LOOK_S", 0.01)

    async def once():
        program = Program("ingest", ("sh", "-c", 'read x < go; ulimit -S -f > limit; echo "$1"; exec sleep 600', "sh", said),
                          tmp_path, tmp_path / "log")
        os.mkfifo(tmp_path / "go")
        child = Child(program)
        await child.start()
        strikes = Strikes(Case("x", "sqlite", full=True), {"ingest": child}, None, "", 0.5)
        try:
            strikes.hear(Progress(acked=5, under_way=1, at_s=math.inf))
            struck = asyncio.create_task(strikes.strike())
            while resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[0] != strikes_module.FULL_BYTES:
                await asyncio.sleep(0)
            await asyncio.to_thread((tmp_path / "go").write_text, "go\n")
            await struck
            assert resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
        finally:
            await child.stop()
        return strikes.times

    assert asyncio.run(once()) == failed


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
                                  "all of the devices' at once, SIGKILL of ingest, sqlite", "1 % garbage, sqlite",
                                  "SIGKILL of database and ingest, postgresql", "disk full, postgresql"])
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
    assert (row["times"], row["not_happened"]) == (0 if "garbage" in name else len(faults.AT), [])
    assert bool(row["garbage"]) == bool(row["quarantined"]) == ("garbage" in name or "at once" in name)
