"""A secure boot signing key, in a file or in an HSM, and what is signed with it.

Decides which of the two a name means, and what kind of key secure boot knows. Signature blocks are espsecure's; an HSM is handed
digests, and espsecure its signatures with the public key, which it checks: it learns neither URI nor PIN.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from node.compat import sha256
from ota.release.keys import HSM_SCHEME, hsm_module
from provisioning.errors import ProvisioningError
from provisioning.line.efuses import run_tool
from provisioning.line.image import NOTHING, SECTOR_BYTES
from provisioning.rules.fuses import ECDSA, RSA

RSA_BITS = 3072


def scheme(raw: bytes, name: str) -> str:
    """The kind of a public key in PEM: RSA or ECDSA.

    Raises:
        ProvisioningError: "secure.key": not one that secure boot knows.
    """
    try:
        key = load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        raise ProvisioningError("secure.key", f"{name}: got no public key, expected a PEM file (tenfold secure keys)") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size == RSA_BITS:
        return RSA
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return ECDSA
    raise ProvisioningError("secure.key", f"{name}: got another kind of key, expected RSA, {RSA_BITS} bits, or ECDSA, P-256")


def public(key: Path) -> bytes:
    """The public half of a private key, in PEM.

    Raises:
        KeyFileError: an HSM's key is not in order. ProvisioningError: "secure.key"; "secure.tool": no such file, or no key.
    """
    if not _is_held(key):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "public"
            run_tool("espsecure", "extract-public-key", "--version", "2", "--keyfile", str(key), str(out), name=str(key))
            raw = out.read_bytes()
    else:
        raw = _by_hsm(key, [])[0]
    scheme(raw, str(key))
    return raw


def sign(images: Sequence[bytes], key: Path) -> list[bytes]:
    """Images with a signature, each filled up to whole sectors and one sector longer. Signatures must have been cut off.

    Args:
        key: of a PEM file, or a `pkcs11:` URI.

    Raises:
        KeyFileError: an HSM's key is not in order. ProvisioningError: "secure.tool".
    """
    if not _is_held(key):
        return [_espsecure(image, key, "--keyfile", str(key)) for image in images]
    whole = [image + NOTHING * (-len(image) % SECTOR_BYTES) for image in images]
    raw, signatures = _by_hsm(key, [sha256(image) for image in whole])
    with tempfile.TemporaryDirectory() as folder:
        pem, signature = Path(folder) / "public", Path(folder) / "signature"
        pem.write_bytes(raw)
        signed = []
        for image, one in zip(whole, signatures, strict=True):
            signature.write_bytes(one)
            signed.append(_espsecure(image, key, "--pub-key", str(pem), "--signature", str(signature)))
        return signed


def _is_held(key: Path) -> bool:
    return str(key).startswith(HSM_SCHEME)


def _by_hsm(key: Path, digests: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The public key in PEM, and signatures."""
    found, signatures = hsm_module(str(key)).sign_boot(str(key), digests)
    return found.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), signatures


def _espsecure(image: bytes, key: Path, *how: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        plain, out = Path(folder) / "plain", Path(folder) / "signed"
        plain.write_bytes(image)
        run_tool("espsecure", "sign-data", "--version", "2", *how, "--output", str(out), str(plain), name=str(key))
        return out.read_bytes()
