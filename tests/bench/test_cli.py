"""`tenfold bench` from the command line: reports that lack what others read from them, and a replay that runs something else."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from host.bench import encode, heap, powercut, ring
from host.cli.root import app
from node.ring import Ring


def invoke(*args):
    return CliRunner().invoke(app, ["bench", *args])


def report(*args):
    result = invoke(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def small_ring(monkeypatch):
    monkeypatch.setattr(ring, "TIMES", 1)


@pytest.mark.usefixtures("small_ring")
def test_ring_report_lacks_littlefs_or_a_size():
    found = report("ring")
    assert list(found) == ["commits"]
    assert list(found["commits"]) == ["32", "200", "1000"]
    for figures in found["commits"].values():
        theirs = figures["littlefs"]
        assert 1 < figures["programmed_per_byte"] < 1.5 < theirs["programmed_per_byte"]
        assert 0.2 < figures["erases_per_kib"] < 0.5 < theirs["erases_per_kib"]
    assert found["commits"]["200"]["programmed_per_byte"] <= 1.15


@pytest.mark.usefixtures("small_ring")
def test_ring_that_returns_something_else_gets_no_figure(monkeypatch):
    monkeypatch.setattr(Ring, "records", lambda self, seq: iter([(1, 0, b"other")]))
    with pytest.raises(AssertionError, match="other records"):
        ring.measure(32, lambda done: None)


@pytest.mark.usefixtures("small_ring")
def test_ring_table_is_for_people():
    result = invoke("ring")
    assert result.exit_code == 0
    assert "littlefs" in result.output


def test_encode_report_is_of_another_interpreter(monkeypatch):
    monkeypatch.setattr(encode, "BATCHES", 2)
    monkeypatch.setattr(encode, "LEAST_KB", 40)
    monkeypatch.setattr(encode, "MOST_KB", 128)
    found = report("encode")
    assert set(found) == {"ours", "json", "heap_needed_kb"}
    assert set(found["ours"]) == {"us_per_reading", "garbage_bytes_per_reading", "bytes_per_reading"}
    assert found["ours"]["us_per_reading"] > 0
    assert found["ours"]["bytes_per_reading"] < 1 < found["json"]["bytes_per_reading"]
    assert 40 < found["heap_needed_kb"] <= 128


def cases(*names):
    return lambda exhaustive: iter(names)


def test_powercut_report_lacks_a_figure(monkeypatch):
    monkeypatch.setattr(powercut, "cases", cases("mixed:7:half", "thin:9:garbage:2:half", "newest:11:flipped", "wide:3:done"))
    found = report("powercut")
    assert found == {"cuts": 5, "cases": 4, "tears": {"half": 2, "garbage": 1, "flipped": 1, "done": 1}, "committed_lost": 0,
                     "torn_accepted": 0, "mount_failures": 0, "miscounted": 0, "programmed_twice": 0, "failures": []}


def test_quick_tier_leaves_a_tear_or_a_policy_out():
    quick, all_of_them = list(powercut.cases(False)), set(powercut.cases(True))
    assert set(quick) < all_of_them
    for name in powercut.WORKLOADS:
        for tear in powercut.TEARS:
            assert any(case.startswith(f"{name}:") and case.endswith(f":{tear}") and case.count(":") == 4 for case in quick)


def test_failure_is_printed_with_what_replays_it(monkeypatch):
    def broken(cases):
        return [powercut.Outcome(case, (powercut.LOST,) if case == "mixed:7:half" else ()) for case in cases]
    monkeypatch.setattr(powercut, "run_all", broken)
    monkeypatch.setattr(powercut, "cases", cases("mixed:7:half", "mixed:8:half"))
    monkeypatch.setattr("host.cli.bench.ProcessPoolExecutor", InProcess)
    result = invoke("powercut")
    assert result.exit_code == 1
    assert "committed_lost: tenfold bench powercut --replay mixed:7:half" in result.output
    result = invoke("powercut", "--replay", "mixed:7:half", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failures"] == ["mixed:7:half"]


class InProcess:
    def __init__(self, _workers):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @staticmethod
    def map(run, names):
        return map(run, names)


def test_replay_runs_the_case_that_it_names():
    assert report("powercut", "--replay", "mixed:7:garbage:2:half")["cuts"] == 2


@pytest.mark.parametrize(("case", "said"), [("mixed:7", "expected workload:cut:tear"), ("large:999:half", "workload ends before")])
def test_replay_of_what_is_no_case_is_told(case, said):
    result = invoke("powercut", "--replay", case)
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


def test_heap_report_lacks_a_figure(monkeypatch):
    tried = heap._Try(160, peak=100 * 1024, size=150 * 1024, acked=20, checkins=3)

    async def measured(heap_kb, search):
        return tried.report(132 if search else None)

    monkeypatch.setattr(heap, "measure", measured)
    assert report("heap", "--search") == {"heap_kb": 160, "peak_kb": 100, "free_kb": 50, "free_pct": pytest.approx(100 / 3),
                                          "acked": 20, "checkins": 3, "smallest_kb": 132}
    assert "33 %" in invoke("heap").output


@pytest.mark.slow
def test_firmware_does_not_get_to_work_in_160_kb():
    found = asyncio.run(heap.measure(160, False))
    assert found["peak_kb"] + found["free_kb"] < 160
    assert found["free_pct"] > 10


@pytest.mark.slow
def test_heap_that_is_too_small_is_told(monkeypatch):
    monkeypatch.setattr(heap, "WORK_S", 30)
    with pytest.raises(heap.HeapError, match="not at work in 72 KB"):
        asyncio.run(heap.measure(72, False))
