"""`tenfold upkeep`: does its tasks, tells Prometheus, ends at SIGTERM, and says in one line why it cannot start."""

import json
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from host.stopping import EXIT_CANNOT_START
from host.store.queries import Queries
from host.upkeep.__main__ import main
from tests.brokers import free_ports
from tests.console.test_process import WAIT_S, connect
from tests.ingest.records import DEVICE
from tests.store.days_of import fill, history
from tests.store.test_compact import made


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_it_does_its_tasks_tells_of_them_and_ends_at_sigterm(tmp_path):
    engine = made(tmp_path / "telemetry.db")
    fill(engine, *history())
    before = Queries(engine).latest(DEVICE)
    port, config = free_ports(1)[0], tmp_path / "upkeep.json"
    config.write_text(json.dumps({
        "database": str(engine.url), "metrics_port": port, "compact_every_s": 0.1, "detectors_every_s": 0.1, "forests_every_s": 0}))
    command = [sys.executable, "-m", "host.upkeep", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        connect(port, process).close()
        done = {f'tenfold_upkeep_last_success_timestamp_seconds{{task="{task}"}}' for task in ("compact", "detectors")}
        deadline = time.monotonic() + 8 * WAIT_S
        while not all(scraped(port)[name] for name in done):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=WAIT_S)[1]
    assert process.returncode == 0, told
    assert "failed" not in told
    assert "are day columns now" in told
    assert "1 devices, " in told
    assert Queries(engine).latest(DEVICE) == before
    engine.dispose()


@pytest.mark.parametrize(("settings", "told"), [
    ({"database": "nonsense"}, "database 'nonsense'"), ({"zone": "Mars"}, "setting zone"),
    ({"compact_every": 1}, "setting compact_every"),
    ({"compact_every_s": 0, "detectors_every_s": 0, "forests_every_s": 0}, "the period of at least one task"),
    ({"ota_url": "https://localhost:1", "ca_file": "no.pem", "cert_file": "no.pem", "key_file": "no.pem"}, "setting tls.ca_file"),
    ({"classes_file": "none.toml"}, "none.toml"),
])
def test_a_wrong_setting_ends_it_in_one_line(tmp_path, caplog, settings, told):
    path = tmp_path / "upkeep.json"
    path.write_text(json.dumps({"database": f"sqlite:///{tmp_path}/telemetry.db"} | settings))
    assert main(["--config", str(path)]) == EXIT_CANNOT_START
    assert told in caplog.messages[-1]
