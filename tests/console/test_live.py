"""Live readings over a real server and a real client: pushed when stored, in order; nobody holds it up."""

import contextlib
import itertools
import json
import socket
import threading
import time

import httpx
import pytest

from host.console import v1
from host.console.app import create_app
from host.console.live import QUEUE, Live
from host.console.settings import ConsoleSettings
from host.tls import listen, make_server
from tests.console.conftest import NOW_MS
from tests.console.fleet import BATCH_MS, PERIOD_MS, SAMPLES, Fleet

WAIT_S = 60.0


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path, 2, NOW_MS - 60_000, minutes=2)
    made.advance(NOW_MS - 30_000)
    yield made
    made.engine.dispose()


class Served:
    """A console in a thread of its own, as `python -m host.console` runs it."""

    def __init__(self, fleet, **live):
        self.app = create_app(ConsoleSettings(database=fleet.url))
        self.live = Live(self.app.state.sources.telemetry, **{"poll_s": 0.05, **live})
        self.app.state.open = v1.Open(self.live)
        self.listener = listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.server = make_server(self.app, None)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self._thread.start()

    def stop(self):
        self.server.should_exit = True
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self.listener.close()


@pytest.fixture
def served(fleet):
    with contextlib.ExitStack() as stack:
        def make(**live):
            made = Served(fleet, **live)
            stack.callback(made.stop)
            return made

        yield make


@contextlib.contextmanager
def listening(served, *devices):
    """Events as (name, body) as they come; ("", comment) for a sign of life."""
    with httpx.Client(timeout=WAIT_S, trust_env=False) as client, client.stream(
            "GET", f"http://127.0.0.1:{served.port}/api/v1/live", params={"devices": ",".join(devices)}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield parsed(answer.iter_lines())


def parsed(lines):
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield "", line


def until(condition):
    pause, end = threading.Event(), time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        pause.wait(0.01)


def test_what_is_stored_is_pushed_once_and_in_order(fleet, served):
    first = fleet.devices[0]
    with listening(served(), first) as events:
        name, body = next(events)
        assert (name, body["device"], len(body["latest"])) == ("latest", first, 4)
        start_ms = fleet.at_ms
        times = {}
        for _ in range(3):
            fleet.advance(fleet.at_ms + BATCH_MS)
            name, body = next(events)
            assert (name, body["device"]) == ("readings", first)
            for one in body["channels"]:
                times.setdefault(one["name"], []).extend(one["t"])
        assert times["current"] == [start_ms + at * PERIOD_MS for at in range(3 * SAMPLES)]


def test_a_reading_comes_soon_after_its_commit(fleet, served):
    with listening(served(poll_s=0.5), *fleet.devices) as events:
        assert [next(events)[0] for _ in fleet.devices] == ["latest", "latest"]
        fleet.advance(fleet.at_ms + BATCH_MS)
        assert {next(events)[1]["device"] for _ in fleet.devices} == set(fleet.devices)


def test_a_backlog_that_drains_is_pushed_whole(fleet, served):
    with listening(served(), fleet.devices[0]) as events:
        next(events)
        start_ms = fleet.at_ms
        fleet.advance(NOW_MS)   # 30 seconds at once, in one commit
        wanted = (NOW_MS - start_ms) // PERIOD_MS
        times = []
        for _name, body in events:
            times += next(one["t"] for one in body["channels"] if one["name"] == "pressure")
            if len(times) >= wanted:
                break
    assert times == [start_ms + at * PERIOD_MS for at in range(wanted)]


def test_a_quiet_line_gives_signs_of_life(fleet, served):
    with listening(served(beat_s=0.05), fleet.devices[0]) as events:
        assert [name for name, _ in itertools.islice(events, 4)] == ["latest", "", "", ""]


def test_listeners_are_bounded_and_places_come_back(fleet, served):
    running = served(limit=1)
    with listening(running, fleet.devices[0]) as events:
        next(events)
        refused = httpx.get(f"http://127.0.0.1:{running.port}/api/v1/live", params={"devices": fleet.devices[0]}, trust_env=False)
        assert (refused.status_code, refused.json()["code"]) == (503, "console.live_full")
    until(lambda: running.live.listeners == 0)
    with listening(running, fleet.devices[0]) as events:
        assert next(events)[0] == "latest"


def test_a_reader_that_takes_nothing_is_cut_off_and_holds_nobody_up(fleet, served, monkeypatch):
    monkeypatch.setattr(v1, "LIVE_STALL_S", 0.5)
    running = served()
    running.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)   # those that are accepted have it too
    with socket.socket() as lazy, listening(running, fleet.devices[0]) as events:
        next(events)
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", running.port))
        lazy.sendall(f"GET /api/v1/live?devices={fleet.devices[0]} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        until(lambda: running.live.listeners == 2)
        for _name, _body in events:   # the other one goes on
            if running.live.listeners == 1:
                break
            fleet.advance(fleet.at_ms + 8 * BATCH_MS)
        fleet.advance(fleet.at_ms + BATCH_MS)
        assert next(events)[0] == "readings"


def test_a_listener_whose_queue_is_full_is_dropped(fleet):
    telemetry = create_app(ConsoleSettings(database=fleet.url)).state.sources.telemetry
    live = Live(telemetry)
    slow, other = live.listen([fleet.devices[0]]), live.listen([fleet.devices[1]])
    for _ in range(QUEUE + 1):
        live._tell(fleet.devices[0], b"x")
    assert (slow.dropped, other.dropped, live.listeners) == (True, False, 1)
    telemetry.close()


def test_the_server_stops_while_somebody_listens(fleet, served):
    running = served()
    with listening(running, fleet.devices[0]) as events:
        next(events)
        running.server.should_exit = True
        with pytest.raises(httpx.RemoteProtocolError):
            list(events)
