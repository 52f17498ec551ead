"""Keys of the release process: P-256; private ones in PEM (PKCS#8), readable by their owner alone, or in an HSM (`hsm.py`).

Decides where a passphrase may come from (a file or the environment, never the command line, which every user of the machine
can read) and refuses key files that others can read. Whoever signs takes a `Signer` and does not see where the key lies;
signing is `ota.release.sign`.
"""

import os
import stat
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from host.ecdsa import Signer, point
from host.files import others_may_read

PrivateKey = ec.EllipticCurvePrivateKey

PASSPHRASE_ENV = "TENFOLD_KEY_PASSPHRASE"            # noqa: S105  the name of a variable, not a secret
PASSPHRASE_FILE_ENV = "TENFOLD_KEY_PASSPHRASE_FILE"  # noqa: S105
HSM_SCHEME = "pkcs11:"   # a key is named by such a URI (RFC 7512) wherever a path may stand
PUBLIC_LABEL, PRIVATE_LABEL = b"-----BEGIN PUBLIC KEY-----", b"PRIVATE KEY-----"


class KeyFileError(Exception):
    """A key cannot be used; the message names the file or the URI, what it is and what was expected."""


def passphrase(env: Mapping[str, str] | None = None) -> bytes | None:
    """Find the passphrase of key files: the first line of the file that PASSPHRASE_FILE_ENV names, or PASSPHRASE_ENV's value.

    Args:
        env: None means the process's own environment.

    Raises:
        KeyFileError: the passphrase file is named but unreadable or empty.
    """
    return secret(PASSPHRASE_FILE_ENV, PASSPHRASE_ENV, env)


def secret(file_name: str, name: str, env: Mapping[str, str] | None = None) -> bytes | None:
    """Find a secret: the first line of the file that one variable names, or the value of another; None without either.

    Raises:
        KeyFileError: as `passphrase`.
    """
    source = os.environ if env is None else env
    if file_name in source:
        return first_line(Path(source[file_name]), file_name)
    value = source.get(name, "")
    return value.encode() if value else None


def first_line(path: Path, named_by: str) -> bytes:
    """Read the first line of a file that holds a secret.

    Args:
        named_by: what named the file, for the message.

    Raises:
        KeyFileError: it is unreadable or empty.
    """
    try:
        line = path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        raise KeyFileError(f"{named_by}: got {path} ({error.strerror}), expected a readable file") from None
    if not line:
        raise KeyFileError(f"{named_by}: got {path} with an empty first line, expected a secret")
    return line


def generate(path: Path, secret: bytes | None = None) -> PrivateKey:
    """Make a key and keep it in a new file, mode 0600.

    Args:
        secret: passphrase to encrypt the file with; None leaves it plain.

    Raises:
        KeyFileError: the file exists (a key is never overwritten) or cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    save(path, key, secret)
    return key


def save(path: Path, key: PrivateKey, secret: bytes | None = None) -> None:
    """Keep a key in a new file, mode 0600; arguments and errors as `generate`."""
    how: KeySerializationEncryption = BestAvailableEncryption(secret) if secret else NoEncryption()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}; expected to make a new key file") from None


def load(place: Path, secret: bytes | None = None) -> Signer:
    """Read a key, or open it in its HSM.

    Args:
        place: of the PEM file, or a `pkcs11:` URI.
        secret: passphrase; ignored for a plain file and for an HSM's key, so that one setting serves keys of all kinds.

    Raises:
        KeyFileError: unreadable, readable by others, wrong passphrase, or not a P-256 key; or what `hsm.open_key` raises.
    """
    if str(place).startswith(HSM_SCHEME):
        key: Signer = hsm_module(str(place)).open_key(str(place))
        return key
    pem, status = _read(place)
    if others_may_read(status):
        raise KeyFileError(f"{place}: got mode {stat.S_IMODE(status.st_mode):04o}, expected 0600: others can read this key")
    encrypted = b"ENCRYPTED" in pem
    if encrypted and secret is None:
        raise KeyFileError(f"{place}: encrypted; expected a passphrase in {PASSPHRASE_FILE_ENV} or {PASSPHRASE_ENV}")
    try:
        read = load_pem_private_key(pem, password=secret if encrypted else None)
    except (ValueError, TypeError):
        raise KeyFileError(f"{place}: " + ("wrong passphrase" if encrypted else "not a PEM private key")) from None
    if not isinstance(read, ec.EllipticCurvePrivateKey) or not isinstance(read.curve, ec.SECP256R1):
        raise KeyFileError(f"{place}: got another kind of key, expected P-256")
    return read


def is_public(place: Path) -> bool:
    """Tell whether a place is a file with a public key: somebody else holds the private one.

    Raises:
        KeyFileError: unreadable.
    """
    return not str(place).startswith(HSM_SCHEME) and PUBLIC_LABEL in _read(place)[0]


def load_public(path: Path) -> bytes:
    """Read a public key's file: the point, 65 bytes.

    Raises:
        KeyFileError: unreadable or not a P-256 key.
    """
    try:
        key = load_pem_public_key(_read(path)[0])
    except ValueError:
        raise KeyFileError(f"{path}: not a PEM public key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(f"{path}: got another kind of key, expected P-256")
    return point(key)


def public_pem(key: Signer) -> bytes:
    """Give the public key as a file for others."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public65(key: Signer) -> bytes:
    """Tell the public key as it stands in roots: the uncompressed point, 65 bytes."""
    return point(key.public_key())


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """Content and status of a file."""
    try:
        return path.read_bytes(), path.stat()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}; expected a key in PEM") from None


def hsm_module(uri: str) -> ModuleType:
    """Give `ota.release.hsm`: only those who have a key in an HSM need its library.

    Raises:
        KeyFileError: the library is not there.
    """
    try:
        return import_module("ota.release.hsm")
    except ImportError as error:
        raise KeyFileError(f"{uri}: {error}; expected the Python package python-pkcs11") from None
