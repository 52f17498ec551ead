"""The certificate authority: root, issuing CA and the three kinds of leaves.

Decides what a certificate of ours contains: P-256, a subject that is exactly one CN, the extended key usages and the names
each kind may carry. Does not decide who gets one (rules/), reads no clock and no files (pki.py writes them). A key may be any
`EllipticCurvePrivateKey`: an HSM's object with `sign` and `public_key` works in place of a key in memory.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioning.errors import ProvisioningError
from provisioning.rules.names import Kind, kind_of

ROOT_DAYS = 20 * 365          # outlives the devices: the root is what they hold in flash
ISSUING_DAYS = 10 * 365       # replaced by the root, without touching devices
SERVER_DAYS = 398             # the longest that public web clients accept (CA/Browser Forum ballot SC-22)
CLIENT_DAYS = 398
STATION_DAYS = 90             # about a lot's time on the line; a bench that was carried off is out soon
DEVICE_DAYS = 365             # long enough for a winter in a drawer; devices renew well before
BACKDATE = dt.timedelta(hours=1)   # a device whose clock is a little behind still accepts a new certificate


class CaError(ProvisioningError):
    """A certificate was asked for that must not exist.

    Codes: "ca.name" (the grammar does not fit the kind), "ca.key" (not P-256), "ca.issuer" (would outlive its issuer).
    """


@dataclass(frozen=True)
class Authority:
    """A CA certificate with the key that signs for it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 private key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_root(key: ec.EllipticCurvePrivateKey, now: dt.datetime, *, days: int = ROOT_DAYS) -> Authority:
    """Make the self-signed root.

    Args:
        now: aware datetime; validity starts BACKDATE before it.
    """
    subject = _name("Tenfold Root CA")
    builder = _base(subject, subject, key.public_key(), now, days)
    return Authority(_as_ca(builder, path_length=1).sign(key, hashes.SHA256()), key)


def make_issuing(root: Authority, key: ec.EllipticCurvePrivateKey, now: dt.datetime, *, days: int = ISSUING_DAYS) -> Authority:
    """Make the issuing CA under the root; it can sign leaves only (path length 0)."""
    builder = _base(_name("Tenfold Issuing CA"), root.certificate.subject, key.public_key(), now, days)
    return Authority(_sign(_as_ca(builder, path_length=0), root, now, days), key)


def issue_server(
    issuing: Authority, public_key: ec.EllipticCurvePublicKey, name: str, hosts: Sequence[str], now: dt.datetime,
    *, days: int = SERVER_DAYS, peer: bool = False,
) -> x509.Certificate:
    """Issue a server certificate for a service.

    Args:
        name: `svc.<word>`.
        hosts: DNS names (a leading `*.` label is allowed) and IP addresses by which clients reach it.
        peer: it is a client too, of others like itself: the nodes of a broker's cluster.

    Raises:
        CaError: "ca.name" when `name` is not a service's or `hosts` is empty.
    """
    _require(name, Kind.SERVICE)
    if not hosts:
        raise CaError("ca.name", f"server {name}: got no host names, expected at least one")
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if peer else [])]
    builder = _leaf(issuing, public_key, name, *purposes, now=now, days=days)
    builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    return _sign(builder, issuing, now, days)


def issue_client(
    issuing: Authority, public_key: ec.EllipticCurvePublicKey, name: str, now: dt.datetime, *, days: int = CLIENT_DAYS,
) -> x509.Certificate:
    """Issue a client certificate for a service, an operator or a station; refuses device names.

    Raises:
        CaError: "ca.name".
    """
    _require(name, Kind.SERVICE, Kind.OPERATOR, Kind.STATION)
    builder = _leaf(issuing, public_key, name, ExtendedKeyUsageOID.CLIENT_AUTH, now=now, days=days)
    return _sign(builder, issuing, now, days)


def issue_device(
    issuing: Authority, public_key: ec.EllipticCurvePublicKey, device: str, now: dt.datetime, *, days: int = DEVICE_DAYS,
) -> x509.Certificate:
    """Issue a device's operational certificate; refuses every name that is not a device id.

    Raises:
        CaError: "ca.name" or "ca.key".
    """
    _require(device, Kind.DEVICE)
    builder = _leaf(issuing, public_key, device, ExtendedKeyUsageOID.CLIENT_AUTH, now=now, days=days)
    return _sign(builder, issuing, now, days)


def der(certificate: x509.Certificate) -> bytes:
    """Give a certificate's DER bytes: the only form a device stores."""
    return certificate.public_bytes(Encoding.DER)


def serial_hex(certificate: x509.Certificate) -> str:
    """Give a certificate's serial number as the ledger writes it: lower-case hex, no prefix."""
    return f"{certificate.serial_number:x}"


def make_request(key: ec.EllipticCurvePrivateKey, name: str) -> x509.CertificateSigningRequest:
    """Ask for a certificate of `name`, with the key that it is to be for.

    Raises:
        CaError: "ca.name" when it fits no grammar of ours.
    """
    _require(name, *Kind)
    return x509.CertificateSigningRequestBuilder().subject_name(_name(name)).sign(key, hashes.SHA256())


def _require(name: str, *allowed: Kind) -> None:
    kind = kind_of(name)
    if kind not in allowed:
        is_a = kind.value if kind else "fits no grammar"
        raise CaError("ca.name", f"got {name!r} ({is_a}), expected a {' or '.join(each.value for each in allowed)}")


def _base(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int,
) -> x509.CertificateBuilder:
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, ec.SECP256R1):
        raise CaError("ca.key", "got a key that is not P-256, expected one on P-256")
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE).not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _as_ca(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True).add_extension(
        _usage(sign_certificates=True), critical=True)


def _leaf(
    issuing: Authority, public_key: ec.EllipticCurvePublicKey, name: str, *purposes: x509.ObjectIdentifier,
    now: dt.datetime, days: int,
) -> x509.CertificateBuilder:
    return (
        _base(_name(name), issuing.certificate.subject, public_key, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    )


def _sign(builder: x509.CertificateBuilder, issuer: Authority, now: dt.datetime, days: int) -> x509.Certificate:
    if now + dt.timedelta(days=days) > issuer.certificate.not_valid_after_utc:
        end = issuer.certificate.not_valid_after_utc.date()
        raise CaError("ca.issuer", f"got {days} days from {now.date()}, expected an end before the issuer's own ({end})")
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return builder.add_extension(identifier, critical=False).sign(issuer.key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates, key_cert_sign=sign_certificates, crl_sign=sign_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )
