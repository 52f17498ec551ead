"""Typed reading of JSON objects that a stranger may have written.

Turns bytes into a dictionary and hands out its members after checking type and limits. Every refusal is a FormatError with
the code `<part>.<key>`. Knows no message: identity, root, manifest, direction, checkin and topics say what they expect.
"""

import binascii
import json

from node.compat import Any, const
from node.errors import FormatError
from node.wire.limits import MAX_I31

MAX_CONTAINERS = const(256)   # brackets in one message, those in its texts too; a configuration of 64 channels has some 140

LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
HEX = "0123456789abcdef"


def only(text: str, alphabet: str) -> bool:
    """Say whether every character of the text is in the alphabet."""
    return all(char in alphabet for char in text)


def parse_object(raw: bytes, part: str, max_bytes: int) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        FormatError: `<part>.size`, `<part>.json` or `<part>.object`.
    """
    if len(raw) > max_bytes:
        raise FormatError(part + ".size", f"{len(raw)} bytes, at most {max_bytes}")
    raw = bytes(raw)
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:   # eight kilobytes of them would take a quarter of a megabyte
        raise FormatError(part + ".json", f"more than {MAX_CONTAINERS} lists and objects")
    try:
        value = json.loads(raw.decode())
    except (ValueError, RuntimeError, MemoryError) as error:   # RuntimeError: nested deeper than the parser's stack
        raise FormatError(part + ".json", f"not JSON: {type(error).__name__}")
    if not isinstance(value, dict):
        raise FormatError(part + ".object", f"expected an object, got {type(value).__name__}")
    return value


def want_int(obj: dict[str, Any], key: str, part: str, low: int = 0, high: int = MAX_I31) -> int:
    """Return an integer member within [low, high]; a boolean or a float is refused."""
    value = obj.get(key)
    if type(value) is not int or not low <= value <= high:
        raise FormatError(f"{part}.{key}", f"got {_shown(value)}, expected an integer {low}..{high}")
    return value


def want_bool(obj: dict[str, Any], key: str, part: str) -> bool:
    """Return a boolean member."""
    value = obj.get(key)
    if type(value) is not bool:
        raise FormatError(f"{part}.{key}", f"got {_shown(value)}, expected true or false")
    return value


def want_text(obj: dict[str, Any], key: str, part: str, max_chars: int, alphabet: str | None = None, min_chars: int = 0) -> str:
    """Return a text member: printable ASCII, or only characters of the alphabet when one is given."""
    value = obj.get(key)
    if type(value) is not str or not min_chars <= len(value) <= max_chars or not _printable(value, alphabet):
        raise FormatError(f"{part}.{key}", f"got {_shown(value)}, expected {min_chars}..{max_chars} plain characters")
    return value


def want_hex(obj: dict[str, Any], key: str, part: str, n_bytes: int) -> str:
    """Return a member of exactly n_bytes in lower-case hexadecimal."""
    value = obj.get(key)
    if not is_hex(value, n_bytes):
        raise FormatError(f"{part}.{key}", f"got {_shown(value)}, expected {n_bytes} bytes in lower-case hex")
    return str(value)


def want_list(obj: dict[str, Any], key: str, part: str, low: int, high: int) -> list[Any]:
    """Return a list member with low..high items."""
    value = obj.get(key)
    if type(value) is not list or not low <= len(value) <= high:
        raise FormatError(f"{part}.{key}", f"got {_shown(value)}, expected a list of {low}..{high}")
    return value


def want_dict(obj: dict[str, Any], key: str, part: str) -> dict[str, Any]:
    """Return an object member."""
    value = obj.get(key)
    if type(value) is not dict:
        raise FormatError(f"{part}.{key}", f"got {_shown(value)}, expected an object")
    return value


def want_type(obj: dict[str, Any], kind: str) -> None:
    """Check the `type` member: a signed payload of one kind is never read as another."""
    if obj.get("type") != kind:
        raise FormatError(kind + ".type", f"got {_shown(obj.get('type'))}, expected {kind}")


def is_hex(value: Any, n_bytes: int) -> bool:
    """Say whether the value is n_bytes in lower-case hexadecimal."""
    return type(value) is str and len(value) == 2 * n_bytes and only(value, HEX)


def unhex(text: str) -> bytes:
    """Return the bytes of text already checked with is_hex."""
    return binascii.unhexlify(text)


def is_release(value: Any) -> bool:
    """Say whether the value is a release name: three decimal numbers with dots, for people; counters decide."""
    if type(value) is not str or len(value) > 20:
        return False
    parts = value.split(".")
    return len(parts) == 3 and all(part and only(part, DIGITS) for part in parts)


def is_model(value: Any) -> bool:
    """Say whether the value is a model name: 1..16 of a-z, 0-9, `_`, `-`."""
    return type(value) is str and 0 < len(value) <= 16 and only(value, LOWER + DIGITS + "_-")


def _printable(text: str, alphabet: str | None) -> bool:
    if alphabet is not None:
        return only(text, alphabet)
    return all(" " <= char <= "~" for char in text)


def _shown(value: Any) -> str:
    """For people; of what may nest only its kind, since repr() needs a stack as deep."""
    return type(value).__name__ if isinstance(value, (list, dict)) else repr(value)[:40]
