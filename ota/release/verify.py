"""Verification of roots and releases on a host: what a device will accept later, checked before it is offered.

Uses the device's own code (`node.wire`) for envelopes and payloads, so that host and device cannot disagree. Adds the check
of a whole artifact against its manifest. Keeps nothing and decides no rollout.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from node.errors import NodeError
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


def verify_release(raw: bytes, artifact: bytes, root: Root) -> Verified:
    """Verify a manifest under a root and the artifact against the manifest, file by file.

    Raises:
        ReleaseError: with the code of the first check that failed.
    """
    try:
        body = manifest_format.load(raw, root)
    except NodeError as error:
        raise ReleaseError(error.code, error.message) from None
    wanted = body["artifact"]
    if len(artifact) != wanted["size"]:
        raise ReleaseError("release.artifact", f"artifact: got {len(artifact)} bytes, expected {wanted['size']}")
    found = hashlib.sha256(artifact).hexdigest()
    if found != wanted["sha256"]:
        raise ReleaseError("release.artifact", f"artifact: got SHA-256 {found}, expected {wanted['sha256']}")
    split_artifact(artifact, wanted["files"])
    return Verified(release_of(raw, body), raw, artifact, found, body["mpy"])


def split_artifact(artifact: bytes, files: Iterable[tuple[str, int, str]]) -> dict[str, bytes]:
    """Take an artifact apart into its files, each checked by its own hash.

    Raises:
        ReleaseError: "release.file": a file's bytes do not match its hash.
    """
    found, at = {}, 0
    for path, size, sha256 in files:
        data = artifact[at:at + size]
        at += size
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ReleaseError("release.file", f"file {path}: its bytes do not match its hash in the manifest")
        found[path] = data
    return found
