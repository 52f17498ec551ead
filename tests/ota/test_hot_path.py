"""What a check-in costs (no statement when idle, none that reads a whole table) and what a crash loses: a moment of last-seen."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from node.wire import checkin, direction
from ota.server.desk import sighting_of
from ota.store.devices import Sighting
from provisioning import pki
from tests.ota import support
from tests.ota.support import DEVICE, PEER, Keys, Plant, PretendDevice, as_device, check_in, fleet, operator, until

ROOT = Path(__file__).parents[2]
GROWING = ("device", "attempt", "failure", "config_event")   # tables with rows for each device


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Gather what is sent to the database: the statement and its (first) parameters."""
    found: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, executemany) -> None:
        found.append((statement, parameters[0] if executemany else parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def scans(engine: Engine, found: list[tuple[str, Any]]) -> list[str]:
    """Steps of the statements that read a growing table from end to end, by SQLite's own plan."""
    steps = []
    with engine.connect() as connection:
        for statement, parameters in found:
            plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)
            steps += [step for *_, step in plan if step.startswith("SCAN") and step.split()[1] in GROWING]
    return steps


def test_idle_check_in_sends_no_statement(server: Plant) -> None:
    devices = fleet(server, 20)
    for device in devices:
        device.check_in()
    with statements(server.context.engine) as found:
        for device in devices:
            device.live(5)
            device.check_in()
    assert found == []


def test_gathered_check_ins_are_one_transaction_whose_statements_do_not_grow(server: Plant) -> None:
    numbers = []
    for devices in (fleet(server, 3), fleet(server, 300)):
        for device in devices:
            device.check_in()
        server.context.desk.flush()
        for device in devices:
            device.live(5)
            device.check_in()
        with statements(server.context.engine) as found:
            server.context.desk.flush()
        numbers.append(len(found))
    assert numbers[0] == numbers[1] < 10


def test_no_check_in_reads_a_whole_table(server: Plant, released: str) -> None:
    """First contact, offer, trial, confirmation and failure, each as the device's only way to the database."""
    first, second = fleet(server, 2)
    with statements(server.context.engine) as found:
        first.check_in()
        second.check_in()
        server.context.desk.flush()
        server.context.desk.refresh(server.clock.now_s)
    server.pass_time(1)
    server.rollout(released, stages=[100])
    with statements(server.context.engine) as later:
        for device in (first, second):
            device.check_in()
            device.install()
            device.check_in()
        first.trial = False
        first.check_in()
        second.fall_back()
        second.check_in()
    told = {device.ident: server.get(f"/admin/devices/{device.ident}/explain").json() for device in (first, second)}
    assert [each["attempts"][0]["state"] for each in told.values()] == ["confirmed", "failed"]
    assert len(later) > 20
    assert scans(server.context.engine, found + later) == []
    assert scans(server.context.engine, [("SELECT * FROM device WHERE slot = ?", ("a",))]) == ["SCAN device"]


def test_restarted_server_knows_its_fleet(server: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = fleet(server, 5)
    for device in devices:
        device.check_in()
    server.pass_time(1)
    support.restart(server)
    monkeypatch.setattr(server.context.desk, "settle", None)
    for device in devices:
        device.live(5)
        assert device.check_in()["reason"] == "no rollout for this model is under way"


def test_restarted_server_looks_at_what_was_under_way(server: Plant, released: str) -> None:
    """An attempt that is answered from memory would never be confirmed."""
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    ident = server.rollout(released, stages=[100])["rollout"]
    device.check_in()
    support.restart(server)
    assert server.context.desk.idle(said(server, device)) is None
    device.install()
    device.check_in()
    server.pass_time(1)
    support.restart(server)
    assert server.context.desk.idle(said(server, device)) is None
    support.install_and_confirm(server, [device])
    support.install_and_confirm(server, [device])
    support.restart(server)
    assert server.context.desk.idle(said(server, device)) is not None
    assert server.status(ident)["stages"][0]["confirmed"] == 1


def test_restarted_server_sends_the_configuration_that_is_due(server: Plant) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    body = json.dumps({"uplink_s": 77})
    name = server.post("/admin/configs", {"body": body, "note": ""}).json()["name"]
    assert server.post(f"/admin/configs/{name}/order", {"devices": [DEVICE], "reason": ""}).status_code == 201
    support.restart(server)
    assert device.check_in()["config"][0] == name


def said(server: Plant, device: PretendDevice) -> Sighting:
    """What a device would say now."""
    raw = support.request_of(device.ident, release=device.release, counter=device.counter, manifest=device.manifest,
                             boot=device.boot, trial=device.trial)
    return sighting_of(checkin.parse_request(raw), server.clock.now_s)


@contextmanager
def process(tmp_path: Path, config: dict[str, object], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The real program, killed at the end."""
    path = tmp_path / "ota.json"
    path.write_text(json.dumps(config | {"port": port}))
    with subprocess.Popen([sys.executable, "-m", "ota.server", "--config", str(path)], cwd=ROOT) as running:
        try:
            yield running
        finally:
            running.kill()


def test_killed_server_loses_a_moment_of_last_seen_and_no_offer(
    tmp_path: Path, config: dict[str, object], certificates: pki.FleetPki, signing: Keys,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with process(tmp_path, config, port) as running, operator(port, certificates) as desk:
        until(desk.healthy, True)
        with as_device(port, certificates) as device:
            check_in(device, "1" * 32)
            until(lambda: len(list(desk.devices())), 1)
            written_s = desk.explain(PEER)["last_seen_s"]
            manifest = desk.publish(*signing.release(2))["manifest"]
            rollout = desk.start_rollout(manifest)["rollout"]
            check_in(device, "2" * 32, metrics={"uptime_s": 2})
            assert check_in(device, "3" * 32, seq=0)["direction"] is not None
            running.send_signal(signal.SIGKILL)   # the answer is out: whatever it rests on must be there
            running.wait(20)
    with process(tmp_path, config, port), operator(port, certificates) as desk:
        until(desk.healthy, True)
        found = desk.explain(PEER)
        assert found["last_seen_s"] >= written_s
        assert [each["state"] for each in found["attempts"]] == ["offered"]
        assert desk.rollout(rollout)["offered"] == 1
        with as_device(port, certificates) as device:   # whose memory of directions is lost
            told = check_in(device, "4" * 32)
        assert direction.load(told["direction"], signing.root, PEER, "4" * 32, 0, told["now_s"])["seq"] == 3
