"""The HTTP servers' TLS: who is at the other end, who is not let in, and a stop that does not wait for streams."""

import asyncio.sslproto
import datetime as dt
import signal
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from fastapi import FastAPI, Request

from host import tls
from host.settings import SettingsError
from provisioning import ca, pki

NOW = dt.datetime.now(dt.UTC)
DEVICE = "hall-0242ac110001"
ROOT = Path(__file__).parent.parent.parent
WAIT_S = 60   # until a test gives up, on a machine that is busy with other things


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return pki.make_fleet_pki(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return pki.make_fleet_pki(tmp_path_factory.mktemp("pki") / "theirs")


def settings(fleet, **changes):
    return tls.TlsSettings(cert_file=fleet.cert("svc.ota"), key_file=fleet.key("svc.ota"), ca_file=fleet.ca_file, **changes)


def make_app():
    app = FastAPI()

    @app.get("/who")
    def who(request: Request) -> dict[str, str | None]:
        return {"name": tls.peer_name(request.scope)}

    return app


@contextmanager
def running(app, tls_settings):
    server, listener = tls.make_server(app, tls_settings), tls.listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def client(port, fleet, name=None, **changes):
    context = tls.client_context(fleet.cert("root"), *((fleet.cert(name), fleet.key(name)) if name else ()))
    for key, value in changes.items():
        setattr(context, key, value)
    return httpx.Client(base_url=f"https://localhost:{port}", verify=context, trust_env=False)


@pytest.fixture(scope="module", params=["h11", "httptools"])
def strict(fleet, request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "h11":
            patch.setattr(tls, "protocol_class", lambda: tls.H11Tls)
        else:
            pytest.importorskip("httptools")
        with running(make_app(), settings(fleet)) as port:
            yield port


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_application_knows_who_asks_on_every_request_of_a_connection(strict, fleet, version):
    with client(strict, fleet, "op.console", maximum_version=version) as peer:
        assert [peer.get("/who").json() for _ in range(3)] == [{"name": "op.console"}] * 3


def test_no_certificate_is_refused(strict, fleet):
    with client(strict, fleet) as peer, pytest.raises(httpx.TransportError):
        peer.get("/who")


def test_a_certificate_of_a_foreign_ca_is_refused(strict, fleet, foreign):
    context = tls.client_context(fleet.cert("root"), foreign.cert("op.console"), foreign.key("op.console"))
    with httpx.Client(verify=context, trust_env=False) as peer, pytest.raises(httpx.TransportError):
        peer.get(f"https://localhost:{strict}/who")


def test_a_servers_certificate_does_not_pass_as_a_clients(strict, fleet):
    with client(strict, fleet, "svc.broker") as peer, pytest.raises(httpx.TransportError):
        peer.get("/who")


def test_an_old_protocol_is_refused(strict, fleet):
    with pytest.warns(DeprecationWarning, match="TLSv1_1"), client(
        strict, fleet, "op.console", minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1,
    ) as peer, pytest.raises(httpx.TransportError):
        peer.get("/who")


@contextmanager
def connection(port, context, session=None):
    plain = socket.create_connection(("127.0.0.1", port))
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as peer:
        yield peer


def ask(peer):
    try:
        peer.sendall(b"GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return peer.recv(1000)[:12]
    except OSError:
        return b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_never_asks_past_the_certificate_check(strict, fleet, version):
    context = tls.client_context(fleet.cert("root"), fleet.cert("op.console"), fleet.key("op.console"))
    context.maximum_version = version
    with connection(strict, context) as first:   # held open: the server keeps the session at least as long
        assert ask(first) == b"HTTP/1.1 200"
        with connection(strict, context, first.session) as second:
            assert second.session_reused is (version is ssl.TLSVersion.TLSv1_2)
            assert ask(second) == (b"" if second.session_reused else b"HTTP/1.1 200")
        with connection(strict, context, first.session) as third:
            assert not third.session_reused, "a cut session is forgotten"
            assert ask(third) == b"HTTP/1.1 200"


def test_a_header_never_changes_who_the_peer_is(strict, fleet):
    with client(strict, fleet, "op.console") as peer:
        forged = {"X-Forwarded-For": "1.2.3.4", "X-Client-Cert": "op.release", "X-SSL-Client-S-DN": "CN=op.release"}
        assert peer.get("/who", headers=forged).json() == {"name": "op.console"}


def test_an_optional_certificate_leaves_a_stranger_without_a_name(fleet):
    with running(make_app(), settings(fleet, require_client=False)) as port, client(port, fleet) as peer:
        assert peer.get("/who").json() == {"name": None}


def expired(fleet, folder):
    issuing = pki.load_authority(fleet.cert("issuing"), fleet.key("issuing"))
    key = ca.make_key()
    certificate = ca.issue_device(issuing, key.public_key(), DEVICE, NOW - dt.timedelta(days=9), days=1)
    pki.write_pem(folder / "old.pem", certificate)
    pki.write_key(folder / "old.key", key)
    return tls.client_context(fleet.cert("root"), folder / "old.pem", folder / "old.key")


@pytest.mark.parametrize("accept", [False, True])
def test_an_expired_certificate_is_admitted_only_where_it_can_be_renewed(fleet, tmp_path, accept):
    peer = httpx.Client(verify=expired(fleet, tmp_path), trust_env=False)
    with running(make_app(), settings(fleet, accept_expired=accept)) as port, peer:
        if accept:
            assert peer.get(f"https://localhost:{port}/who").json() == {"name": DEVICE}
        else:
            with pytest.raises(httpx.TransportError):
                peer.get(f"https://localhost:{port}/who")


@pytest.mark.parametrize(("attributes", "name"), [
    ([("CN", "op.console")], "op.console"), ([("CN", "op.console"), ("CN", "op.release")], None),
    ([("O", "Plant"), ("CN", "op.console")], None), ([("O", "op.console")], None), ([], None),
])
def test_only_a_subject_that_is_one_cn_has_a_name(attributes, name):
    oids = {"CN": x509.NameOID.COMMON_NAME, "O": x509.NameOID.ORGANIZATION_NAME}
    subject = x509.Name([x509.NameAttribute(oids[key], value) for key, value in attributes])
    key = ca.make_key()
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
        .not_valid_before(NOW).not_valid_after(NOW + dt.timedelta(days=1)).sign(key, hashes.SHA256()))
    assert tls.peer_name({"extensions": {"tls": {"client_cert_der": ca.der(certificate)}}}) == name


@pytest.mark.parametrize("scope", [
    {}, {"extensions": None}, {"extensions": {}}, {"extensions": {"tls": {"client_cert_der": None}}},
    {"extensions": {"tls": {"client_cert_der": b"junk"}}},
])
def test_without_a_certificate_there_is_no_name(scope):
    assert tls.peer_name(scope) is None


def test_a_body_longer_than_a_connections_buffer_arrives_whole(fleet):
    app = FastAPI()

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    with running(app, settings(fleet)) as port, client(port, fleet, "op.console") as peer:
        tracemalloc.start()
        assert peer.post("/size", content=bytes(20 * tls.TLS_BUFFER_BYTES)).json() == 20 * tls.TLS_BUFFER_BYTES
        buffers = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, asyncio.sslproto.__file__)])
        tracemalloc.stop()
    assert max(each.size for each in buffers.traces) < 2 * tls.TLS_BUFFER_BYTES   # 2,000 devices may be connected


