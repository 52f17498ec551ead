"""Verification of roots and releases on a host: what a device will accept later, checked before it is offered.

Uses the device's own code (`node.wire`) for envelopes and payloads, so that host and device cannot disagree. Adds the check
of a release's parts, bundle, image and deltas, against its manifest. What an image is made of is not looked at here: the desk
reads it with esptool before it is signed (`tenfold release build`), the chip's bootloader before it runs. Keeps nothing and decides
no rollout.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from node.errors import NodeError
from node.wire import bundle as bundle_format
from node.wire import manifest as manifest_format
from node.wire import root as root_format
from ota.release.patch import apply
from ota.rules.values import Release, Way

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
class Part:
    """What a manifest names: bundle or image. SHA-256 in hex, size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Verified:
    """A release whose signatures and parts have been checked."""

    release: Release
    mpy: int
    artifact: Part
    image: Part | None
    deltas: tuple[Way, ...] = ()


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


def verify_release(raw: bytes, artifact: bytes, root: Root, image: bytes | None = None, deltas: Sequence[bytes] = (),
                   base_of: Callable[[str], bytes | None] = lambda _name: None) -> Verified:
    """Verify a manifest under a root, the parts against the manifest, that the artifact is a bundle, and what each delta makes.

    Args:
        image: None when the release brings none.
        base_of: gives an older bundle or image by its SHA-256 in hex, None where there is none.

    Raises:
        ReleaseError: with the code of the first check that failed.
    """
    try:
        body = manifest_format.load(raw, root)
    except NodeError as error:
        raise ReleaseError(error.code, error.message) from None
    check_parts(body, artifact, image, deltas)
    check_deltas(body, deltas, base_of)
    return Verified(release_of(raw, body), body["mpy"], _part(body["artifact"]), _part(body["image"]) if body["image"] else None,
                    ways(body))


def ways(body: dict[str, Any]) -> tuple[Way, ...]:
    """The deltas that a parsed manifest names."""
    return tuple(Way(target, each["from"], each["sha256"], each["size"])
                 for target in ("artifact", "image") if body[target] for each in body[target]["deltas"])


def check_parts(body: dict[str, Any], artifact: bytes, image: bytes | None, deltas: Sequence[bytes] = ()) -> None:
    """Refuse parts that are not just those which a parsed manifest names, and an artifact that is no bundle.

    Raises:
        ReleaseError: "release.artifact", "release.image", "release.delta" or "bundle.*".
    """
    _check("artifact", artifact, body["artifact"])
    _check("image", image, body["image"])
    wanted, got = {way.delta for way in ways(body)}, {hashlib.sha256(each).hexdigest() for each in deltas}
    if wanted != got:
        words = [f"{name} is missing" for name in sorted(wanted - got)] + [f"{name} is not named" for name in sorted(got - wanted)]
        raise ReleaseError("release.delta", f"deltas: {', '.join(words)}; expected the {len(wanted)} that the manifest names")
    try:
        bundle_format.parse(artifact)
    except NodeError as error:
        raise ReleaseError(error.code, error.message) from None


def check_deltas(body: dict[str, Any], deltas: Sequence[bytes], base_of: Callable[[str], bytes | None]) -> None:
    """Apply each delta that a parsed manifest names, as a device does.

    Raises:
        ReleaseError: "release.base": what it starts from is not here. "release.delta": it does not make what the manifest names.
    """
    contents = {hashlib.sha256(each).hexdigest(): each for each in deltas}
    for way in ways(body):
        base, target = base_of(way.base), body[way.target]
        if base is None:
            raise ReleaseError("release.base", f"delta {way.delta[:16]}…: its base {way.base} is not at hand")
        try:
            made = apply(base, contents[way.delta], target["size"])
        except NodeError as error:
            raise ReleaseError("release.delta", f"delta {way.delta[:16]}…: {error.message}") from None
        if hashlib.sha256(made).hexdigest() != target["sha256"]:
            raise ReleaseError("release.delta", f"delta {way.delta[:16]}…: it does not make the {way.target}")


def _part(content: dict[str, Any]) -> Part:
    return Part(content["sha256"], content["size"])


def _check(part: str, content: bytes | None, wanted: dict[str, Any] | None) -> None:
    if content is None and wanted is None:
        return
    if content is None or wanted is None:
        words = (f"got none, expected the one that the manifest names: {wanted['size']} bytes, SHA-256 {wanted['sha256']}"
                 if wanted else f"got {len(content or b'')} bytes, expected none: the manifest names no {part}")
        raise ReleaseError(f"release.{part}", f"{part}: {words}")
    if len(content) != wanted["size"]:
        raise ReleaseError(f"release.{part}", f"{part}: got {len(content)} bytes, expected {wanted['size']}")
    found = hashlib.sha256(content).hexdigest()
    if found != wanted["sha256"]:
        raise ReleaseError(f"release.{part}", f"{part}: got SHA-256 {found}, expected {wanted['sha256']}")
