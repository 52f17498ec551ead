"""`tenfold fleet` against the real server and a real telemetry database: from a device's drop to the sums that a gate judges by."""

import json
import time
from pathlib import Path

import pytest

from host.cli.root import app
from host.db import open_engine
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.store.telemetry import Telemetry
from node.wire import topics
from ota.client import OtaError
from provisioning import pki
from tests.databases import migrated
from tests.ota.support import PEER, as_device, operator, request_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def telemetry(tmp_path: Path) -> str:
    """A device that connected half an hour ago, dropped, and was back a minute later."""
    url = migrated(tmp_path / "telemetry.db")
    engine = open_engine(url)
    committer, begin_ms = Committer(Telemetry(engine)), int(time.time()) * 1000 - 1_800_000
    hello = topics.encode_state(1, "1.1.0", 1, (1, 0), "boot:power")
    for after_ms, payload in ((0, hello), (60_000, topics.OFFLINE), (120_000, hello)):
        committer.commit([sort(topics.state(PEER), payload)], begin_ms + after_ms)
    engine.dispose()
    return url


@pytest.fixture
def tenfold(port: int, certificates: pki.FleetPki, telemetry: str, capsys: Capture):
    with as_device(port, certificates) as device:
        assert device.post("/v1/checkin", content=request_of(PEER, metrics={"uptime_s": 1700})).status_code == 200

    def run(*words: str, name: str = "op.release", database: bool = True) -> str:
        options = ["--server", f"https://localhost:{port}", "--ca", certificates.ca_file, "--cert", certificates.cert(name),
                   "--key", certificates.key(name), *(["--database", telemetry] if database else [])]
        app([str(word) for word in ("fleet", *words, *options)], standalone_mode=False)
        return capsys.readouterr().out

    with operator(port, certificates) as desk:
        while not list(desk.metrics()):   # written with the next group of check-ins
            pass
    return run


def test_a_drop_reaches_the_gates_sums_once(tenfold, port: int, certificates: pki.FleetPki) -> None:
    told = json.loads(tenfold("feed", "--json"))
    assert (told["rows"], told["left_out"]) == (1, 0)
    with operator(port, certificates) as desk:
        (version,) = desk.versions()
        assert version["totals"]["link_drops"] == 1
        assert 1600 < version["totals"]["link_online_s"] <= 1800 - 60
        assert desk.links_until() == told["until_s"]
        tenfold("feed")
        assert desk.versions()[0]["totals"]["link_drops"] == 1
        assert "do not wait" in tenfold("unfeed", database=False)
        assert desk.links_until() is None


def test_who_only_looks_feeds_no_gate(tenfold) -> None:
    with pytest.raises(OtaError, match=r"operator\.read_only"):
        tenfold("feed", name="op.console")


def test_models_and_sites_come_from_the_server(tenfold, port: int, certificates: pki.FleetPki) -> None:
    with operator(port, certificates) as desk:
        desk.label([PEER], site="nord")
    found = json.loads(tenfold("status", "--json"))
    assert (found["fleet"]["online"], found["sites"][0]["name"], found["sites"][0]["drops"], found["notes"]) == (1, "nord", 1, [])
