"""Attack: somebody takes a partner's station home, with the certificate by which it reaches the ledger."""

import base64
import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from host.db import open_engine
from host.ecdsa import point
from host.tls import client_context
from node.wire import der
from provisioning import ca, pki
from provisioning.enrol.app import create_app
from provisioning.enrol.settings import EnrolSettings
from provisioning.enrol.stations import BURST
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.line.books import AwayError
from provisioning.line.https_books import HttpsBooks
from provisioning.line.station import Announcement, Pen, Station, parse_line
from tests.attacks.test_stolen_station import knock, nats
from tests.host.test_tls import running
from tests.provisioning.conftest import Device
from tests.provisioning.far_stations import books_of, certificate, folder, unproved

LOT, PLANTS = "2026-47", "2026-46"
QUOTA = 2


class Loot:
    """A partner's station with its lot, at a plant that has devices of its own."""

    def __init__(self, place: Path, fleet: pki.FleetPki, url: str) -> None:
        self.engine = open_engine(url)
        self.ledger, self.key, self.url = Ledger(self.engine), ca.make_key(), url
        self.now_s = int(time.time())
        self.ledger.open_lot(LOT, point(self.key.public_key()).hex(), QUOTA, self.now_s + 3600, self.now_s)
        plant = ca.make_key()
        self.ledger.open_lot(PLANTS, point(plant.public_key()).hex(), 9, self.now_s + 3600, self.now_s)
        self.device = Device(9)
        Station(self.ledger, PLANTS, "bench-0", plant).hear(self.device.line(), self.now_s)
        self.place = folder(place, fleet, self.key, certificate(self.ledger, fleet, self.key))

    def record(self, device: Device, lot: str = LOT) -> bytes:
        announced = parse_line(device.line())
        assert isinstance(announced, Announcement)
        return Pen(lot, "bench-1", self.key).record(announced, self.now_s)

    def context_files(self) -> tuple[Path, Path, Path]:
        return self.place / "root.pem", self.place / "station.pem", self.place / "station.key"


@pytest.fixture
def loot(tmp_path: Path, certificates: pki.FleetPki) -> Iterator[Loot]:
    made = Loot(tmp_path / "loot", certificates, f"sqlite:///{tmp_path}/ledger.db")
    yield made
    made.engine.dispose()


@pytest.fixture
def enrolment(loot: Loot, certificates: pki.FleetPki) -> Iterator[int]:
    settings = EnrolSettings(
        port=0, database=loot.url, cert_file=certificates.cert("svc.enrol"), key_file=certificates.key("svc.enrol"),
        ca_file=certificates.ca_file, issuing_cert=certificates.cert("issuing"), issuing_key=certificates.key("issuing"),
        root_cert=certificates.cert("root"), station_per_min=1)
    with running(create_app(settings), settings.tls()) as port:
        yield port


@pytest.fixture
def books(loot: Loot, enrolment: int) -> Iterator[HttpsBooks]:
    with books_of(loot.place, enrolment) as made:
        yield made


def said(books: HttpsBooks, raw: bytes, lot: str = LOT) -> str:
    try:
        return books.append(lot, raw, 0).value
    except ProvisioningError as error:
        return error.code


