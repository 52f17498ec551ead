"""Who a device is: its id, the proof that it holds its birth key, and the record of its birth.

Ids are grammar, never secrets. The birth record's signature is checked by signed.py, the proof against the key by whoever
receives the record (`birth_proof_holds`); quotas and lots are decided by the ledger.
"""

import json

from node.compat import Any, const, hexstr, sha256
from node.errors import CallerError, FormatError
from node.wire import p256
from node.wire.fields import DIGITS, HEX, LOWER, only, parse_object, unhex, want_hex, want_int, want_text, want_type
from node.wire.limits import MAX_U32

MAX_PRODUCT = const(16)
MAX_BIRTH_BYTES = const(2048)
PUBLIC_KEY_BYTES = const(65)
SIGNATURE_BYTES = const(64)
PROOF_PREFIX = b"tenfold-birth-v1\0"   # a birth signature can be mistaken for no other
_NAME = LOWER + DIGITS + "._-"


def device_id(product: str, mac: bytes) -> str:
    """Return `<product>-<12 hex of the MAC>`.

    Raises:
        CallerError: `identity.product` or `identity.mac`.
    """
    if not 0 < len(product) <= MAX_PRODUCT or not only(product, LOWER + DIGITS):
        raise CallerError("identity.product", f"got {product!r}, expected 1..{MAX_PRODUCT} of a-z and 0-9")
    if len(mac) != 6:
        raise CallerError("identity.mac", f"got {len(mac)} bytes, expected 6")
    return product + "-" + hexstr(mac)


def is_device_id(text: str) -> bool:
    """Say whether the text is a device id: `^[a-z0-9]{1,16}-[0-9a-f]{12}$`."""
    product, dash, mac = text.partition("-")
    return (dash == "-" and 0 < len(product) <= MAX_PRODUCT and only(product, LOWER + DIGITS) and len(mac) == 12
            and only(mac, HEX))


def proof_input(device: str) -> bytes:
    """Return the bytes whose SHA-256 the device signs with its birth key."""
    return PROOF_PREFIX + device.encode()


def birth_proof_holds(device: str, pub_hex: str, proof_hex: str) -> bool:
    """Say whether the holder of the public key signed this device's id."""
    return p256.verify(unhex(pub_hex), sha256(proof_input(device)), unhex(proof_hex))


def birth_payload(device: str, pub_hex: str, model: str, lot: str, station: str, at_s: int, proof_hex: str) -> bytes:
    """Build the payload of a birth record (signed kind 4).

    Args:
        pub_hex: The birth key's public point, 65 bytes.
        at_s: Unix seconds of the birth.
        proof_hex: The device's signature of proof_input, 64 bytes.
    """
    return json.dumps({"type": "birth", "device": device, "key": pub_hex, "model": model, "lot": lot, "station": station,
                       "at": at_s, "proof": proof_hex}).encode()


def parse_birth(payload: bytes) -> dict[str, Any]:
    """Return device, key, model, lot, station, at and proof of a birth record, each checked.

    Raises:
        FormatError: `birth.<key>`.
    """
    obj = parse_object(payload, "birth", MAX_BIRTH_BYTES)
    want_type(obj, "birth")
    return {
        "device": want_device(obj, "birth"),
        "key": want_hex(obj, "key", "birth", PUBLIC_KEY_BYTES),
        "model": want_text(obj, "model", "birth", 16, _NAME, 1),
        "lot": want_text(obj, "lot", "birth", 32, _NAME, 1),
        "station": want_text(obj, "station", "birth", 32, _NAME, 1),
        "at": want_int(obj, "at", "birth", 1, MAX_U32),
        "proof": want_hex(obj, "proof", "birth", SIGNATURE_BYTES),
    }


def want_device(obj: dict[str, Any], part: str) -> str:
    """Return the `device` member of a message, a device id.

    Raises:
        FormatError: `<part>.device`.
    """
    device = want_text(obj, "device", part, MAX_PRODUCT + 13, None, 1)
    if not is_device_id(device):
        raise FormatError(part + ".device", f"got {device!r}, expected a device id")
    return device
