"""The CA: what is in a certificate, and which must not exist."""

import datetime as dt
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from node.wire import der
from provisioning import ca, pki

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
DEVICE = "hall-0242ac110001"


@pytest.fixture(scope="module")
def issuing():
    return ca.make_issuing(ca.make_root(ca.make_key(), NOW), ca.make_key(), NOW)


def public():
    return ca.make_key().public_key()


def test_a_device_certificate_names_the_device_and_nothing_else(issuing):
    key = public()
    certificate = ca.issue_device(issuing, key, DEVICE, NOW)
    assert certificate.subject.rfc4514_string() == f"CN={DEVICE}"
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(issuing.certificate)
    start, end = der.cert_validity(ca.der(certificate))
    assert end == int(certificate.not_valid_after_utc.timestamp()) == int(NOW.timestamp()) + ca.DEVICE_DAYS * 86_400
    assert start < NOW.timestamp() < end


@pytest.mark.parametrize("name", ["svc.ota", "op.console", "*", "", "hall-0242ac11000g", "Tenfold Root CA"])
def test_a_device_never_gets_another_kind_of_name(issuing, name):
    with pytest.raises(ca.CaError, match=r"ca\.name"):
        ca.issue_device(issuing, public(), name, NOW)


def test_services_and_operators_never_get_a_device_name(issuing):
    with pytest.raises(ca.CaError, match=r"ca\.name"):
        ca.issue_client(issuing, public(), DEVICE, NOW)
    with pytest.raises(ca.CaError, match=r"ca\.name"):
        ca.issue_server(issuing, public(), DEVICE, ["localhost"], NOW)


def test_an_operator_is_no_server_and_a_server_needs_host_names(issuing):
    with pytest.raises(ca.CaError, match="expected a service"):
        ca.issue_server(issuing, public(), "op.console", ["localhost"], NOW)
    with pytest.raises(ca.CaError, match="no host names"):
        ca.issue_server(issuing, public(), "svc.ota", [], NOW)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_only_p256_keys_are_certified(issuing, key):
    with pytest.raises(ca.CaError, match=r"ca\.key"):
        ca.issue_device(issuing, key.public_key(), DEVICE, NOW)


def test_no_leaf_outlives_its_issuer(issuing):
    with pytest.raises(ca.CaError, match=r"ca\.issuer"):
        ca.issue_device(issuing, public(), DEVICE, NOW, days=ca.ISSUING_DAYS + 1)


def test_private_keys_are_their_owners_alone_and_never_overwritten(tmp_path):
    made = pki.make_fleet_pki(tmp_path / "pki", ["broker.plant.example"], NOW)
    for name in ("root", "issuing", *pki.SERVERS, *pki.CLIENTS):
        assert stat.S_IMODE(made.key(name).stat().st_mode) == 0o600, name
    before = made.key("root").read_bytes()
    with pytest.raises(pki.PkiError, match=r"root\.key"):
        pki.make_fleet_pki(tmp_path / "pki", (), NOW)
    assert made.key("root").read_bytes() == before


def test_servers_answer_to_the_local_and_the_given_names(tmp_path):
    made = pki.make_fleet_pki(tmp_path / "pki", ["*.plant.example"], NOW)
    leaf, issuing = pki.load_certificates(made.cert("svc.ota"))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "*.plant.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert issuing == pki.load_certificates(made.cert("issuing"))[0]
    assert made.root_der.read_bytes() == ca.der(pki.load_certificates(made.cert("root"))[0])


def test_a_key_that_is_not_the_certificates_is_refused(tmp_path):
    made = pki.make_fleet_pki(tmp_path / "pki", (), NOW)
    with pytest.raises(pki.PkiError, match="not the one of"):
        pki.load_authority(made.cert("issuing"), made.key("root"))
