"""The direction: which manifest this device should run now, signed online and bound to the question it answers.

Fresh by the device's own nonce, ordered by a sequence number that never falls, limited in time. A stolen server can thereby
choose among releases that were signed offline, and can neither replay an answer nor use up the sequence.
"""

import json

from node.compat import Any, const
from node.errors import CallerError, FormatError, PeerError
from node.wire import root as roots
from node.wire import signed
from node.wire.fields import parse_object, want_hex, want_int, want_type
from node.wire.identity import want_device
from node.wire.limits import MAX_I31, MAX_U32, NONCE_BYTES

MAX_STEP = const(1 << 20)   # a longer jump of the sequence would lock out the servers that come after


def build(device: str, nonce: str, seq: int, manifest: str, issued: int, expires: int) -> bytes:
    """Build a direction's payload.

    Args:
        nonce: The check-in's, 16 bytes in hex.
        manifest: SHA-256 of the manifest's envelope, in hex.
        issued: Unix seconds; expires likewise.

    Raises:
        CallerError: `direction.invalid`: what parse would refuse.
    """
    payload = json.dumps({"type": "direction", "device": device, "nonce": nonce, "seq": seq, "manifest": manifest,
                          "issued": issued, "expires": expires}).encode()
    try:
        parse(payload)
    except FormatError as error:
        raise CallerError("direction.invalid", str(error))
    return payload


def parse(payload: bytes) -> dict[str, Any]:
    """Return device, nonce, seq, manifest, issued and expires of a direction's payload, each checked.

    Raises:
        FormatError: `direction.<key>`.
    """
    obj = parse_object(payload, "direction", signed.MAX_BYTES[signed.DIRECTION])
    want_type(obj, "direction")
    issued = want_int(obj, "issued", "direction", 1, MAX_U32)
    return {
        "type": "direction",
        "device": want_device(obj, "direction"),
        "nonce": want_hex(obj, "nonce", "direction", NONCE_BYTES),
        "seq": want_int(obj, "seq", "direction", 1, MAX_I31),
        "manifest": want_hex(obj, "manifest", "direction", 32),
        "issued": issued,
        "expires": want_int(obj, "expires", "direction", issued, MAX_U32),
    }


def load(raw: bytes, root: dict[str, Any], device: str, nonce_hex: str, seq_floor: int, now_s: int | None) -> dict[str, Any]:
    """Verify a direction under the root's direction role and return it parsed, if it answers this device's question.

    Args:
        seq_floor: Highest sequence number accepted before.
        now_s: Unix seconds, or None while the clock is unknown: the nonce then vouches for freshness alone.

    Raises:
        FormatError: `signed.*` or `direction.<key>`.
        SignatureError: `signature.threshold`.
        PeerError: `direction.device`, `direction.nonce`, `direction.seq` or `direction.expired`.
    """
    keys, threshold = roots.role(root, "direction")
    direction = parse(signed.verify(raw, signed.DIRECTION, keys, threshold))
    if direction["device"] != device:
        raise PeerError("direction.device", f"for {direction['device']}, this is {device}")
    if direction["nonce"] != nonce_hex:
        raise PeerError("direction.nonce", "answers another check-in")
    if not seq_floor < direction["seq"] <= seq_floor + MAX_STEP:
        raise PeerError("direction.seq", f"got {direction['seq']}, expected {seq_floor + 1}..{seq_floor + MAX_STEP}")
    if now_s is not None and now_s >= direction["expires"]:
        raise PeerError("direction.expired", f"at {direction['expires']}, now {now_s}")
    return direction