def test_all_that_it_has_is_its_own(loot: Loot, certificates: pki.FleetPki) -> None:
    """No ledger, no secret but its key, and the certificates of nobody but itself and the root."""
    names = {path.name for path in loot.place.iterdir()}
    assert names == {"station.key", "station.pem", "root.pem"}
    own, root = (pki.load_certificates(loot.place / name) for name in ("station.pem", "root.pem"))
    assert [one.subject.rfc4514_string() for one in (*own, *root)] == ["CN=st.bench-1", "CN=Tenfold Root CA"]
    assert list(own[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]


def test_its_certificate_takes_nobodys_device(loot: Loot, books: HttpsBooks) -> None:
    """He has the ledger's door open: whatever he signs and asks, devices of others stay as they are; he hears that there are."""
    before, at = loot.ledger.birth(loot.device.device), loot.now_s
    loot.ledger.permit(loot.device.device, "rebirth", at + 3600, at, who="anna", why="erased in repair")   # it waits for its bench
    assert said(books, loot.record(Device(9))) == "provisioning.second_identity"
    assert said(books, loot.record(loot.device)) == "provisioning.second_identity"
    with pytest.raises(ProvisioningError) as caught:
        books.born(loot.device.device, 0)
    assert caught.value.code == "provisioning.second_identity"
    assert loot.device.public.hex()[2:18] not in caught.value.message
    assert PLANTS not in caught.value.message
    for lot in (PLANTS, "2026-40"):
        assert said(books, loot.record(Device(1), lot), lot) == "birth.lot_unknown"
        with pytest.raises(ProvisioningError, match=r"birth\.lot_unknown"):
            books.terms(lot)
    assert loot.ledger.birth(loot.device.device) == before


def test_its_certificate_makes_no_more_births_than_its_lot_has(loot: Loot, books: HttpsBooks) -> None:
    """Neither does the clock that he sets, nor a key that he has seen and does not hold."""
    assert said(books, unproved(loot.key, LOT, Device(1).device, loot.device.public.hex())) == "birth.proof"
    assert [said(books, loot.record(Device(number))) for number in (1, 2, 3)] == ["birth.new"] * QUOTA + ["birth.quota"]
    assert loot.ledger.count(LOT) == QUOTA


def test_its_certificate_cannot_be_used_to_list_the_fleet(loot: Loot, books: HttpsBooks) -> None:
    """One answer a device, each a request, and of these a station has so many."""
    asked: list[str] = []

    def list_it() -> None:
        while len(asked) < 100 * BURST:
            asked.append(f"hall-0242ac12{len(asked):04x}")
            assert books.born(asked[-1], 0) is None

    with pytest.raises(AwayError, match="429"):
        list_it()
    assert len(asked) > BURST


@pytest.mark.parametrize("word", ["certificate", "station", "lot"])
def test_its_certificate_is_ended_by_one_word(loot: Loot, books: HttpsBooks, word: str) -> None:
    assert said(books, loot.record(Device(1))) == "birth.new"
    (held,) = loot.ledger.certificates("st.bench-1")
    loot.ledger.revoke(word, held.serial if word == "certificate" else LOT, "bench stolen", loot.now_s)
    code = {"certificate": "tls.revoked", "station": "birth.station_revoked", "lot": "birth.lot_revoked"}[word]
    assert said(books, loot.record(Device(2))) == code
    with pytest.raises(ProvisioningError, match=code.replace(".", r"\.")):
        books.born(Device(2).device, 0)
    assert loot.ledger.count(LOT) == 1


def test_its_certificate_enrols_and_renews_no_device(loot: Loot, enrolment: int) -> None:
    numbers = loot.key.private_numbers()
    public = point(loot.key.public_key())
    with httpx.Client(verify=client_context(*loot.context_files()), trust_env=False) as client:
        for name, refused in ((loot.device.device, "enrol.other_key"), ("hall-0242ac130001", "enrol.no_birth")):
            csr = base64.b64encode(der.csr(numbers.private_value, public, name))
            answer = client.post(f"https://localhost:{enrolment}/.well-known/est/simpleenroll", content=csr)
            assert (answer.status_code, answer.json()["code"]) == (403, refused)
            answer = client.post(f"https://localhost:{enrolment}/.well-known/est/simplereenroll", content=csr)
            assert (answer.status_code, answer.json()["code"]) == (403, "enrol.other_subject")
        csr = base64.b64encode(der.csr(numbers.private_value, public, "st.bench-1"))   # nor itself: an operator does
        answer = client.post(f"https://localhost:{enrolment}/.well-known/est/simplereenroll", content=csr)
        assert (answer.status_code, answer.json()["code"]) == (400, "enrol.subject")


def test_its_certificate_is_nothing_to_the_update_server(loot: Loot, port: int) -> None:
    tried = (("POST", "/v1/checkin"), ("GET", "/admin/devices"), ("GET", "/admin/whoami"), ("POST", "/admin/rollouts"))
    with httpx.Client(verify=client_context(*loot.context_files()), trust_env=False) as client:
        for method, path in tried:
            answer = client.request(method, f"https://localhost:{port}{path}", json={} if method == "POST" else None)
            assert answer.status_code in (401, 403), (path, answer.text)
            assert answer.json()["code"]


def test_its_certificate_is_nothing_to_the_broker(loot: Loot, certificates: pki.FleetPki, tmp_path: Path) -> None:
    with nats(certificates, tmp_path) as port:
        assert knock(port, client_context(*loot.context_files())) == b"\x20\x02\x00\x05"   # CONNACK: not authorized


def test_a_devices_certificate_opens_no_ledger(loot: Loot, enrolment: int, certificates: pki.FleetPki, tmp_path: Path) -> None:
    """The other way round: who has taken a device apart is no station."""
    issuing = pki.load_authority(certificates.cert("issuing"), certificates.key("issuing"))
    shown = ca.issue_device(issuing, loot.key.public_key(), loot.device.device, dt.datetime.now(dt.UTC))
    with books_of(folder(tmp_path / "device", certificates, loot.key, shown), enrolment) as books:
        assert said(books, loot.record(Device(1))) == "station.certificate"
        with pytest.raises(ProvisioningError, match=r"station\.certificate"):
            books.terms(LOT)
