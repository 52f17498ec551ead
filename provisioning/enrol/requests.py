"""Reading an EST request: a PKCS#10 that proves possession of its key.

Decides whether the bytes are a well-formed request of a device. Who may have a certificate is decided by service.py. No I/O.
"""

import base64
import binascii
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from host.ecdsa import point
from provisioning.errors import ProvisioningError
from provisioning.rules.names import Kind, kind_of

MAX_BODY_BYTES = 8 << 10   # a P-256 request is about 260 bytes of DER, 350 of base64


@dataclass(frozen=True)
class Proved:
    """A request whose signature holds: the sender has the private half of `public_key`, which is P-256."""

    subject: x509.Name
    public_key: ec.EllipticCurvePublicKey


@dataclass(frozen=True)
class CertificateRequest:
    """A device's request, proved."""

    device: str
    public_key: ec.EllipticCurvePublicKey

    @property
    def key_hex(self) -> str:
        """The public key as birth records write it: 65 bytes in hex."""
        return point(self.public_key).hex()


def parse_request(body: bytes) -> CertificateRequest:
    """Read the body of /simpleenroll or /simplereenroll.

    Raises:
        ProvisioningError: as `verified_request`, or "enrol.subject".
    """
    request = verified_request(body)
    name = common_name_of(request.subject)
    if name is None or kind_of(name) is not Kind.DEVICE:
        raise ProvisioningError("enrol.subject", "got another subject, expected exactly CN=<device id>")
    return CertificateRequest(name, request.public_key)


def verified_request(body: bytes) -> Proved:
    """Read a PKCS#10 for anybody: base64 (RFC 8951, line breaks allowed) or plain DER.

    Raises:
        ProvisioningError: "enrol.size", "enrol.encoding", "enrol.csr", "enrol.key" or "enrol.proof".
    """
    if not 0 < len(body) <= MAX_BODY_BYTES:
        raise ProvisioningError("enrol.size", f"got {len(body)} bytes, expected 1 to {MAX_BODY_BYTES}")
    try:
        csr = x509.load_der_x509_csr(body if body[:1] == b"\x30" else _from_base64(body))
        public_key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ProvisioningError("enrol.csr", "got bytes that are no certificate request, expected PKCS#10 in DER") from None
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, ec.SECP256R1):
        raise ProvisioningError("enrol.key", "got another kind of key, expected P-256")
    if not _is_signed(csr):
        raise ProvisioningError("enrol.proof", "got a request that its key did not sign")
    return Proved(csr.subject, public_key)


def common_name_of(subject: x509.Name) -> str | None:
    """Tell the name in a subject that is exactly one CN; None for every other."""
    parts = list(subject)
    name = parts[0].value if len(parts) == 1 and parts[0].oid == NameOID.COMMON_NAME else None
    return name if isinstance(name, str) else None


def _from_base64(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        raise ProvisioningError("enrol.encoding", "got neither DER nor base64") from None


def _is_signed(csr: x509.CertificateSigningRequest) -> bool:
    try:
        return csr.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
