"""A release's image on its way into the other application partition: what download.fetch fills, as Slots is for bundles.

Bytes go to flash as they come, since a block would not fit into RAM beside a TLS session. Whole blocks are remembered in a small
file that follows them; what a power cut or a broken connection left of another is fetched again. Decides nothing else; the
switch to the image is install.py's. Loaded only for a release that brings one.
"""

from node.compat import const
from node.errors import PeerError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.ports import Files, Images

BLOCK_BYTES = const(4096)   # the flash's erase unit: one erase (45 ms) at a time, between which sampling goes on
COMMIT_BYTES = const(65536)   # the file grows after so many: 26 times for a stock MicroPython
PATH = "/state/image"   # SHA-256 in hex, then a byte for each commit: its number of blocks. Below 128 bytes inline on littlefs


class ImagePart:
    """The other partition, and how much of an image it has. Stands for its own open file: one at a time reads or writes.

    Args:
        images: None on a board whose image cannot be updated.
        size: of the image, signed.

    Raises:
        PeerError: `update.image`: there is no room for it.
    """

    def __init__(self, files: "Files", images: "Images | None", size: int) -> None:
        if images is None or size > images.size:
            raise PeerError("update.image", "%d bytes for a partition of %d" % (size, images.size if images else 0))
        self._files, self._images, self._size = files, images, size
        self._sha256 = ""
        self._known = 0     # blocks, as the file says
        self._written = 0   # bytes on flash
        self._read = 0

    def prepare(self, slot: str, sha256: str) -> None:
        """Go on with what is there if it is of this image; else say that nothing is, before anything is overwritten."""
        self._sha256 = sha256
        kept = self._files.read(PATH) or b""
        self._known = sum(kept[64:])
        self._written = min(self._known * BLOCK_BYTES, self._size)
        if kept[:64] != sha256.encode() or self._known * BLOCK_BYTES - self._written >= BLOCK_BYTES:
            self.drop(slot)

    def drop(self, slot: str) -> None:
        """Nothing of this image is there."""
        self._files.write_atomic(PATH, self._sha256.encode())
        self._known = self._written = 0

    def open(self, slot: str) -> "ImagePart":
        """What is there, for reading; what comes next is written behind it."""
        self._read = 0
        return self

    def readinto(self, buf: bytearray | memoryview) -> int:
        n = min(len(buf), self._written - self._read)
        if n:
            self._images.read(self._read, memoryview(buf)[:n])
            self._read += n
        return n

    def base(self, at: int, out: memoryview) -> None:
        """Fill `out` from byte `at` of the image that runs; OSError when the partition ends before."""
        self._images.read_running(at, out)

    def append(self, slot: str) -> "ImagePart":
        return self

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes; raises OSError when the flash refuses."""
        at = 0
        while at < len(data):
            inside = self._written % BLOCK_BYTES
            if not inside:
                self._images.erase(self._written)
            n = min(BLOCK_BYTES - inside, len(data) - at)
            self._images.write(self._written, data[at:at + n])
            self._written += n
            at += n
        return at

    def close(self) -> None:
        """Remember what is on flash; raises OSError when the flash refuses. Appended: a rename costs littlefs ten times as much."""
        end = self._written if self._written < self._size else self._written + BLOCK_BYTES - 1   # the last block ends early
        blocks = end // BLOCK_BYTES - self._known
        if blocks:
            file = self._files.append(PATH)
            try:
                file.write(bytes([blocks]))
            finally:
                file.close()
            self._known += blocks
