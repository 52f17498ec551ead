"""Releases in one file, to move an archive to a machine without a network: written and read back.

Decides the one form that such a tar has, byte by byte: plain ustar headers that are given by name and size, names in order, no
links, no folders, nothing after the end. The same content gives the same bytes, and whatever is not just so is refused before
anything is kept; the tar is read here, not by a library that knows a dozen dialects. What is in it is verified as devices do.
"""

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from node.errors import NodeError
from node.wire import root as root_format
from node.wire import signed
from node.wire.manifest import MAX_ARTIFACT_BYTES
from ota.archive.contents import Kept, accept
from ota.archive.folder import Archive
from ota.release.verify import ReleaseError, Root, follow

BLOCK_BYTES = 512          # of ustar
PIECE_BYTES = 1 << 20      # read and hashed at a time
MAX_MEMBERS = 100_000      # more is no archive of ours: each release has two or three
NAME = re.compile(r"(manifests|parts)/([0-9a-f]{64})|(roots)/([0-9]{6})")
OCTAL = re.compile(rb"[0-7]{11}")
MAX_BYTES = {"manifests": signed.MAX_BYTES[signed.MANIFEST], "parts": MAX_ARTIFACT_BYTES, "roots": signed.MAX_BYTES[signed.ROOT]}
Tell = Callable[[int], None]


@dataclass(frozen=True)
class Member:
    """One file of the tar: folder, name in it, size in bytes and where its bytes begin."""

    folder: str
    name: str
    size: int
    offset: int


@dataclass(frozen=True)
class Arrived:
    """A tar that was verified as a whole.

    Attributes:
        chain: the roots as they were signed, version 1 first: the tar's or, where those go further, the ones that were known.
        parts: by SHA-256.
    """

    chain: list[bytes]
    roots: list[Root]
    releases: list[Kept]
    parts: dict[str, Member]


def write(file: BinaryIO, chain: Iterable[bytes], releases: Iterable[Kept], get: Callable[[str], bytes],
          tell: Tell = lambda _bytes: None) -> None:
    """Write roots, manifests and parts.

    Args:
        get: gives a part's bytes by its SHA-256.
        tell: called with the size of each part that was written.

    Raises:
        ArchiveError: whatever `get` raises.
    """
    chosen = {each.manifest: each for each in releases}
    for name, release in sorted(chosen.items()):
        _put(file, f"manifests/{name}", release.raw)
    for name in sorted({part.sha256 for release in chosen.values() for part in release.parts}):
        data = get(name)
        _put(file, f"parts/{name}", data)
        tell(len(data))
    for version, raw in enumerate(chain, 1):
        _put(file, f"roots/{version:06}", raw)
    file.write(bytes(2 * BLOCK_BYTES))


def verify(file: BinaryIO, known: Sequence[bytes], tell: Tell = lambda _bytes: None) -> Arrived:
    """Verify a tar from the first byte to the last; nothing of it is kept yet.

    Args:
        file: seekable.
        known: the roots that are trusted here, version 1 first, at least that; the tar's must be of the same chain.
        tell: called with the size of each part that was hashed.

    Raises:
        ReleaseError: "archive.tar": cut off or malformed; "archive.member": a file that has no place in it, by name, kind, size
            or order; "archive.root": its roots are not of the chain; "archive.part": damaged, missing, or named by no manifest.
            Or as devices refuse roots and manifests.
    """
    members = list(_members(file))
    chain = _chain(file, [each for each in members if each.folder == "roots"])
    for version, (ours, theirs) in enumerate(zip(known, chain, strict=False), 1):
        if ours != theirs:
            raise ReleaseError("archive.root", f"root {version}: got one with SHA-256 {hashlib.sha256(theirs).hexdigest()}, "
                                               f"trusted is {hashlib.sha256(ours).hexdigest()}")
    chain += known[len(chain):]
    roots: list[Root] = []
    for raw in chain:
        roots.append(follow([raw], roots[-1] if roots else None))
    releases = [_release(file, each, roots) for each in members if each.folder == "manifests"]
    parts = {each.name: each for each in members if each.folder == "parts"}
    wanted = {part.sha256: part for release in releases for part in release.parts}
    for name in sorted(set(wanted) ^ set(parts)):
        words = f"{wanted[name].kind}: not in the tar" if name in wanted else "no manifest in the tar names it"
        raise ReleaseError("archive.part", f"{name}: {words}")
    for name, member in parts.items():
        digest = hashlib.sha256()
        for piece in pieces(file, member):
            digest.update(piece)
        if digest.hexdigest() != name or member.size != wanted[name].size:
            raise ReleaseError("archive.part", f"{name}: damaged, {member.size} bytes that hash to {digest.hexdigest()}")
        tell(member.size)
    return Arrived(chain, roots, releases, parts)


