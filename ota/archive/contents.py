"""What an archive holds: the root chain, the releases, and everything that is wrong with it.

Every object is read and hashed, every root followed and every manifest verified with the devices' own code, so nothing rests on the
database of the server that wrote it. Decides what is a fault; changes nothing. Works on a folder and on a server's objects alike.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from node.errors import NodeError
from node.wire import manifest as manifest_format
from node.wire import root as root_format
from node.wire import signed
from ota.archive.folder import ArchiveError
from ota.archive.parts import NamedPart, parts_of
from ota.release.verify import Root

HARMLESS = ("unnamed", "unfinished")      # uploads that were never published, or cut off
LOSSES = ("damaged", "missing", "size")   # what was published is not whole


class Objects(Protocol):
    """Where objects come from; `folder.Archive` is one."""

    def objects(self) -> Iterable[tuple[str, int]]:
        """Name and size in bytes of each."""

    def get(self, name: str) -> bytes:
        """Read one.

        Raises:
            ArchiveError: it is missing, or its bytes do not match its name.
        """


@dataclass(frozen=True)
class Finding:
    """Something to be told.

    Attributes:
        kind: "damaged", "missing", "size", "root", "manifest" or "foreign"; or one of HARMLESS.
        name: of the object or the file.
    """

    kind: str
    name: str
    words: str

    @property
    def is_fault(self) -> bool:
        return self.kind not in HARMLESS


@dataclass(frozen=True)
class Kept:
    """A release in the archive.

    Attributes:
        body: the parsed manifest.
        root: version of the newest root under which devices accept it; less than the chain's newest: it was withdrawn.
    """

    manifest: str
    raw: bytes
    body: dict[str, Any]
    root: int

    @property
    def parts(self) -> list[NamedPart]:
        return parts_of(self.body)


@dataclass
class Contents:
    """An archive's contents, and what was found wrong with them.

    Attributes:
        chain: the roots as they were signed, version 1 first.
        roots: the same, parsed.
    """

    chain: list[bytes] = field(default_factory=list)
    roots: list[Root] = field(default_factory=list)
    releases: list[Kept] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def faults(self) -> list[Finding]:
        return [each for each in self.findings if each.is_fault]


def read(source: Objects, pinned: bytes | None = None, tell: Callable[[int], None] = lambda _bytes: None) -> Contents:
    """Read and verify a whole archive.

    Args:
        pinned: the root that devices are born with; None takes the archive's own, which vouches for itself.
        tell: called with the size of each object that was read.
    """
    found = Contents()
    envelopes: dict[int, dict[str, bytes]] = {signed.ROOT: {}, signed.MANIFEST: {}}
    sizes: dict[str, int] = {}
    for name, size in source.objects():
        try:
            data = source.get(name)
        except ArchiveError as error:
            found.findings.append(Finding("damaged", name, str(error)))
        else:
            kind = kind_of(data)
            if kind in envelopes:
                envelopes[kind][name] = data
            else:
                sizes[name] = len(data)
        tell(size)
    _follow(found, envelopes[signed.ROOT], pinned)
    for name, raw in sorted(envelopes[signed.MANIFEST].items()):
        _verify(found, name, raw)
    _match_parts(found, sizes)
    found.releases.sort(key=lambda each: (each.body["counter"], each.manifest))
    return found


def kind_of(data: bytes) -> int | None:
    """Tell the kind of a signed envelope by its head; None for anything else."""
    return data[len(signed.MAGIC)] if data[:len(signed.MAGIC)] == signed.MAGIC and len(data) > len(signed.MAGIC) else None


def accept(raw: bytes, roots: list[Root]) -> tuple[dict[str, Any], int]:
    """Verify a manifest under the newest root that accepts it.

    Returns:
        The parsed manifest and that root's version.

    Raises:
        NodeError: none does; the newest root's words.
    """
    fault: NodeError | None = None
    for root in reversed(roots):
        try:
            return manifest_format.load(raw, root), root["version"]
        except NodeError as error:
            fault = fault or error
    raise fault or NodeError("root.missing", "no root to verify it under")


def _follow(found: Contents, raws: dict[str, bytes], pinned: bytes | None) -> None:
    """Put the chain together; a root that does not belong to it is a fault."""
    versions: dict[int, list[str]] = {}
    for name, raw in sorted(raws.items()):
        try:
            versions.setdefault(root_format.parse(signed.split(raw, signed.ROOT)[1])["version"], []).append(name)
        except NodeError as error:
            found.findings.append(Finding("root", name, error.message))
    trusted: Root | None = None
    for version in sorted(versions):
        names = [name for name in versions[version] if version > 1 or pinned is None or raws[name] == pinned]
        fitting = [name for name in names if version == len(found.chain) + 1 and _follows(raws[name], trusted)]
        if version == 1 and len(fitting) > 1:   # each vouches for itself: which is ours cannot be told from here
            fitting = []
        if fitting:
            trusted = root_format.load(raws[fitting[0]], trusted)
            found.chain.append(raws[fitting[0]])
            found.roots.append(trusted)
        found.findings += [Finding("root", name, f"root {version}: not of the chain, or not the only one of its version")
                           for name in versions[version] if name not in fitting[:1]]
    if not found.chain:
        found.findings.append(Finding("root", "", "the chain has no beginning: there is not one root of version 1 that is trusted"))


def _follows(raw: bytes, trusted: Root | None) -> bool:
    try:
        root_format.load(raw, trusted)
    except NodeError:
        return False
    return True


def _verify(found: Contents, name: str, raw: bytes) -> None:
    try:
        body, version = accept(raw, found.roots)
    except NodeError as error:
        found.findings.append(Finding("manifest", name, f"no root of the chain lets devices accept it: {error.message}"))
    else:
        found.releases.append(Kept(name, raw, body, version))


def _match_parts(found: Contents, sizes: dict[str, int]) -> None:
    named = set()
    for release in found.releases:
        for part in release.parts:
            named.add(part.sha256)
            size = sizes.get(part.sha256)
            label = f"{part.kind} of {release.body['release']}, manifest {release.manifest}"
            if size is None:
                found.findings.append(Finding("missing", part.sha256, f"{label}: not in the archive"))
            elif size != part.size:
                found.findings.append(Finding("size", part.sha256, f"{label}: got {size} bytes, expected {part.size}"))
    found.findings += [Finding("unnamed", name, "no manifest names it") for name in sorted(set(sizes) - named)]
