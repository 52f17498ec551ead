"""Revoked client certificates at our HTTP servers: out at the next request, on a connection that is there as well."""

import datetime as dt
import ssl

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from host import revoked, tls
from host.forwarded import ESCAPED, ForwardedCertificates, ForwardedError
from host.revoked import RevocationList
from host.settings import SettingsError
from provisioning import ca, pki
from provisioning.crl import make_crl
from provisioning.ledger import Revoked

from .test_tls import NOW, ask, connection, make_app, running, settings

LIFE = dt.timedelta(days=7)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return pki.make_fleet_pki(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch):
    monkeypatch.setattr(revoked, "LOOK_S", 0.0)


class List:
    """A revocation list's file."""

    def __init__(self, path, fleet):
        self.path, self.fleet, self.made = path, fleet, NOW
        self.publish()

    def publish(self, *names, later_s=1, issuer=None, at=None):
        issuing = issuer or pki.load_authority(self.fleet.cert("issuing"), self.fleet.key("issuing"))
        self.made = at or self.made + dt.timedelta(seconds=later_s)
        serials = [ca.serial_hex(pki.load_certificates(self.fleet.cert(name))[0]) for name in names]
        made = make_crl(issuing, [Revoked(serial, int(NOW.timestamp())) for serial in serials], self.made, LIFE)
        pki.write_whole(self.path, made.public_bytes(Encoding.PEM))

    def has(self, name, checked):
        return checked.has(ca.der(pki.load_certificates(self.fleet.cert(name))[0]))


@pytest.fixture
def crl(tmp_path, fleet):
    return List(tmp_path / "crl.pem", fleet)


def peer_of(fleet, port, name):
    context = tls.client_context(fleet.cert("root"), fleet.cert(name), fleet.key(name))
    return httpx.Client(base_url=f"https://localhost:{port}", verify=context, trust_env=False)


def test_a_live_connection_of_a_revoked_certificate_ends_at_its_next_request(fleet, crl):
    with (running(make_app(), settings(fleet, crl_file=crl.path)) as port, peer_of(fleet, port, "op.console") as peer,
          peer_of(fleet, port, "op.release") as other):
        assert peer.get("/who").status_code == 200
        crl.publish("op.console")
        answer = peer.get("/who")
        assert (answer.status_code, answer.json()["code"], answer.headers["connection"]) == (403, "tls.revoked", "close")
        assert peer.get("/who").status_code == 403
        assert other.get("/who").json() == {"name": "op.release"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_revoked_certificate_does_not_come_back_by_resumption(fleet, crl, version):
    context = tls.client_context(fleet.cert("root"), fleet.cert("op.console"), fleet.key("op.console"))
    context.maximum_version = version
    with running(make_app(), settings(fleet, crl_file=crl.path)) as port, connection(port, context) as first:
        assert ask(first) == b"HTTP/1.1 200"
        crl.publish("op.console")
        for _ in range(3):   # the first may be resumed and is cut, the next is a full handshake
            with connection(port, context, first.session) as again:
                assert ask(again) in (b"", b"HTTP/1.1 403")


def test_an_older_list_a_foreign_one_and_rubbish_take_nobody_off_the_list(fleet, crl, tmp_path, caplog):
    checked = RevocationList(crl.path, fleet.ca_file)
    assert not crl.has("op.console", checked)
    crl.publish("op.console")
    assert crl.has("op.console", checked)
    foreign = ca.make_issuing(ca.make_root(ca.make_key(), NOW), ca.make_key(), NOW)
    for spoil in (lambda: crl.publish(at=NOW), lambda: crl.publish(at=NOW + LIFE, issuer=foreign),
                  lambda: crl.path.write_text("rubbish"), crl.path.unlink):
        spoil()
        assert crl.has("op.console", checked)
    assert "goes on counting" in caplog.text
    crl.publish(at=NOW + dt.timedelta(seconds=60))
    assert not crl.has("op.console", checked)


def test_a_list_past_its_end_is_complained_of_and_locks_nobody_out(fleet, crl, caplog):
    crl.publish("op.console", at=NOW - 2 * LIFE)
    checked = RevocationList(crl.path, fleet.ca_file)
    assert crl.has("op.console", checked)
    assert not crl.has("op.release", checked)
    assert "its end has passed" in caplog.text


def test_a_server_does_not_start_without_a_list_that_it_was_told_to_ask(fleet, crl):
    crl.path.unlink()
    with pytest.raises(SettingsError, match="crl_file"):
        RevocationList(crl.path, fleet.ca_file)


def test_a_certificate_that_a_proxy_passes_on_is_asked_for_too(fleet, crl):
    checked = ForwardedCertificates(fleet.ca_file, RevocationList(crl.path, fleet.ca_file))
    pem = pki.load_certificates(fleet.cert("op.console"))[0].public_bytes(Encoding.PEM)
    headers = [(ESCAPED, httpx.QueryParams({"c": pem.decode()})["c"].replace("\n", "%0A").replace("+", "%2B").encode())]
    assert checked.name(headers, NOW.timestamp() + 1) == "op.console"
    crl.publish("op.console")
    with pytest.raises(ForwardedError, match="revoked"):
        checked.name(headers, NOW.timestamp() + 1)
