"""`tenfold bench checkin`: a report that lacks a figure, a server that fails and is measured all the same, another peer."""

import asyncio
import json
import os
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from host import tls
from host.bench import checkin, fleet, goosebit
from host.bench.fleet import Device, RefusedError
from host.cli.root import app


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkin, "QUICK", (50, 200))
    monkeypatch.setattr(checkin, "QUICK_DRIVEN", 40)
    monkeypatch.setattr(checkin, "QUICK_S", 0.3)
    monkeypatch.delenv(goosebit.PYTHON_ENV, raising=False)


@pytest.mark.usefixtures("small")
def test_report_lacks_a_figure() -> None:
    result = CliRunner().invoke(app, ["bench", "checkin", "--quick", "--json"])
    assert result.exit_code == 0, result.output
    assert "gooseBit is left out; to have it" in result.stderr
    report = json.loads(result.stdout)
    assert list(report) == ["50", "200", "peers"]
    assert report["peers"] == {}
    for size in ("50", "200"):
        kept, fresh = report[size], report[size]["handshake"]
        assert set(kept) == set(fresh) | {"rss_mb", "handshake"}
        assert kept["handshakes"] == 0 < kept["requests"]
        assert fresh["handshakes"] == fresh["requests"] > 0
        assert kept["per_cpu_second"] > fresh["per_cpu_second"] > 0
        assert 0 < kept["p50_ms"] <= kept["p99_ms"]
        assert 30 < kept["rss_mb"] < 1_000


def test_python_without_goosebit_is_refused_before_anything_runs() -> None:
    result = CliRunner().invoke(app, ["bench", "checkin", "--goosebit", sys.executable])
    assert result.exit_code == 2
    assert "expected 0.2.12" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.usefixtures("small")
def test_server_that_refuses_ends_the_bench_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = checkin.requests(checkin.name_of(1))
    monkeypatch.setattr(checkin, "requests", lambda _name: foreign)
    result = CliRunner().invoke(app, ["bench", "checkin", "--quick"])
    assert isinstance(result.exception, RefusedError)   # one of host.cli's USER_ERRORS
    assert "403" in str(result.exception)


def test_server_that_does_not_start_tells_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such setting')"]
    with pytest.raises(checkin.StartError, match="no such setting"), checkin.running(command, tmp_path, 1, {}):
        pytest.fail("it runs")


@pytest.mark.parametrize("status", [403, 503])
def test_refusals_are_not_counted_as_check_ins(status: int) -> None:
    async def refuse(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> None:
        try:
            await device.ask()
        finally:
            device.hang_up()

    server, listener = tls.make_server(refuse, None), tls.listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        device = Device(None, listener.getsockname()[1], checkin.requests(checkin.name_of(0)))
        with pytest.raises(RefusedError, match=f"HTTP/1.1 {status}"):
            asyncio.run(ask())
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.mark.parametrize(("answers", "words"), [([1, 9], ""), ([1, 0], "without an answer"), ([0], "without an answer")])
def test_idle_connection_that_the_server_ends_ends_the_bench(answers: list[int], words: str) -> None:
    """answers: how many requests each connection answers before the server hangs up on the next."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        left = answers.pop(0)
        while await reader.readline():   # the request's line; nothing at the end
            await reader.readline()
            if not left:
                break
            left -= 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def ask_twice() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        device = Device(None, server.sockets[0].getsockname()[1], lambda: b"GET / HTTP/1.1\r\n\r\n")
        try:
            for _ in range(2):
                await device.ask()
            return device.handshakes
        finally:
            device.hang_up()
            server.close()
            await asyncio.gather(*serving)

    if words:
        with pytest.raises(RefusedError, match=words):
            asyncio.run(ask_twice())
    else:
        assert asyncio.run(ask_twice()) == 2


def test_cpu_time_and_memory_are_of_the_process_that_was_asked_about() -> None:
    before = fleet.cpu_s(os.getpid())
    while fleet.cpu_s(os.getpid()) == before:
        sum(range(10_000))
    assert 5 < fleet.rss_mb(os.getpid()) < 10_000