def test_a_connection_that_never_asks_is_cut(fleet, monkeypatch):
    monkeypatch.setattr(tls, "FIRST_REQUEST_S", 0.05)
    with running(make_app(), None) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as silent:
        silent.sendall(b"GET /who HTTP/1.1\r\n")
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""


PROGRAM = """
import asyncio, sys
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from host.tls import serve
app = FastAPI()
@app.get("/")
async def stream():
    async def events():
        yield b"up"
        await asyncio.Event().wait()
    return StreamingResponse(events())
sys.exit(serve(app, "127.0.0.1", int(sys.argv[1]), None))
"""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_by_signal_is_quick_and_a_success_even_with_a_stream_open(stop):
    with tls.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-c", PROGRAM, str(port)]
    patient = httpx.HTTPTransport(retries=8)   # the process needs a moment to listen; retries back off
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        with httpx.Client(transport=patient) as peer, peer.stream("GET", f"http://127.0.0.1:{port}/") as answer:
            assert next(answer.iter_raw()) == b"up"
            process.send_signal(stop)
            assert process.wait(WAIT_S) == 0
        assert process.stderr
        assert process.stderr.read() == ""   # nor that uvicorn gave up waiting, after STOP_LIMIT_S


def test_a_port_in_use_is_told_in_one_line(caplog):
    with tls.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert tls.serve(make_app(), "127.0.0.1", port, None) == tls.EXIT_CANNOT_START
    assert f"setting port: got 127.0.0.1:{port}" in caplog.text
    assert "Traceback" not in caplog.text


def test_unusable_files_are_named(fleet, tmp_path):
    with pytest.raises(SettingsError, match=r"tls\.ca_file: got .*missing"):
        tls.server_context(settings(fleet).model_copy(update={"ca_file": tmp_path / "missing"}))
    with pytest.raises(SettingsError, match=r"tls\.cert_file"):
        tls.server_context(settings(fleet).model_copy(update={"key_file": fleet.key("svc.enrol")}))
