"""A key that signs certificates wherever it lies: what `cryptography`'s builders ask of a private key, over any `Signer`.

Decides only that nothing but signing and the public half can be asked for. Opening the key is `ota.release.keys`'s.
"""

from typing import NoReturn

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from host.ecdsa import Signer


def held(signer: Signer) -> ec.EllipticCurvePrivateKey:
    """Give a key in memory as it is, any other as one that can sign only."""
    return signer if isinstance(signer, ec.EllipticCurvePrivateKey) else HeldKey(signer)


class HeldKey(ec.EllipticCurvePrivateKey):
    """A private key that stays where it is."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def curve(self) -> ec.EllipticCurve:
        return ec.SECP256R1()

    @property
    def key_size(self) -> int:
        return self.curve.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._signer.public_key()

    def sign(self, data: bytes | bytearray | memoryview, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Hash here, sign there: an HSM is handed a digest."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed) or not isinstance(algorithm, hashes.SHA256):
            raise ValueError("sign: expected data to hash with SHA-256")
        digest = hashes.Hash(algorithm)
        digest.update(bytes(data))
        return self._signer.sign(digest.finalize(), ec.ECDSA(Prehashed(algorithm)))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        raise _only_signs()

    def private_numbers(self) -> NoReturn:
        raise _only_signs()

    def private_bytes(
        self, encoding: serialization.Encoding, format: serialization.PrivateFormat,
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> NoReturn:
        raise _only_signs()

    def __copy__(self) -> "HeldKey":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "HeldKey":
        return self


def _only_signs() -> TypeError:
    return TypeError("this key can sign only: it does not leave its module")
