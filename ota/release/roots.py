"""The next root: which keys it lists, who has signed it, who still has to.

Decides over parsed roots and envelopes; reads no files and makes no keys (`tenfold keys` does). That a root follows the one before
is checked by the devices' own code (`verify.follow`); here it is counted how far a root is, while its signatures are collected from
different hands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.ecdsa import Signer
from node.wire import p256, signed
from node.wire import root as root_format
from ota.release.keys import public65
from ota.release.sign import add_signature
from ota.release.verify import ReleaseError, Root

Roles = Mapping[str, tuple[list[bytes], int]]   # role -> public points, threshold


@dataclass(frozen=True)
class Quorum:
    """How many of one root's keys have signed, and how many must.

    Attributes:
        version: of the root whose keys are counted.
        missing: ids of those that have not signed, in hex.
    """

    version: int
    have: int
    need: int
    missing: tuple[str, ...]


def key_name(pub65: bytes) -> str:
    """Name a key as envelopes do: 16 hex digits."""
    return signed.key_id(pub65).hex()


def roles_of(root: Root) -> Roles:
    """Give a root's roles as they are built from."""
    return {name: root_format.role(root, name) for name in root_format.ROLES}


def find(root: Root, name: str, pub65: bytes | None = None) -> tuple[str, bytes]:
    """Find a key in a root: its role and its public point.

    Args:
        name: the beginning of its name, at least 4 digits; not used when `pub65` is given.

    Raises:
        ReleaseError: "root.key": the root lists none or several such keys.
    """
    listed = [(role, key) for role, (keys, _) in roles_of(root).items() for key in keys]
    found = [(role, key) for role, key in listed
             if (key == pub65 if pub65 is not None else len(name) >= 4 and key_name(key).startswith(name))]
    if len(found) != 1:
        known = ", ".join(f"{key_name(key)} ({role})" for role, key in listed)
        number = "no key" if not found else "more than one key"
        raise ReleaseError("root.key", f"{name}: {number} of root {root['version']}, which lists {known}")
    return found[0]


def changed(root: Root, role: str, *, add: bytes | None = None, drop: bytes | None = None, threshold: int | None = None) -> Roles:
    """Exchange a role's keys. Everything else stays as it is.

    Args:
        threshold: of the role, from now on; None leaves it.

    Raises:
        ReleaseError: "root.key": too few keys would be left for the threshold, or the new one is listed already, for whatever
            role: one key for two roles is stolen for both.
    """
    roles = dict(roles_of(root))
    keys, need = roles[role]
    if add is not None and any(add in listed for listed, _ in roles.values()):
        raise ReleaseError("root.key", f"{key_name(add)}: root {root['version']} lists this key already")
    left = [key for key in keys if key != drop] + ([add] if add is not None else [])
    need = need if threshold is None else threshold
    if not 1 <= need <= len(left):
        raise ReleaseError("root.key", f"role {role}: {len(left)} keys would be left for a threshold of {need}; bring a new key or "
                                       "change the threshold")
    roles[role] = (left, need)
    return roles


def quorums(raw: bytes, trusted: Root | None) -> list[Quorum]:
    """Count the valid signatures of a root: by the keys of the one before (version 1 has none) and by its own.

    Raises:
        FormatError: it is no envelope of a root.
    """
    signatures, payload = signed.split(raw, signed.ROOT)
    digest = signed.signing_digest(signed.ROOT, payload)
    counted = []
    for root in [trusted, root_format.parse(payload)]:
        if root is None:
            continue
        keys, need = root_format.role(root, "root")
        points = {signed.key_id(key): key for key in keys}
        good = {name for name, signature in signatures if name in points and p256.verify(points[name], digest, signature)}
        counted.append(Quorum(root["version"], len(good), need, tuple(sorted(name.hex() for name in set(points) - good))))
    return counted


def with_signatures(raw: bytes, trusted: Root | None, keys: Sequence[Signer]) -> bytes:
    """Add signatures to a root; a key that has signed it does not sign again.

    Raises:
        ReleaseError: "root.key": neither this root nor the one before lists the key, so its signature would count for nothing.
    """
    _, payload = signed.split(raw, signed.ROOT)
    listed = {key for root in (trusted, root_format.parse(payload)) if root for key in root_format.role(root, "root")[0]}
    for key in keys:
        point = public65(key)
        if point not in listed:
            raise ReleaseError("root.key", f"{key_name(point)}: not a root key of this root or the one before; those are "
                                           + ", ".join(sorted(map(key_name, listed))))
        if any(key_name(point) in each.missing for each in quorums(raw, trusted)):
            raw = add_signature(raw, signed.ROOT, key)
    return raw
