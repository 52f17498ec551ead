"""The root: which keys may sign roots, releases and directions, and how many must agree.

A device is born with one root and follows the chain: version N+1 must be signed by the root role of version N and by its own
(The Update Framework, 5.3). The floor `min_counter` retires releases for good. Storing the chain is the agent's.
"""

import json

from node.compat import Any, const, hexstr
from node.errors import CallerError, FormatError, PeerError
from node.wire import p256, signed
from node.wire.fields import is_hex, parse_object, unhex, want_dict, want_int, want_list, want_type
from node.wire.limits import MAX_I31

ROLES = ("root", "release", "direction")
MAX_KEYS = const(8)   # of one role


def build(version: int, roles: dict[str, tuple[list[bytes], int]], min_counter: int = 0) -> bytes:
    """Build a root's payload.

    Args:
        roles: For each of ROLES, (public points, threshold).
        min_counter: Releases below this counter are refused by every device that has this root.

    Raises:
        CallerError: `root.invalid`: what parse would refuse.
    """
    body = {name: {"keys": [hexstr(key) for key in keys], "threshold": threshold} for name, (keys, threshold) in roles.items()}
    payload = json.dumps({"type": "root", "version": version, "roles": body, "min_counter": min_counter}).encode()
    try:
        parse(payload)
    except FormatError as error:
        raise CallerError("root.invalid", str(error))
    return payload


def parse(payload: bytes) -> dict[str, Any]:
    """Return version, roles and min_counter of a root's payload, each checked.

    Raises:
        FormatError: `root.<key>`.
    """
    obj = parse_object(payload, "root", signed.MAX_BYTES[signed.ROOT])
    want_type(obj, "root")
    listed = want_dict(obj, "roles", "root")
    roles = {}
    for name in ROLES:
        body = want_dict(listed, name, "root")
        keys = want_list(body, "keys", "root", 1, MAX_KEYS)
        if not all(is_hex(key, 65) and p256.is_public_key(unhex(key)) for key in keys) or len(set(keys)) != len(keys):
            raise FormatError("root.keys", f"role {name}: expected distinct P-256 points in hex")
        roles[name] = {"keys": keys, "threshold": want_int(body, "threshold", "root", 1, len(keys))}
    return {
        "type": "root",
        "version": want_int(obj, "version", "root", 1, MAX_I31),
        "roles": roles,
        "min_counter": want_int(obj, "min_counter", "root", 0, MAX_I31),
    }


def role(root: dict[str, Any], name: str) -> tuple[list[bytes], int]:
    """Return (public points, threshold) of a role of a parsed root."""
    body = root["roles"][name]
    return [unhex(key) for key in body["keys"]], body["threshold"]


def load(raw: bytes, trusted: dict[str, Any] | None) -> dict[str, Any]:
    """Verify a root and return it parsed.

    Args:
        trusted: The root in force; None for the one that is pinned at birth, which vouches for itself.

    Raises:
        FormatError: `signed.*` or `root.<key>`.
        SignatureError: `signature.threshold`: the old or the new root role did not sign.
        PeerError: `root.version`: not the next one; `root.min_counter`: the floor would sink.
    """
    if trusted is not None:
        keys, threshold = role(trusted, "root")
        payload = signed.verify(raw, signed.ROOT, keys, threshold)
    else:
        payload = signed.split(raw, signed.ROOT)[1]
    root = parse(payload)
    keys, threshold = role(root, "root")
    signed.verify(raw, signed.ROOT, keys, threshold)
    if trusted is not None:
        if root["version"] != trusted["version"] + 1:
            raise PeerError("root.version", f"got {root['version']}, expected {trusted['version'] + 1}")
        if root["min_counter"] < trusted["min_counter"]:
            raise PeerError("root.min_counter", f"got {root['min_counter']}, in force {trusted['min_counter']}")
    return root
