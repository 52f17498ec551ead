"""Verification of roots and releases on a host: what a device will accept later, checked before it is offered.

Uses the device's own code (`node.wire`) for envelopes and payloads, so that host and device cannot disagree. Adds the check
of a whole artifact against its manifest. Keeps nothing and decides no rollout.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from node.errors import NodeError
from node.wire import bundle as bundle_format
from node.wire import manifest as manifest_format
from node.wire import root as root_format
from ota.rules.values import Release

Root = dict[str, Any]


class ReleaseError(Exception):
    """A release or a root must not be published.

    Attributes:
        code: "release.signature", "release.artifact" and the like; the codes of `node.wire` are passed on.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Verified:
    """A release whose signatures and artifact have been checked."""

    release: Release
    raw: bytes
    artifact: bytes
    artifact_sha256: str
    mpy: int


def follow(chain: Iterable[bytes], trusted: Root | None = None) -> Root:
    """Follow a chain of roots to its newest.

    Args:
        chain: envelopes in order; the first is the pinned one unless `trusted` is given.

    Raises:
        ReleaseError: a link is not signed by both its neighbours' root roles, skips a version, or the chain is empty.
    """
    root = trusted
    try:
        for raw in chain:
            root = root_format.load(raw, root)
    except NodeError as error:
        raise ReleaseError(error.code, error.message) from None
    if root is None:
        raise ReleaseError("root.missing", "got an empty chain, expected at least the pinned root")
    return root


def manifest_name(raw: bytes) -> str:
    """Tell the name of a manifest: the SHA-256 of its whole envelope, in hex."""
    return hashlib.sha256(raw).hexdigest()


def release_of(raw: bytes, body: dict[str, Any]) -> Release:
    """Take from a parsed manifest what the rules decide by."""
    low, high = body["from"]
    return Release(manifest_name(raw), body["release"], body["counter"], tuple(body["models"]), low, high, body["stone"])


def verify_release(raw: bytes, artifact: bytes, root: Root, image: bytes | None = None) -> Verified:
    """Verify a manifest under a root, the artifact against the manifest, and that the artifact is a bundle.

    Raises:
        ReleaseError: with the code of the first check that failed.
    """
    try:
        body = manifest_format.load(raw, root)
    except NodeError as error:
        raise ReleaseError(error.code, error.message) from None
    _check("artifact", artifact, body["artifact"])
    _check("image", image, body["image"])
    try:
        bundle_format.parse(artifact)
    except NodeError as error:
        raise ReleaseError(error.code, error.message) from None
    return Verified(release_of(raw, body), raw, artifact, body["artifact"]["sha256"], body["mpy"])


def _check(part: str, content: bytes | None, wanted: dict[str, Any] | None) -> None:
    """Refuse a part of a release that the manifest does not name so, or that is missing."""
    if content is None or wanted is None:
        if content is not None or wanted is not None:
            raise ReleaseError(f"release.{part}", f"{part}: {'missing' if content is None else 'not named in the manifest'}")
        return
    if len(content) != wanted["size"]:
        raise ReleaseError(f"release.{part}", f"{part}: got {len(content)} bytes, expected {wanted['size']}")
    found = hashlib.sha256(content).hexdigest()
    if found != wanted["sha256"]:
        raise ReleaseError(f"release.{part}", f"{part}: got SHA-256 {found}, expected {wanted['sha256']}")
