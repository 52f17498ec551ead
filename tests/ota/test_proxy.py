"""The real server behind a proxy: the client's certificate counts, verified here, and only from a proxy that is known.

The proxy here is what a real one is to the server: a client with the proxy's certificate that sets a header.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from host import tls
from host.forwarded import ESCAPED, XFCC, ForwardedCertificates, ForwardedError
from host.settings import SettingsError
from provisioning import ca, pki
from tests.ota.support import PEER, check_in, code, request_of

NOW = dt.datetime.now(dt.UTC)
PROXY = "svc.proxy"


@pytest.fixture(scope="session")
def fleet(certificates: pki.FleetPki) -> pki.FleetPki:
    """The tests' PKI with a proxy."""
    if not certificates.key(PROXY).exists():
        issuing = pki.load_authority(certificates.cert("issuing"), certificates.key("issuing"))
        key = ca.make_key()
        pki.write_key(certificates.key(PROXY), key)
        pki.write_pem(certificates.cert(PROXY), ca.issue_client(issuing, key.public_key(), PROXY, NOW))
    return certificates


@pytest.fixture
def config(config: dict[str, object], fleet: pki.FleetPki) -> dict[str, object]:
    return config | {"proxies": [PROXY]}


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> pki.FleetPki:
    """Another plant's PKI: the same names, another root."""
    return pki.make_fleet_pki(tmp_path_factory.mktemp("pki") / "foreign")


@pytest.fixture
def through(port: int, fleet: pki.FleetPki) -> Callable[..., httpx.Client]:
    def connect(name: str = PROXY) -> httpx.Client:
        context = tls.client_context(fleet.cert("root"), fleet.cert(name), fleet.key(name))
        return httpx.Client(base_url=f"https://localhost:{port}", verify=context, trust_env=False)

    return connect


def nginx(pem: bytes) -> dict[str, str]:
    return {"ssl-client-cert": quote(pem.decode())}


def envoy(pem: bytes) -> dict[str, str]:
    return {"x-forwarded-client-cert":
            f'By=spiffe://plant/ota;Hash=4687;Cert="{quote(pem.decode())}";Subject="CN=op.release,O=x";URI='}


def pem(fleet: pki.FleetPki, name: str) -> bytes:
    """The leaf of a name, PEM."""
    return pki.load_certificates(fleet.cert(name))[0].public_bytes(ca.Encoding.PEM)


@pytest.mark.parametrize("header", [nginx, envoy])
def test_a_proxy_passes_devices_and_operators_on(through, fleet: pki.FleetPki, header) -> None:
    with through() as proxy:
        proxy.headers.update(header(pem(fleet, PEER)))
        assert check_in(proxy, "1" * 32)["direction"] is None
        assert code(proxy.post("/v1/checkin", content=request_of("hall-000000000001"))) == (403, "checkin.device")
        assert code(proxy.get("/admin/devices")) == (403, "tls.operator")
        proxy.headers.update(header(pem(fleet, "op.console")))
        assert proxy.get("/admin/whoami").json()["name"] == "op.console"
        assert code(proxy.post("/admin/rollouts", json={})) == (403, "operator.read_only")


@pytest.mark.parametrize("name", [PEER, "op.console", "svc.ingest"])
def test_a_forged_header_from_anyone_else_is_refused(through, fleet: pki.FleetPki, name: str) -> None:
    with through(name) as client:
        for header in (nginx, envoy):
            headers = header(pem(fleet, "op.release"))
            assert code(client.get("/admin/devices", headers=headers)) == (403, "proxy.untrusted")
            assert code(client.post("/v1/checkin", content=request_of(PEER), headers=headers)) == (403, "proxy.untrusted")
            assert code(client.get("/v1/roots/1", headers=header(pem(fleet, PEER)))) == (403, "proxy.untrusted")


def test_a_proxy_is_nobody_itself(through, fleet: pki.FleetPki) -> None:
    with through() as proxy:
        assert code(proxy.get("/admin/devices")) == (401, "tls.certificate")
        assert code(proxy.post("/v1/checkin", content=request_of(PEER))) == (401, "tls.certificate")
        assert code(proxy.get("/admin/devices", headers=nginx(pem(fleet, PROXY)))) == (403, "tls.operator")


def test_two_headers_are_refused(through, fleet: pki.FleetPki) -> None:
    mine, other = pem(fleet, "op.console"), pem(fleet, "op.release")
    with through() as proxy:
        for headers in (
            list((nginx(mine) | envoy(mine)).items()),
            [*nginx(mine).items(), *nginx(other).items()],
            [*envoy(other).items(), *envoy(mine).items()],
        ):
            assert code(proxy.get("/admin/devices", headers=headers)) == (403, "proxy.certificate")


