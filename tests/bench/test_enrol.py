"""`tenfold bench enrol`: a report that lacks a figure, a server that refuses and is measured all the same."""

import json

import pytest
from typer.testing import CliRunner

from host.bench import enrol
from host.bench.fleet import RefusedError
from host.cli.root import app


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrol, "DEVICES", 40)
    monkeypatch.setattr(enrol, "SECONDS", 0.5)
    monkeypatch.setattr(enrol, "SIGN_S", 0.05)


@pytest.mark.usefixtures("small")
@pytest.mark.slow   # 3 processes that import the server or TLS: 5 s on an idle machine
def test_report_lacks_a_figure() -> None:
    result = CliRunner().invoke(app, ["bench", "enrol", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert set(report) == set(enrol.Figures.__annotations__)
    assert report["enrolments"] == report["handshakes"] > 0
    assert report["recorded"] >= report["enrolments"]
    assert report["enrolments_per_cpu_s"] > 0 < report["enrolments_per_s"]
    assert 0 < report["p50_ms"] <= report["p99_ms"]
    assert (report["servers"], report["clients"]) == (1, enrol.DRIVERS)
    assert report["signatures_per_s"] > 0 < report["signatures_per_cpu_s"]


@pytest.mark.usefixtures("small")
@pytest.mark.slow
def test_server_that_refuses_ends_the_bench_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrol, "_born", lambda engine, count: iter([b"0" * 100] * count))
    result = CliRunner().invoke(app, ["bench", "enrol"])
    assert isinstance(result.exception, RefusedError)   # one of host.cli's USER_ERRORS
    assert "400" in str(result.exception)
