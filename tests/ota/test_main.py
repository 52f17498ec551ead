"""The real server over real TLS: a device updates, strangers stay outside, and what cannot start says so in one line."""

import json
import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from host import tls
from node.wire import direction
from ota.client import UNREACHABLE, OtaError
from ota.release import keys
from ota.server.__main__ import main
from ota.server.app import create_app
from ota.server.settings import OtaSettings
from provisioning import pki
from tests.ota.support import PEER, Keys, as_device, check_in, operator, until

ROOT = Path(__file__).parents[2]


def test_a_device_updates_over_mutual_tls(port: int, certificates: pki.FleetPki, signing: Keys) -> None:
    raw, artifact = signing.release(2)
    with operator(port, certificates) as desk, as_device(port, certificates) as device:
        manifest = desk.publish(raw, artifact)["manifest"]
        check_in(device, "1" * 32)
        until(lambda: len(list(desk.devices())), 1)
        rollout = desk.start_rollout(manifest)["rollout"]
        told = check_in(device, "2" * 32)
        found = direction.load(told["direction"], signing.root, PEER, "2" * 32, 0, told["now_s"])
        assert found["manifest"] == manifest
        assert device.get(f"/v1/manifests/{manifest}").content == raw
        running = {"release": "1.2.0", "counter": 2, "manifest": manifest, "boot": 2, "seq": found["seq"]}
        check_in(device, "3" * 32, **running, trial=True)
        assert desk.rollout(rollout)["stages"][0]["under_way"] == 1
        check_in(device, "4" * 32, **running, metrics={"uptime_s": 2})
        check_in(device, "5" * 32, **running, metrics={"uptime_s": 3})
        until(lambda: desk.rollout(rollout)["state"], "done")


def test_certificates_decide_who_is_who(port: int, certificates: pki.FleetPki) -> None:
    with operator(port, certificates, "op.console") as console:
        assert console.healthy()
        with pytest.raises(OtaError, match=r"operator\.read_only"):
            console.forgive(PEER)
    with operator(port, certificates, "svc.ingest") as service, pytest.raises(OtaError, match=r"tls\.operator"):
        service.versions()
    context = tls.client_context(certificates.cert("root"))
    with httpx.Client(verify=context, trust_env=False) as stranger, pytest.raises(httpx.TransportError):
        stranger.get(f"https://localhost:{port}/healthz")


def test_a_server_that_is_away_is_told_as_such(certificates: pki.FleetPki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    with operator(free, certificates) as client:
        assert not client.healthy()
        with pytest.raises(OtaError) as caught:
            client.versions()
    assert (caught.value.status, caught.value.code) == (0, UNREACHABLE)


def write(tmp_path: Path, config: dict[str, object], **changes: object) -> str:
    path = tmp_path / "ota.json"
    path.write_text(json.dumps(config | changes))
    return str(path)


def test_the_program_starts_serves_and_stops_with_success(tmp_path: Path, config, certificates: pki.FleetPki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    arguments = [sys.executable, "-m", "ota.server", "--config", write(tmp_path, config, port=free)]
    with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            with operator(free, certificates, "op.console") as client:
                until(client.healthy, True)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(("change", "words"), [
    ({"port": "many"}, "setting port: got 'many'"),
    ({"prot": 1}, "setting prot: got 1, expected one of active_s, approvals"),
    ({"policy": {"stages": [100], "soak": 1}}, "setting policy.soak: got 1"),
    ({"database": "nosuch://x"}, "database 'nosuch://x'"),
    ({"root_file": "missing.bin"}, "setting root_file: got missing.bin (No such file or directory), expected a signed root"),
    ({"direction_key": "missing.key"}, "missing.key: No such file"),
    ({"cert_file": "missing.pem"}, "setting tls.cert_file: got missing.pem"),
])
def test_what_cannot_start_says_why_in_one_line(tmp_path: Path, config, change, words, caplog) -> None:
    assert main(["--config", write(tmp_path, config, **({"port": 0} | change))]) == 2
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert words in line
    assert "\n" not in line


def test_a_port_in_use_is_told(tmp_path: Path, config, caplog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert main(["--config", write(tmp_path, config, port=number)]) == 2
    assert f"cannot start: setting port: got 127.0.0.1:{number} (Address already in use)" in caplog.text


def test_a_direction_key_that_the_root_does_not_list_is_refused(tmp_path: Path, config, caplog) -> None:
    keys.generate(tmp_path / "other.key")
    assert main(["--config", write(tmp_path, config, direction_key=str(tmp_path / "other.key"))]) == 2
    assert "a key that the newest root does not list" in caplog.text


def test_another_pinned_root_is_refused(tmp_path: Path, config, caplog) -> None:
    create_app(OtaSettings.model_validate(config)).state.context.engine.dispose()
    other = Keys(tmp_path / "other")
    assert main(["--config", write(tmp_path, config, root_file=str(other.folder / "root.bin"))]) == 2
    assert "with which this server began" in caplog.text
