"""The key that DNS updates are signed with (TSIG, RFC 8945): a file as `tsig-keygen` writes it and `nsupdate -k` reads it.

Decides which keys are good enough. The secret is in the file alone: it is in no message, and printed by nothing.
"""

import base64
import binascii
import re
from pathlib import Path

import dns.name
import dns.tsig

from provisioning.errors import ProvisioningError

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")
MIN_SECRET_BYTES = 32   # as tsig-keygen makes them for hmac-sha256; a shorter one is guessed, not hashed
_FILE = re.compile(r"""\s*key\s+"?([A-Za-z0-9._-]+)"?\s*\{
    \s*algorithm\s+"?([A-Za-z0-9-]+)"?\s*;
    \s*secret\s+"([A-Za-z0-9+/=]+)"\s*;
    \s*\}\s*;\s*""", re.VERBOSE)


class SecretKey(dns.tsig.Key):
    """A key that does not tell its secret; dnspython's own does, to whoever logs it."""

    def __repr__(self) -> str:
        return f"<TSIG key {self.name}>"


def read_key(path: Path) -> dns.tsig.Key:
    """Read a key.

    Raises:
        ProvisioningError: "route.key": unreadable, readable by others, or not good enough.
    """
    try:
        others = path.stat().st_mode & 0o077
        found = _FILE.fullmatch(path.read_text(encoding="ascii"))
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or "no text"
        raise ProvisioningError("route.key", f"{path}: got {said}, expected a key file") from None
    if others:
        raise ProvisioningError("route.key", f"{path}: got a file that others may read or write, expected mode 0600")
    if found is None:
        raise ProvisioningError("route.key", f"{path}: expected one key as `tsig-keygen -a hmac-sha256 NAME` writes it")
    name, algorithm = found[1], found[2].lower()
    if algorithm not in ALGORITHMS:
        raise ProvisioningError("route.key", f"{path}: got algorithm {algorithm}, expected {', '.join(ALGORITHMS)}")
    try:
        secret = base64.b64decode(found[3], validate=True)
    except binascii.Error:
        raise ProvisioningError("route.key", f"{path}: got a secret that is not base64, expected one from `tsig-keygen`") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ProvisioningError("route.key", f"{path}: got a secret of {len(secret)} bytes, expected {MIN_SECRET_BYTES} or more")
    return SecretKey(dns.name.from_text(name), secret, dns.name.from_text(algorithm))
