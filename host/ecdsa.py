"""P-256 as our envelopes write it: public keys as the uncompressed point, signatures as r || s.

`cryptography` gives DER; devices read fixed 32-byte halves (firmware/SPEC.md). Works with any `Signer`, so with an HSM's key too.
Makes and keeps no keys.
"""

from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_PREHASHED = ec.ECDSA(Prehashed(hashes.SHA256()))


class Signer(Protocol):
    """One P-256 private key, wherever it lies: all that signing needs of it. A key of `cryptography` is one as it is."""

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Give the public key."""

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign a SHA-256 digest (the algorithm is always ECDSA over `Prehashed`): the signature in DER."""


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Give a public key as 65 bytes: 04 | x | y."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def sign_digest(key: Signer, digest: bytes) -> bytes:
    """Sign a SHA-256 digest: r || s, 32 bytes each, big-endian."""
    r, s = decode_dss_signature(key.sign(digest, _PREHASHED))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
