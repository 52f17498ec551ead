"""SenML over HTTP with real mutual TLS: an answer comes after the commit, and tells what became of the pack."""

import json
import sqlite3

import cbor2
import httpx
import pytest
from sqlalchemy import event, func, select

from host import tls
from host.ingest.commit import Committer
from host.ingest.known import KnownDevices
from host.ingest.senml_http import PATH, create_app
from host.ingest.senml_server import main
from host.ingest.sort import sort
from host.store import tables as t
from host.store.queries import Queries
from host.store.telemetry import Telemetry
from provisioning import pki
from tests.brokers import issue
from tests.host.test_tls import running
from tests.ingest.records import DEVICE, batch_of, up

NOW = 1_790_000_000_000
PUMP, STRANGER = "pump-0242ac110009", "lift-0242ac11000b"
JSON = {"content-type": "application/senml+json"}
PACK = [{"n": "flow", "u": "l/min", "bt": NOW // 1000, "v": 12.5}]
WAIT_S = 20.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = pki.make_fleet_pki(tmp_path_factory.mktemp("pki"))
    issue(fleet, PUMP, STRANGER, DEVICE)
    return fleet


@pytest.fixture
def post(engine, fleet, tmp_path):
    """Post as a name: post(name, body, headers)."""
    known = tmp_path / "known.txt"
    known.write_text(f"pump-*  # all pumps\n{DEVICE}\n")
    settings = tls.TlsSettings(cert_file=fleet.cert("svc.ota"), key_file=fleet.key("svc.ota"), ca_file=fleet.ca_file)
    with running(create_app(engine, lambda: NOW, known=KnownDevices(known)), settings) as port:
        def send(name, body, headers=JSON):
            context = tls.client_context(fleet.ca_file, fleet.cert(name), fleet.key(name))
            with httpx.Client(verify=context, timeout=WAIT_S) as client:
                content = body if isinstance(body, bytes) else json.dumps(body)
                return client.post(f"https://localhost:{port}{PATH}", content=content, headers=headers)

        yield send


def count(engine, table):
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def test_pack_is_stored_under_the_name_in_the_certificate(engine, post):
    answer = post(PUMP, PACK)
    assert (answer.status_code, answer.content) == (204, b"")
    assert post(PUMP, PACK).status_code == 204   # sent again: as well, and stored once
    assert Queries(engine).series(PUMP, None, 0, 2 * NOW, 10) == {"flow": ([NOW], [12.5])}


def test_cbor_is_taken_and_text_kept_aside_is_told(engine, post):
    answer = post(PUMP, cbor2.dumps([{0: "flow", 2: 1}, {0: "mode", 3: "auto"}]), {"content-type": "Application/SenML+CBOR; x=1"})
    assert (answer.status_code, answer.json()["code"]) == (202, "senml.no_number")
    assert [one.value for one in Queries(engine).latest(PUMP)] == [1.0]


@pytest.mark.parametrize(("name", "body", "headers", "status", "code", "aside"), [
    (PUMP, b"{", JSON, 400, "senml.json", 1),
    (PUMP, [{"n": "a", "v": 1, "t": 1e9}], JSON, 400, "senml.time", 1),
    (PUMP, b"x" * 17_000, JSON, 413, "senml.size", 0),
    (PUMP, PACK, {"content-type": "application/json"}, 415, "senml.media", 0),
    (PUMP, PACK, {}, 415, "senml.media", 0),
    (STRANGER, PACK, JSON, 403, "device.unknown", 1),
    ("op.console", PACK, JSON, 403, "senml.name_missing", 0),
])
def test_refusal_tells_its_code_and_what_to_do(engine, post, name, body, headers, status, code, aside):
    answer = post(name, body, headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]
    assert code != "senml.time" or "a at 1000000000" in answer.json()["message"]
    assert (count(engine, t.batch), count(engine, t.quarantine)) == (0, aside)


def test_device_of_ours_sends_no_senml(engine, post):
    Committer(Telemetry(engine)).commit([sort(*up(batch_of(1, 0)))], NOW)
    assert post(DEVICE, PACK).status_code == 409
    assert count(engine, t.batch) == 1


def test_locked_database_is_told_and_the_next_try_is_stored(engine, post):
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=1"))
    engine.dispose()
    blocker = sqlite3.connect(engine.url.database)
    blocker.execute("BEGIN IMMEDIATE")
    answer = post(PUMP, PACK)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "senml.database", "5")
    blocker.close()
    assert post(PUMP, PACK).status_code == 204
    assert count(engine, t.batch) == 2


def test_pack_that_the_database_refuses_does_not_take_others_with_it(engine, post, monkeypatch):
    monkeypatch.setattr("host.ingest.sort.KIND_BATCH", None)   # a value that no row takes
    answer = post(PUMP, PACK)
    assert (answer.status_code, answer.json()["code"]) == (400, "store.refused")
    assert count(engine, t.quarantine) == 1


def test_nobody_without_a_certificate_is_heard(post, fleet):
    bare = tls.client_context(fleet.ca_file)
    refused = (httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)
    url = str(post(PUMP, PACK).url)
    with httpx.Client(verify=bare, timeout=WAIT_S) as client, pytest.raises(refused):
        client.post(url, json=PACK, headers=JSON)


def test_server_that_cannot_start_says_why(tmp_path, caplog):
    config = tmp_path / "senml.json"
    config.write_text(json.dumps({"cert_file": "c", "key_file": "k", "ca_file": "a", "known_devices": str(tmp_path / "none.txt"),
                                  "database": f"sqlite:///{tmp_path}/t.db"}))
    assert main(["--config", str(config)]) == 2
    assert "setting known_devices: got" in caplog.text
