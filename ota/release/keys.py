"""Private keys of the release process: P-256, PEM (PKCS#8), readable by their owner alone.

Decides where a passphrase may come from (a file or the environment, never the command line, which every user of the machine
can read) and refuses key files that others can read. Signing is `ota.release.sign`. A key that lies elsewhere (an HSM) needs
only the two methods of `PrivateKey` that signing uses: `sign` and `public_key`.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from host.ecdsa import point

PrivateKey = ec.EllipticCurvePrivateKey

PASSPHRASE_ENV = "TENFOLD_KEY_PASSPHRASE"            # noqa: S105  the name of a variable, not a secret
PASSPHRASE_FILE_ENV = "TENFOLD_KEY_PASSPHRASE_FILE"  # noqa: S105
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(Exception):
    """A key file cannot be used; the message names the file, what it is and what was expected."""


def passphrase(env: Mapping[str, str] | None = None) -> bytes | None:
    """Find the passphrase of key files: the first line of the file that PASSPHRASE_FILE_ENV names, or PASSPHRASE_ENV's value.

    Args:
        env: None means the process's own environment.

    Raises:
        KeyFileError: the passphrase file is named but unreadable or empty.
    """
    source = os.environ if env is None else env
    if PASSPHRASE_FILE_ENV in source:
        path = Path(source[PASSPHRASE_FILE_ENV])
        try:
            line = path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r")
        except OSError as error:
            raise KeyFileError(f"{PASSPHRASE_FILE_ENV}: got {path} ({error.strerror}), expected a readable file") from None
        if not line:
            raise KeyFileError(f"{PASSPHRASE_FILE_ENV}: got {path} with an empty first line, expected a passphrase")
        return line
    value = source.get(PASSPHRASE_ENV, "")
    return value.encode() if value else None


def generate(path: Path, secret: bytes | None = None) -> PrivateKey:
    """Make a key and keep it in a new file, mode 0600.

    Args:
        secret: passphrase to encrypt the file with; None leaves it plain.

    Raises:
        KeyFileError: the file exists (a key is never overwritten) or cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
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
    return key


def load(path: Path, secret: bytes | None = None) -> PrivateKey:
    """Read a key.

    Args:
        secret: passphrase; ignored for a plain file, so that one setting serves a folder of mixed keys.

    Raises:
        KeyFileError: unreadable, readable by others, wrong passphrase, or not a P-256 key.
    """
    try:
        mode = path.stat().st_mode
        pem = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}; expected a PEM private key") from None
    if mode & OTHERS:
        raise KeyFileError(f"{path}: got mode {stat.S_IMODE(mode):04o}, expected 0600: others can read this key")
    encrypted = b"ENCRYPTED" in pem
    if encrypted and secret is None:
        raise KeyFileError(f"{path}: encrypted; expected a passphrase in {PASSPHRASE_FILE_ENV} or {PASSPHRASE_ENV}")
    try:
        key = load_pem_private_key(pem, password=secret if encrypted else None)
    except (ValueError, TypeError):
        raise KeyFileError(f"{path}: " + ("wrong passphrase" if encrypted else "not a PEM private key")) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(f"{path}: got another kind of key, expected P-256")
    return key


def public65(key: PrivateKey) -> bytes:
    """Tell the public key as it stands in roots: the uncompressed point, 65 bytes."""
    return point(key.public_key())
