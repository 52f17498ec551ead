"""What this device may install: root, direction and manifest, checked in that order, and the floors that never sink.

Takes bytes and refuses them by raising; others fetch them. Everything is verified before it is parsed, and written only after
all checks (CVE-2025-2888 shows what the other order costs). Opens no connection and touches no slot.
"""

import json

from node.compat import const, hexstr, sha256
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
STATE = "/state/trust.json"   # {"seq", "floor", "root"}: below 128 bytes, so littlefs replaces it cheaply
MAX_FILE_BYTES = const(32768)   # of one file in a release: it is read back whole, as importing it does; ours are below 10 KB


class Trust:
    """The roots and floors of one device.

    Attributes:
        seq: of the last direction acted upon; only a higher one is heard.
        floor: the highest release counter confirmed here; nothing lower is installed.
        root_version: of the newest root followed.
    """

    def __init__(self, files: "Files", device: str) -> None:
        self._files = files
        self._device = device
        self._root: dict[str, Any] | None = None
        self.seq = 0
        self.floor = 0
        self.root_version = 1
        try:
            state = json.loads((files.read(STATE) or b"{}").decode())
            values = [state[key] for key in ("seq", "floor", "root")]
            if all(type(value) is int and value >= 0 for value in values):
                self.seq, self.floor, self.root_version = values
        except (ValueError, TypeError, KeyError, RuntimeError):
            pass   # lost floors: the nonce still binds a direction, and the running counter still bounds a release

    def root(self) -> "dict[str, Any]":
        """The newest trusted root; read and verified once a boot, when an update first needs it.

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
            self.root_version = self._root["version"]
        return self._root

    def follow(self, raw: bytes) -> None:
        """Take the next root of the chain into force.

        Raises:
            FormatError, SignatureError, PeerError: it is not the next root, signed by the one in force and by itself.
        """
        old = self.root()
        new = roots.load(raw, old)
        self._files.write_atomic(NEWEST, raw)
        self._root = new
        # New direction keys end what thieves of the old ones did to the sequence; what they signed is void anyway.
        seq = self.seq if new["roles"]["direction"] == old["roles"]["direction"] else 0
        self._save(seq, self.floor, new["version"])

    def direction(self, raw: bytes, nonce: str, now_s: int | None) -> "dict[str, Any]":
        """A direction that answers this check-in, verified.

        Args:
            nonce: the check-in's, in hex.
            now_s: Unix seconds, None while the time of day is unknown.

        Raises:
            FormatError, SignatureError, PeerError: as node.wire.direction.load.
        """
        return directions.load(raw, self.root(), self._device, nonce, self.seq, now_s)

    def manifest(self, raw: bytes, sha: str, model: str, counter: int, mpy: int) -> "dict[str, Any]":
        """The manifest that a verified direction names, verified, if this device may install it now.

        Args:
            sha: the direction's name for it.
            counter: of the running release. mpy: version of the .mpy format that the interpreter reads.

        Raises:
            FormatError, SignatureError: as node.wire.manifest.load.
            PeerError: `manifest.hash`, `manifest.file`, or as node.wire.manifest.check_install.
        """
        if hexstr(sha256(raw)) != sha:
            raise PeerError("manifest.hash", "not the one directed, %s" % sha[:16])
        manifest = manifests.load(raw, self.root())
        manifests.check_install(manifest, model, counter, self.floor, mpy)
        for path, size, _ in manifest["artifact"]["files"]:
            if not 0 < size <= MAX_FILE_BYTES:
                raise PeerError("manifest.file", "%s: got %d bytes, expected 1..%d" % (path, size, MAX_FILE_BYTES))
        return manifest

    def consume(self, direction: "dict[str, Any]") -> None:
        """A direction is acted upon: neither it nor an older one is heard again, whatever comes of it."""
        self._save(direction["seq"], self.floor, self.root_version)

    def raise_floor(self, counter: int) -> None:
        """The release with this counter is confirmed: nothing lower is installed any more."""
        if counter > self.floor:
            self._save(self.seq, counter, self.root_version)

    def _save(self, seq: int, floor: int, root_version: int) -> None:
        state = {"seq": seq, "floor": floor, "root": root_version}
        self._files.write_atomic(STATE, json.dumps(state).encode())
        self.seq, self.floor, self.root_version = seq, floor, root_version
