"""A client certificate that a proxy has seen and passes on in a header: read, and verified here against the CA.

Decides whether such a certificate is one of ours, valid now and a client's. The proxy's word is taken for one thing only: that the
client holds the key; so the caller must know the proxy by its own certificate first. Two headers are read, of which a request may
have one, with one certificate: `X-Forwarded-Client-Cert` as Envoy writes it (`Cert="<URL-encoded PEM>"` among other keys, one
element) and `ssl-client-cert` as nginx writes `$ssl_client_escaped_cert`.
"""

import datetime as dt
import re
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

from host.revoked import RevocationList
from host.settings import SettingsError
from host.tls import NAME_CACHE, common_name

XFCC = b"x-forwarded-client-cert"
ESCAPED = b"ssl-client-cert"
HEADERS = (XFCC, ESCAPED)
MAX_HEADER_BYTES = 8192   # a P-256 certificate takes about 1,000 in PEM, half as much again URL-encoded
_CERT = re.compile(rb'(?:^|;)\s*Cert="([^"]*)"', re.IGNORECASE)
_QUOTED = re.compile(rb'"[^"]*"')


class ForwardedError(Exception):
    """A forwarded certificate is refused; the message tells why."""


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Pick the headers of a request (ASGI form: lower-case names) that would name a client."""
    return [each for each in headers if each[0] in HEADERS]


class ForwardedCertificates:
    """Verifies forwarded certificates against one CA file.

    Args:
        ca_file: PEM bundle of root and issuing CA, as for the handshake.
        revoked: asked at every request; None: nobody is.

    Raises:
        SettingsError: it cannot be read.
    """

    def __init__(self, ca_file: Path, revoked: RevocationList | None = None) -> None:
        self._revoked = revoked
        try:
            known = x509.load_pem_x509_certificates(ca_file.read_bytes())
            self._store = Store([each for each in known if each.issuer == each.subject])
        except (OSError, ValueError) as error:
            raise SettingsError("ca_file", f"{ca_file} ({error})", "a PEM file of CA certificates, a root among them") from None
        self._between = [each for each in known if each.issuer != each.subject]
        # By header: name, valid from and until, serial number.
        self._names: OrderedDict[bytes, tuple[str, float, float, int]] = OrderedDict()

    def name(self, headers: list[tuple[bytes, bytes]], now_s: float) -> str:
        """Tell whose certificate a proxy passes on.

        Args:
            headers: of `forwarded`.
            now_s: Unix seconds.

        Raises:
            ForwardedError: none or more than one header, or a certificate that is not a valid client's of this CA.
        """
        if len(headers) != 1:
            raise ForwardedError(f"got {len(headers)} headers with a client certificate, expected one")
        kind, value = headers[0]
        known = self._names.get(value)
        if known is None or not known[1] <= now_s <= known[2]:
            name, chain = self._verified(_certificate(kind, value), now_s)
            known = (name, max(each.not_valid_before_utc.timestamp() for each in chain),
                     min(each.not_valid_after_utc.timestamp() for each in chain), chain[0].serial_number)
            self._names[value] = known
            if len(self._names) > NAME_CACHE:
                self._names.popitem(last=False)
        if self._revoked is not None and self._revoked.has_serial(known[3]):
            raise ForwardedError("the certificate was revoked")
        return known[0]

    def _verified(self, certificate: x509.Certificate, now_s: float) -> tuple[str, list[x509.Certificate]]:
        # Our leaves carry no alternative name, which the library's own profile of a leaf asks for: so it has one of its own here.
        leaf = ExtensionPolicy.permit_all().require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _is_client)
        leaf = leaf.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_leaf)
        policy = PolicyBuilder().store(self._store).time(dt.datetime.fromtimestamp(now_s, dt.UTC)).extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=leaf)
        try:
            chain = policy.build_client_verifier().verify(certificate, self._between).chain
        except (verification.VerificationError, ValueError) as error:
            raise ForwardedError(f"not a valid client certificate of this CA: {error}") from None
        name = common_name(certificate.public_bytes(Encoding.DER))
        if name is None:
            raise ForwardedError("the certificate's subject is not a single CN")
        return name, chain


def _certificate(kind: bytes, value: bytes) -> x509.Certificate:
    if len(value) > MAX_HEADER_BYTES:
        raise ForwardedError(f"got {len(value)} bytes, expected at most {MAX_HEADER_BYTES}")
    if kind == XFCC:
        found = _CERT.findall(value)
        if len(found) != 1 or b"," in _QUOTED.sub(b"", value):
            raise ForwardedError("expected one element with one `Cert`: in a list only the last was written by the known proxy")
        value = found[0]
    try:
        return x509.load_pem_x509_certificate(unquote_to_bytes(value))
    except ValueError:
        raise ForwardedError("not a URL-encoded PEM certificate") from None


def _is_client(_policy: verification.Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage) -> None:
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("it is not a client's")


def _is_leaf(_policy: verification.Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if constraints.ca:
        raise ValueError("it is a CA's")
