"""Webhooks of every part: signed, tried again after growing gaps, never sent in the open, with a key that only its owner reads.

Decides from values, but for `read_secret`, which reads one file. Who is told what, and how far, is each part's.
"""

import hashlib
import hmac
from pathlib import Path
from urllib.parse import urlsplit

from host.files import others_may_read
from host.settings import SettingsError

FIRST_GAP_S = 5.0        # a receiver that restarts
LONGEST_GAP_S = 3_600.0
TRIES = 20               # the last one six to eleven hours after the first: a night; then the event is given up
TIMEOUT_S = 10.0         # a receiver takes an event and thinks about it later
CLAIM_S = 60.0           # a try is taken for lost after this; longer than one lasts
MIN_SECRET = 16          # characters
SIGNATURE, IDENT = "Tenfold-Signature", "Tenfold-Event"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def gap(tries: int, chance: float) -> float:
    """Tell how long to wait after a number of failed tries; `chance` is 0..1, even, and spreads the second half."""
    return min(LONGEST_GAP_S, FIRST_GAP_S * 2.0 ** min(tries - 1, 20)) * (0.5 + 0.5 * chance)


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """Sign a body together with the time at which it is sent, so that neither can be replayed with the other.

    Returns:
        `t=<Unix seconds>,v1=<hex>`, HMAC-SHA256 over `<t>.<body>`.
    """
    mark = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={mark}"


def safe_url(url: str) -> str:
    """Give a URL back that is https, or http of this machine.

    Raises:
        ValueError: it is neither.
    """
    parts = urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK)):
        raise ValueError("an https URL, or an http URL of this machine")
    return url


def read_secret(path: Path, key: str) -> bytes:
    """Read the key that events are signed with: the first line of a file that is its owner's alone.

    Args:
        key: the setting that names the file, for the error.

    Raises:
        SettingsError: no such file, open to others, or too short.
    """
    line = private_lines(path, key)[0].strip()
    if len(line) < MIN_SECRET:
        raise SettingsError(key, f"{path} with {len(line)} characters", f"at least {MIN_SECRET}")
    return line.encode()


def private_lines(path: Path, key: str) -> list[str]:
    """Read a file that holds secrets; there is at least one line, perhaps an empty one.

    Raises:
        SettingsError: no such file, or others may read it.
    """
    try:
        status = path.stat()
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(key, f"{path} ({error})", "a file with a secret") from None
    if others_may_read(status):
        got = f"{path} with mode {status.st_mode & 0o777:o}"
        raise SettingsError(key, got, f"mode 600, by `chmod 600 {path}`: others could read it")
    return lines
