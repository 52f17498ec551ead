"""The envelope of every signed object: root, manifest, direction and birth record.

Signatures cover the raw payload bytes and the kind; a payload is verified as received, then parsed, never written again. The
envelope says who signed; who may sign is the caller's to know (root.py).
"""

from node.compat import const, sha256
from node.errors import CallerError, FormatError, SignatureError
from node.wire import p256
from node.wire.limits import BIRTH, DIRECTION, MANIFEST, MAX_BYTES, ROOT

__all__ = ["BIRTH", "DIRECTION", "MANIFEST", "MAX_BYTES", "ROOT"]   # of limits.py, named here as well

MAGIC = b"TFS1"
MAX_SIGNATURES = const(8)   # each may cost a device a second to verify
KEY_ID_BYTES = const(8)
_HEAD_BYTES = const(6)
_ENTRY_BYTES = const(72)   # key id 8, r 32, s 32


def key_id(pub65: bytes) -> bytes:
    """Return the 8 bytes that name a key in an envelope; a hint, never trusted."""
    return sha256(pub65)[:KEY_ID_BYTES]


def signing_digest(kind: int, payload: bytes) -> bytes:
    """Return the 32 bytes to sign: one kind's signature is never valid for another."""
    return sha256(MAGIC + bytes((kind,)) + payload)


def join(kind: int, signatures: list[tuple[bytes, bytes]], payload: bytes) -> bytes:
    """Build an envelope.

    Args:
        signatures: (key id, signature of signing_digest) each, 1..8.

    Raises:
        CallerError: `signed.signatures` or `signed.size`.
    """
    if not 0 < len(signatures) <= MAX_SIGNATURES or any(len(name) + len(sig) != _ENTRY_BYTES for name, sig in signatures):
        raise CallerError("signed.signatures", f"got {len(signatures)}, expected 1..{MAX_SIGNATURES} of {_ENTRY_BYTES} bytes")
    raw = MAGIC + bytes((kind, len(signatures))) + b"".join([name + sig for name, sig in signatures]) + payload
    if len(raw) > MAX_BYTES[kind]:
        raise CallerError("signed.size", f"{len(raw)} bytes of kind {kind}, at most {MAX_BYTES[kind]}")
    return raw


def split(raw: bytes, kind: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Take an envelope apart without verifying anything.

    Returns:
        ([(key id, signature)], payload).

    Raises:
        FormatError: `signed.size`, `signed.magic`, `signed.kind`, `signed.signatures`, or `signed.duplicate`: one key twice.
    """
    if not _HEAD_BYTES + _ENTRY_BYTES < len(raw) <= MAX_BYTES[kind]:
        raise FormatError("signed.size", f"{len(raw)} bytes, at most {MAX_BYTES[kind]}")
    if raw[:4] != MAGIC:
        raise FormatError("signed.magic", f"got {bytes(raw[:4])!r}")
    if raw[4] != kind:
        raise FormatError("signed.kind", f"got {raw[4]}, expected {kind}")
    start = _HEAD_BYTES + raw[5] * _ENTRY_BYTES
    if not 0 < raw[5] <= MAX_SIGNATURES or start >= len(raw):
        raise FormatError("signed.signatures", f"{raw[5]} signatures in {len(raw)} bytes")
    found: list[tuple[bytes, bytes]] = []
    for at in range(_HEAD_BYTES, start, _ENTRY_BYTES):
        name = bytes(raw[at:at + KEY_ID_BYTES])
        if any(name == other for other, _ in found):
            raise FormatError("signed.duplicate", "one key signs twice")
        found.append((name, bytes(raw[at + KEY_ID_BYTES:at + _ENTRY_BYTES])))
    return found, bytes(raw[start:])


def verify(raw: bytes, kind: int, keys: list[bytes], threshold: int) -> bytes:
    """Return the payload if at least `threshold` distinct keys of the list signed it.

    Args:
        keys: Public points of those who may sign; one listed twice counts once.

    Raises:
        FormatError: the envelope is malformed.
        SignatureError: `signature.threshold`: too few of these keys signed.
        CallerError: `signed.threshold`: a threshold below 1 would accept anything.
    """
    if threshold < 1:
        raise CallerError("signed.threshold", f"got {threshold}, expected at least 1")
    signatures, payload = split(raw, kind)
    known = {key_id(pub65): pub65 for pub65 in keys}
    digest = signing_digest(kind, payload)
    good = 0
    for name, sig in signatures:
        if name in known and p256.verify(known[name], digest, sig):
            good += 1
            if good >= threshold:
                return payload
    raise SignatureError("signature.threshold", f"{good} valid signatures of kind {kind}, needs {threshold}")
