"""Attack: somebody takes a production station home, with all that it stores and all that ever went over its wires."""

import base64
import datetime as dt
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from host import broker
from host.db import open_engine
from host.sim.boards.port import Port as Cable
from host.tls import client_context, listen, make_server
from node.agent.paths import KEY_PATH
from node.wire import der
from provisioning import pki
from provisioning.enrol.app import create_app
from provisioning.enrol.settings import EnrolSettings
from provisioning.ledger import Ledger
from provisioning.line.port import Port
from provisioning.rules.line import Step
from tests.provisioning.flash_boards import boards
from tests.provisioning.line_boards import Factory, until_rest

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hall-0242ac130001")])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> pki.FleetPki:
    return pki.make_fleet_pki(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def factory(tmp_path: Path, database: str) -> Iterator[Factory]:
    engine = open_engine(database)
    made = Factory(tmp_path / "station", Ledger(engine))
    pki.write_key(made.folder / "station.key", made.key)   # where the command keeps it
    yield made
    engine.dispose()


def scalar(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(32, "big")


def spellings(secret: bytes) -> list[bytes]:
    """A secret as it may stand in files and on wires; base64 at any of its three offsets."""
    inner = [base64.b64encode(bytes(skip) + secret)[4 if skip else 0:-4] for skip in range(3)]
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), *inner]


def test_nothing_it_stores_or_sends_is_a_secret_of_the_fleet(
    factory: Factory, fleet: pki.FleetPki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = bytearray()

    def tapped(name: str) -> None:
        original = getattr(Cable, name)

        def tap(self: Cable, *data: bytes) -> bytes | None:
            said: bytes | None = original(self, *data)
            wire.extend(data[0] if data else said or b"")
            return said

        monkeypatch.setattr(Cable, name, tap)

    tapped("read")    # what the station sends
    tapped("write")   # what the board says
    with boards(tmp_path / "boards", "esp32") as (board,), factory.line() as line:
        assert until_rest(Port(line, str(board.port)), line, board.port) is Step.DONE
        board.power_off()
        d = der.parse_sec1(board.files()[KEY_PATH])[0]
    secrets = {"the device's key": d.to_bytes(32, "big")}
    for path in fleet.folder.glob("*.key"):
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        secrets[path.name] = scalar(key)
    stored = {path: path.read_bytes() for path in factory.folder.rglob("*") if path.is_file()}
    assert b"BIRTH" in wire
    assert factory.folder / "journal.jsonl" in stored
    for name, secret in secrets.items():
        for spelt in spellings(secret):
            assert spelt not in wire, f"{name} went over the wire"
            assert not [path for path, content in stored.items() if spelt in content], name
    assert [path.name for path, content in stored.items() if b"PRIVATE" in content] == ["station.key"]
    assert not [path for path, content in stored.items() if b"BEGIN CERTIFICATE" in content]
    for spelt in spellings(scalar(factory.key)):
        assert spelt not in wire, "the station's key went over the wire"
        assert [path.name for path, content in stored.items() if spelt in content] in ([], ["station.key"])


@contextmanager
def enrolment(fleet: pki.FleetPki, database: str) -> Iterator[str]:
    settings = EnrolSettings(
        port=0, database=database, cert_file=fleet.cert("svc.enrol"), key_file=fleet.key("svc.enrol"), ca_file=fleet.ca_file,
        issuing_cert=fleet.cert("issuing"), issuing_key=fleet.key("issuing"), root_cert=fleet.cert("root"))
    server, listener = make_server(create_app(settings), settings.tls()), listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"https://localhost:{listener.getsockname()[1]}/.well-known/est"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def forged(factory: Factory, folder: Path) -> tuple[Path, Path]:
    """A certificate in a device's name, signed with the station's key: the best that the thief can make."""
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(factory.key.public_key()).serial_number(7)
    day = dt.timedelta(days=1)
    certificate = builder.not_valid_before(now - day).not_valid_after(now + day).sign(factory.key, hashes.SHA256())
    pki.write_pem(folder / "forged.pem", certificate)
    return folder / "forged.pem", factory.folder / "station.key"


def test_its_key_is_no_key_at_the_enrolment_server(factory: Factory, fleet: pki.FleetPki, database: str, tmp_path: Path) -> None:
    numbers = factory.key.private_numbers()
    public = b"\x04" + numbers.public_numbers.x.to_bytes(32, "big") + numbers.public_numbers.y.to_bytes(32, "big")
    csr = base64.b64encode(der.csr(numbers.private_value, public, "hall-0242ac130001"))
    with enrolment(fleet, database) as url:
        with httpx.Client(verify=client_context(fleet.cert("root")), trust_env=False) as client:
            refused = client.post(f"{url}/simpleenroll", content=csr)
            assert (refused.status_code, refused.json()["code"]) == (403, "enrol.no_birth")
        context = client_context(fleet.cert("root"), *forged(factory, tmp_path))
        with httpx.Client(verify=context, trust_env=False) as client, pytest.raises((httpx.TransportError, ssl.SSLError)):
            client.post(f"{url}/simplereenroll", content=csr)


def knock(port: int, context: ssl.SSLContext) -> bytes:
    """What a broker answers to an MQTT CONNECT; b"" when it shuts the door."""
    try:
        plain = socket.create_connection(("localhost", port))
        with plain, context.wrap_socket(plain, server_hostname="localhost") as door:
            door.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")
            return door.recv(4)
    except (ssl.SSLError, ConnectionError):
        return b""


@contextmanager
def nats(fleet: pki.FleetPki, tmp_path: Path) -> Iterator[int]:
    """A broker with one device that lets in whom it knows; gives its port."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for each in (one, two, three):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two, three)]
    settings = broker.BrokerSettings(
        mqtt_port=ports[0], client_port=ports[1], monitor_port=ports[2], cert_file=fleet.cert("svc.broker"),
        key_file=fleet.key("svc.broker"), ca_file=fleet.ca_file, store_dir=tmp_path / "store")
    config = broker.write(tmp_path / "etc", settings, ["hall-0242ac130001"])
    process = subprocess.Popen([broker.nats_server_binary(), "-c", config], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert any("Server is ready" in line for line in process.stderr)
        good = client_context(fleet.cert("root"), fleet.cert("svc.ingest"), fleet.key("svc.ingest"))
        assert knock(ports[0], good)[:1] == b"\x20"   # CONNACK: the door is there
        yield ports[0]
    finally:
        process.terminate()
        process.wait(10)
        if process.stderr is not None:
            process.stderr.close()


def test_its_key_is_no_key_at_the_broker(factory: Factory, fleet: pki.FleetPki, tmp_path: Path) -> None:
    with nats(fleet, tmp_path) as port:
        assert knock(port, client_context(fleet.cert("root"), *forged(factory, tmp_path))) == b""