def keep(file: BinaryIO, arrived: Arrived, archive: Archive, tell: Tell = lambda _bytes: None) -> None:
    """Put what was verified into a folder: parts first, so that at no instant a manifest names what is not there.

    Raises:
        MismatchError: the tar was changed since it was verified. What was kept until then has the bytes of its name.
        ArchiveError: it cannot be written.
    """
    for name, member in arrived.parts.items():
        with archive.receive(name) as incoming:
            for piece in pieces(file, member):
                incoming.write(piece)
            incoming.keep()
        tell(member.size)
    for raw in [*arrived.chain, *(each.raw for each in arrived.releases)]:
        archive.put(raw)


def pieces(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """Read a member's bytes."""
    file.seek(member.offset)
    left = member.size
    while left:
        piece = file.read(min(left, PIECE_BYTES))
        if not piece:
            raise _cut(member.offset + member.size - left)
        left -= len(piece)
        yield piece


def _put(file: BinaryIO, name: str, data: bytes) -> None:
    file.write(_header(name, len(data)) + data + bytes(-len(data) % BLOCK_BYTES))


def _header(name: str, size: int) -> bytes:
    """The one header that a file of this name and size has: owner 0, mode 0444, time 0."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o444
    return info.tobuf(tarfile.USTAR_FORMAT)


def _members(file: BinaryIO) -> Iterator[Member]:
    """Go through the tar's files, each header compared with the only one that it may have."""
    at, last = 0, ""
    for _ in range(MAX_MEMBERS):
        file.seek(at)
        header = file.read(BLOCK_BYTES)
        if len(header) < BLOCK_BYTES:
            raise _cut(at)
        if not any(header):
            if file.read(BLOCK_BYTES + 1) != bytes(BLOCK_BYTES):
                raise ReleaseError("archive.tar", f"at byte {at}: got something else than the end of the tar and nothing after it")
            return
        full = header[:100].rstrip(b"\0").decode("ascii", "replace")
        named = NAME.fullmatch(full)
        digits = header[124:135]
        if named is None or not OCTAL.fullmatch(digits) or header != _header(full, int(digits, 8)) or full <= last:
            raise ReleaseError("archive.member", f"at byte {at}: got {full[:80]!r}, expected plain files manifests/…, parts/… and "
                                                 "roots/…, each once and in order, as `tenfold archive export` writes them")
        size, folder = int(digits, 8), named[1] or named[3]
        if not 0 < size <= MAX_BYTES[folder]:
            raise ReleaseError("archive.member", f"{full}: got {size} bytes, expected 1 to {MAX_BYTES[folder]}")
        yield Member(folder, named[2] or named[4], size, at + BLOCK_BYTES)
        padding = -size % BLOCK_BYTES
        at, last = at + BLOCK_BYTES + size + padding, full
        file.seek(at - padding)
        if file.read(padding) != bytes(padding):
            raise _cut(at - padding)
    raise ReleaseError("archive.tar", f"got more than {MAX_MEMBERS} files")


def _chain(file: BinaryIO, members: list[Member]) -> list[bytes]:
    versions = [int(each.name) for each in members]
    if not members or versions != list(range(1, len(members) + 1)):
        raise ReleaseError("archive.root", f"got roots {', '.join(map(str, versions)) or 'none'}, expected all from 1")
    chain = [b"".join(pieces(file, each)) for each in members]
    try:
        for version, raw in enumerate(chain, 1):
            found = root_format.parse(signed.split(raw, signed.ROOT)[1])["version"]
            if found != version:
                raise ReleaseError("archive.root", f"roots/{version:06}: got root {found}")
    except NodeError as error:
        raise ReleaseError(error.code, error.message) from None
    return chain


def _release(file: BinaryIO, member: Member, roots: list[Root]) -> Kept:
    raw = b"".join(pieces(file, member))
    found = hashlib.sha256(raw).hexdigest()
    if found != member.name:
        raise ReleaseError("archive.part", f"manifest {member.name}: damaged, its bytes hash to {found}")
    try:
        body, version = accept(raw, roots)
    except NodeError as error:
        raise ReleaseError(error.code, f"manifest {member.name}: {error.message}") from None
    return Kept(member.name, raw, body, version)


def _cut(at: int) -> ReleaseError:
    return ReleaseError("archive.tar", f"at byte {at}: cut off or damaged")