def test_a_chain_of_proxies_in_one_header_is_refused(through, fleet: pki.FleetPki) -> None:
    mine, other = pem(fleet, "op.console"), pem(fleet, "op.release")
    (key, first), (_, second) = *envoy(other).items(), *envoy(mine).items()
    with through() as proxy:
        for value in (f"{first},{second}", f"{first};{second}", f'Subject="CN=op.release",{second}', "By=x;Hash=y",
                      'Subject="CN=op.release"'):
            assert code(proxy.get("/admin/devices", headers={key: value})) == (403, "proxy.certificate")


def test_a_certificate_of_another_ca_is_refused(through, foreign: pki.FleetPki) -> None:
    with through() as proxy:
        for header in (nginx, envoy):
            answer = proxy.get("/admin/devices", headers=header(pem(foreign, "op.release")))
            assert code(answer) == (403, "proxy.certificate")


def test_what_is_no_certificate_is_refused(through) -> None:
    with through() as proxy:
        for value in ("", "op.release", "CN=op.release", "%", "x" * 9000,
                      quote("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")):
            assert code(proxy.get("/admin/devices", headers={"ssl-client-cert": value})) == (403, "proxy.certificate")


@pytest.fixture(scope="session")
def verifier(fleet: pki.FleetPki) -> ForwardedCertificates:
    return ForwardedCertificates(fleet.ca_file)


def told(certificate: x509.Certificate) -> list[tuple[bytes, bytes]]:
    return [(ESCAPED, quote(certificate.public_bytes(ca.Encoding.PEM).decode()).encode())]


@pytest.fixture(scope="session")
def issuing(fleet: pki.FleetPki) -> ca.Authority:
    return pki.load_authority(fleet.cert("issuing"), fleet.key("issuing"))


def test_an_expired_certificate_is_refused_also_after_it_was_good(verifier, issuing: ca.Authority) -> None:
    headers = told(ca.issue_client(issuing, ca.make_key().public_key(), "op.test", NOW, days=2))
    end_s = (NOW + dt.timedelta(days=2)).timestamp()
    for at_s in (NOW.timestamp(), end_s - 60, NOW.timestamp() + 60):
        assert verifier.name(headers, at_s) == "op.test"
    for at_s in (end_s + 60, NOW.timestamp() - 7_200):
        with pytest.raises(ForwardedError):
            verifier.name(headers, at_s)


def test_a_servers_or_a_cas_certificate_is_no_clients(verifier, fleet: pki.FleetPki, issuing: ca.Authority) -> None:
    for name in ("svc.ota", "issuing", "root"):
        with pytest.raises(ForwardedError):
            verifier.name(told(pki.load_certificates(fleet.cert(name))[0]), NOW.timestamp())


def test_a_leaf_does_not_issue(verifier, fleet: pki.FleetPki) -> None:
    key = ca.make_key()
    forger = ca.Authority(pki.load_certificates(fleet.cert(PEER))[0], pki.load_key(fleet.key(PEER)))
    with pytest.raises(ForwardedError):
        verifier.name(told(ca.issue_client(forger, key.public_key(), "op.release", NOW, days=30)), NOW.timestamp())


def test_a_subject_of_more_than_a_name_is_nobody(verifier, issuing: ca.Authority) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("op.release", "op.console")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuing.certificate.subject).serial_number(7)
    builder = builder.public_key(ca.make_key().public_key()).not_valid_before(NOW).not_valid_after(NOW + dt.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.key.public_key()), critical=False)
    with pytest.raises(ForwardedError, match="single CN"):
        verifier.name(told(builder.sign(issuing.key, hashes.SHA256())), NOW.timestamp())


def test_the_name_beside_the_certificate_is_not_read(verifier, fleet: pki.FleetPki) -> None:
    (value,) = envoy(pem(fleet, "op.console")).values()   # its Subject says op.release
    assert verifier.name([(XFCC, value.encode())], NOW.timestamp()) == "op.console"


def test_a_ca_file_that_is_none_is_told(tmp_path: Path) -> None:
    for content in (b"", b"x"):
        (tmp_path / "ca.pem").write_bytes(content)
        with pytest.raises(SettingsError, match="ca_file"):
            ForwardedCertificates(tmp_path / "ca.pem")
