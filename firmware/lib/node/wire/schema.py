"""What the columns of a batch mean: name, unit and resolution of each channel.

A schema has one canonical form in bytes; a batch names it by the first four bytes of its SHA-256, and the bytes travel once.
Values are `integer * resolution`. Periods and times are the batch's. A device builds schemas while it reads its configuration, with
little memory to spare, so this module needs no other of the formats.
"""

import json

from node.compat import const, sha256
from node.errors import CallerError, FormatError

MAX_CHANNELS = const(64)
MAX_BYTES = const(2000)   # one ring record holds it, with its header
MAX_NAME = const(32)
MAX_UNIT_BYTES = const(16)
MAX_RESOLUTION = const(12)   # characters: 0.0000000001
HASH_BYTES = const(4)


def build(channels: list[tuple[str, str, str]]) -> bytes:
    """Return the canonical bytes of 1..64 channels.

    Args:
        channels: (name `[a-z][a-z0-9_.]*`, unit, resolution as a decimal such as "0.01", "1" or "0.5") each.

    Raises:
        CallerError: `schema.channels`, `schema.name`, `schema.unit`, `schema.resolution` or `schema.size`.
    """
    code = _fault(channels)
    if code:
        raise CallerError("schema." + code, f"of channels {channels!r}"[:120])
    raw = _canonical(channels)
    if len(raw) > MAX_BYTES:
        raise CallerError("schema.size", f"{len(raw)} bytes, at most {MAX_BYTES}")
    return raw


def parse(raw: bytes) -> list[tuple[str, str, str]]:
    """Return the channels of canonical bytes as (name, unit, resolution).

    Raises:
        FormatError: `schema.size`, `schema.json`, `schema.channels`, `schema.name`, `schema.unit`, `schema.resolution`, or
            `schema.canonical`: the same content in other bytes, which would have another hash.
    """
    if len(raw) > MAX_BYTES:
        raise FormatError("schema.size", f"{len(raw)} bytes, at most {MAX_BYTES}")
    try:
        listed = json.loads(bytes(raw).decode())["channels"]
        channels = [(name, unit, resolution) for name, unit, resolution in listed]
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise FormatError("schema.json", f"no channels: {type(error).__name__}")
    code = _fault(channels)
    if code:
        raise FormatError("schema." + code, f"of channels {channels!r}"[:120])
    if _canonical(channels) != raw:
        raise FormatError("schema.canonical", "not the canonical form")
    return channels


def schema_hash(raw: bytes) -> bytes:
    """Return the 4 bytes by which a batch names this schema."""
    return sha256(raw)[:HASH_BYTES]


def is_resolution(text: str) -> bool:
    """Say whether the text is a positive plain decimal without superfluous zeros."""
    whole, dot, part = text.partition(".")
    if not 0 < len(text) <= MAX_RESOLUTION or not whole or any(not "0" <= char <= "9" for char in whole + part):
        return False
    if (len(whole) > 1 and whole[0] == "0") or (dot and (not part or part[-1] == "0")):
        return False
    return any(char not in "0." for char in text)


def _fault(channels: list[tuple[str, str, str]]) -> str:
    """Return the first thing that is wrong, or ''."""
    if not 0 < len(channels) <= MAX_CHANNELS:
        return "channels"
    names = set()
    for name, unit, resolution in channels:
        if type(name) is not str or type(unit) is not str or type(resolution) is not str:
            return "channels"
        if not 0 < len(name) <= MAX_NAME or not "a" <= name[0] <= "z" or name in names:
            return "name"
        if any(not ("a" <= char <= "z" or "0" <= char <= "9" or char in "_.") for char in name):
            return "name"
        if not _is_unit(unit):
            return "unit"
        if not is_resolution(resolution):
            return "resolution"
        names.add(name)
    return ""


def _is_unit(unit: str) -> bool:
    try:
        size = len(unit.encode())
    except ValueError:   # a lone surrogate, which JSON can spell
        return False
    return size <= MAX_UNIT_BYTES and all(char >= " " and char not in '"\\\x7f' for char in unit)


def _canonical(channels: list[tuple[str, str, str]]) -> bytes:
    rows = ['["%s","%s","%s"]' % (name, unit, resolution) for name, unit, resolution in channels]
    return ('{"channels":[' + ",".join(rows) + "]}").encode()
