"""`python -m host.console`: serves, ends quickly at SIGTERM whoever is connected, and says in one line why it cannot start."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from host import tls
from host.console.__main__ import main
from host.stopping import EXIT_CANNOT_START

WAIT_S = 60.0   # until a test gives up, on a machine that is busy with other things


def start(folder, **settings):
    path = folder / "console.json"
    path.write_text(json.dumps(settings))
    return subprocess.Popen([sys.executable, "-m", "host.console", "--config", path], stderr=subprocess.PIPE, text=True)


def free_port():
    with tls.listen("127.0.0.1", 0) as listener:
        return listener.getsockname()[1]


def connect(port, process):
    end = time.monotonic() + WAIT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1)
        except OSError:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end


def test_it_serves_and_ends_at_once_with_a_browser_connected(tmp_path):
    port = free_port()
    with start(tmp_path, port=port, database=f"sqlite:///{tmp_path}/telemetry.db") as process:
        connect(port, process).close()
        browser = http.client.HTTPConnection("127.0.0.1", port)   # keeps its connection, as browsers do
        browser.request("GET", "/")
        page = browser.getresponse()
        assert page.status == 200
        assert b"<title>Tenfold console</title>" in page.read()
        browser.request("GET", "/api/overview")
        answer = browser.getresponse()
        assert json.loads(answer.read())["sources"]["telemetry"]["code"] == "telemetry.absent"
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        assert "graceful shutdown exceeded" not in process.stderr.read()   # uvicorn's word when it gave up waiting for somebody
        browser.close()


@pytest.mark.parametrize(("settings", "told"), [
    ({"database": "nonsense"}, "setting database"), ({"ota_url": "http://localhost:1"}, "setting ota_url"),
    ({"ota_url": "https://localhost:1"}, "ca_file, cert_file and key_file are needed"), ({"host": "0.0.0.0"}, "setting host"),
    ({"ota_url": "https://localhost:1", "ca_file": "no.pem", "cert_file": "no.pem", "key_file": "no.pem"}, "setting tls.ca_file"),
])
def test_a_wrong_setting_ends_it_in_one_line(tmp_path, caplog, settings, told):
    path = tmp_path / "console.json"
    path.write_text(json.dumps(settings))
    assert main(["--config", str(path)]) == EXIT_CANNOT_START
    (record,) = caplog.records
    assert told in record.message


def test_a_taken_port_ends_it_in_one_line(tmp_path):
    with tls.listen("127.0.0.1", 0) as listener, start(tmp_path, port=listener.getsockname()[1]) as process:
        _, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == EXIT_CANNOT_START
    assert "expected a free port" in errors
    assert "Traceback" not in errors
