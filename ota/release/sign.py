"""Signing of roots, manifests and directions.

Decides nothing about what is signed: payloads come from `node.wire`, which both sides share. Manifests and roots are signed
offline, with keys that never come near a server; the server signs directions only.
"""

from collections.abc import Mapping, Sequence

from host.ecdsa import Signer, sign_digest
from node.wire import root as root_format
from node.wire import signed
from ota.release.keys import public65


def envelope(kind: int, payload: bytes, keys: Sequence[Signer]) -> bytes:
    """Sign a payload with every key and wrap it up.

    Args:
        kind: of `node.wire.signed`.

    Raises:
        CallerError: no keys, more than eight, or an envelope that is too long for a device.
    """
    digest = signed.signing_digest(kind, payload)
    return signed.join(kind, [(signed.key_id(public65(key)), sign_digest(key, digest)) for key in keys], payload)


def add_signature(raw: bytes, kind: int, key: Signer) -> bytes:
    """Add one more signature to an envelope, for thresholds whose keys are in different hands.

    Raises:
        FormatError: `raw` is not an envelope of this kind.
        CallerError: the envelope is full.
    """
    signatures, payload = signed.split(raw, kind)
    name = signed.key_id(public65(key))
    kept = [each for each in signatures if each[0] != name]
    return signed.join(kind, [*kept, (name, sign_digest(key, signed.signing_digest(kind, payload)))], payload)


def first_root(
    root_keys: Sequence[Signer], release_keys: Sequence[bytes], direction_keys: Sequence[bytes],
    *, root_threshold: int = 1, release_threshold: int = 1,
) -> bytes:
    """Make the root that devices are born with: version 1, signed by its own keys.

    Args:
        release_keys, direction_keys: public points, 65 bytes each.
    """
    roles = {
        "root": ([public65(key) for key in root_keys], root_threshold),
        "release": (list(release_keys), release_threshold),
        "direction": (list(direction_keys), 1),
    }
    return envelope(signed.ROOT, root_format.build(1, roles), root_keys)


def next_root(
    version: int, roles: Mapping[str, tuple[list[bytes], int]], signers: Sequence[Signer], min_counter: int = 0,
) -> bytes:
    """Make a later root; the signers must satisfy the root role of the version before and of this one."""
    return envelope(signed.ROOT, root_format.build(version, dict(roles), min_counter), signers)
