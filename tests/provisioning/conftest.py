"""A small factory: a PKI, a ledger with an open lot, its station, and devices that make their own keys."""

import datetime as dt
import json
import os
import time
from dataclasses import dataclass, field

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from host.db import open_engine
from host.ecdsa import point
from host.tls import client_context
from node.compat import sha256
from node.wire import der, identity, p256
from provisioning import ca, pki
from provisioning.enrol.app import create_app
from provisioning.enrol.settings import EnrolSettings
from provisioning.ledger import Ledger
from provisioning.line.station import Station
from tests.databases import migrated
from tests.host.test_tls import running

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
NOW_S = int(NOW.timestamp())
DAY_S = 86_400
LOT = "lot-1"


def mac(last: int) -> bytes:
    return bytes.fromhex("0242ac1100") + bytes((last,))


@dataclass
class Device:
    """What a device does at birth: a key of its own, the announcement, the request for a certificate."""

    last: int = 1
    private: int = 0
    public: bytes = b""
    device: str = field(init=False)

    def __post_init__(self) -> None:
        self.private, self.public = p256.keygen(os.urandom(32))
        self.device = identity.device_id("hall", mac(self.last))

    def line(self, **changes: str) -> str:
        proof = p256.sign(self.private, sha256(identity.proof_input(self.device)))
        said = {"device": self.device, "key": self.public.hex(), "proof": proof.hex(), "model": "hall"}
        return "BIRTH " + json.dumps(said | changes)

    def csr(self, name: str | None = None) -> bytes:
        return der.csr(self.private, self.public, name or self.device)


@pytest.fixture(scope="session")
def fleet_pki(tmp_path_factory):
    return pki.make_fleet_pki(tmp_path_factory.mktemp("pki") / "pki", now=dt.datetime.now(dt.UTC))


@pytest.fixture(scope="session")
def issuing(fleet_pki):
    return pki.load_authority(fleet_pki.cert("issuing"), fleet_pki.key("issuing"))


@pytest.fixture
def ledger_url(tmp_path):
    return migrated(tmp_path / "ledger.db", "provisioning")


@pytest.fixture
def engine(ledger_url):
    engine = open_engine(ledger_url)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine):
    return Ledger(engine)


@pytest.fixture
def station_key():
    return ca.make_key()


@pytest.fixture
def station(ledger, station_key):
    ledger.open_lot(LOT, point(station_key.public_key()).hex(), quota=2, expires_s=NOW_S + DAY_S, now_s=NOW_S)
    return Station(ledger, LOT, "bench-1", station_key)


@pytest.fixture
def settings(fleet_pki, ledger_url):
    return EnrolSettings(
        port=0, database=ledger_url, cert_file=fleet_pki.cert("svc.enrol"), key_file=fleet_pki.key("svc.enrol"),
        ca_file=fleet_pki.ca_file, issuing_cert=fleet_pki.cert("issuing"), issuing_key=fleet_pki.key("issuing"),
        root_cert=fleet_pki.cert("root"))


@pytest.fixture
def port(settings):
    with running(create_app(settings), settings.tls()) as port:
        yield port


@pytest.fixture
def bench(ledger: Ledger, station_key) -> Station:
    now_s = int(time.time())
    ledger.open_lot(LOT, point(station_key.public_key()).hex(), 10, now_s + 3600, now_s)
    return Station(ledger, LOT, "bench-1", station_key)


@pytest.fixture
def born(bench):
    device = Device()
    bench.hear(device.line(), int(time.time()))
    return device


@pytest.fixture
def connect(port, fleet_pki, tmp_path):
    clients = []

    def make(certificate=None, device=None):
        cert_file = key_file = None
        if certificate is not None:
            cert_file, key_file = tmp_path / "device.pem", tmp_path / "device.key"
            key_file.unlink(missing_ok=True)
            pki.write_pem(cert_file, certificate)
            pki.write_key(key_file, ec.derive_private_key(device.private, ec.SECP256R1()))
        context = client_context(fleet_pki.cert("root"), cert_file, key_file)
        clients.append(httpx.Client(base_url=f"https://localhost:{port}", verify=context, trust_env=False))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
