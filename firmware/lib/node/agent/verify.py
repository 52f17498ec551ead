"""What this device may install: root, direction and manifest, checked in that order.

Takes bytes and refuses them by raising; others fetch them. Everything is verified before it is parsed, and written only after
all checks (CVE-2025-2888 shows what the other order costs). Opens no connection and
touches no slot. Loaded only while an update is considered; the floors, which are always needed, are floors.py's.
"""

from node.agent.floors import Floors
from node.compat import hexstr, sha256
from node.errors import FormatError, PeerError
from node.wire import direction as directions
from node.wire import manifest as manifests
from node.wire import root as roots

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any
    from node.ports import Files

PINNED = "/trust/root.bin"   # version 1, put there on the line; never written again
NEWEST = "/state/root.bin"   # the newest root, its chain followed from the pinned one


class Trust(Floors):
    """The roots of one device, and its floors."""

    def __init__(self, files: "Files", device: str) -> None:
        super().__init__(files)
        self._device = device
        self._root: dict[str, Any] | None = None

    def root(self) -> "dict[str, Any]":
        """The newest trusted root; read and verified when an update first needs it.

        Raises:
            SignatureError, FormatError: the pinned root itself is damaged; nothing can be installed.
        """
        if self._root is None:
            raw = self._files.read(NEWEST)
            if raw is not None:
                try:
                    self._root = roots.load(raw, None)
                except (FormatError, PeerError):
                    pass   # damaged in flash: the chain is followed again from the pinned one
            if self._root is None:
                self._root = roots.load(self._files.read(PINNED) or b"", None)
        return self._root

    def follow(self, raw: bytes) -> int:
        """Take the next root of the chain into force; its version.

        Raises:
            FormatError, SignatureError, PeerError: it is not the next root, signed by the one in force and by itself.
        """
        old = self.root()
        new = roots.load(raw, old)
        self._files.write_atomic(NEWEST, raw)
        self._root = new
        # New direction keys end what thieves of the old ones did to the sequence; what they signed is void anyway.
        seq = self.seq if new["roles"]["direction"] == old["roles"]["direction"] else 0
        self.save(seq, self.floor, max(new["version"], self.root_version))
        return new["version"]   # type: ignore[no-any-return]

    def direction(self, raw: bytes, nonce: str, now_s: int | None) -> "dict[str, Any]":
        """A direction that answers this check-in, verified.

        Args:
            nonce: the check-in's, in hex.
            now_s: Unix seconds, None while the time of day is unknown.

        Raises:
            FormatError, SignatureError: as node.wire.direction.load.
            PeerError: as that, or `root.version`: the newest root was lost to the flash and the server has not given it again. Keys
                that it withdrew must not come back with an older one.
        """
        root = self.root()
        if root["version"] < self.root_version:
            raise PeerError("root.version", "in force %d, followed before %d" % (root["version"], self.root_version))
        return directions.load(raw, root, self._device, nonce, self.seq, now_s)

    def manifest(self, raw: bytes, sha: str, model: str, counter: int, mpy: int) -> "dict[str, Any]":
        """The manifest that a verified direction names, verified, if this device may install it now.

        Args:
            sha: the direction's name for it.
            counter: of the running release. mpy: version of the .mpy format that the interpreter reads.

        Raises:
            FormatError, SignatureError: as node.wire.manifest.load.
            PeerError: `manifest.hash`, or as node.wire.manifest.check_install.
        """
        if hexstr(sha256(raw)) != sha:
            raise PeerError("manifest.hash", "not the one directed, %s" % sha[:16])
        manifest = manifests.load(raw, self.root())
        manifests.check_install(manifest, model, counter, self.floor, mpy)
        return manifest
