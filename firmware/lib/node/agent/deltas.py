"""The shorter way to a release: a delta fetched to flash, then applied to what runs here. Loaded only where a manifest has some.

Decides in which order, and when the long way is taken: no delta that fits, no room for it, or one that did not work, which is
remembered by name, so that no delta is tried twice. In the end the store holds the target, or less of it, and download.fetch
sees to the rest. patch.py chooses and applies; it is in memory only while no connection is open.
"""

from node.agent.download import COMMIT_BYTES, fetch
from node.agent.paths import DELTA_PATH
from node.compat import const
from node.errors import FlashError, FormatError, NetworkError, PeerError
from node.loading import Loaded

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.images import ImagePart
    from node.agent.update import Update
    from node.hints import Any, Awaitable, Callable
    from node.ports import Files, OpenFile, RandomFile, Store

NAME_PATH = "/state/delta.of"   # SHA-256 in hex of the delta whose beginning, or all, lies in DELTA_PATH; FAILED behind it
FAILED = b"-"
SPARE_BYTES = const(16384)   # of the file system, left free: state files, and blocks that littlefs copies while it writes


async def to_bundle(ask: "Callable[..., Awaitable[Any]]", update: "Update", slot: str, content: "dict[str, Any]") -> int:
    """Make the slot hold a manifest's artifact, if a delta to it starts from the bundle that runs; bytes received.

    Args:
        ask: calls a function with a Server and awaits what it returns.

    Raises:
        NetworkError: the connection failed; what arrived stays for the next time. FlashError: the flash refused.
    """
    file = update.slots.base()
    if file is None:
        return 0
    try:
        way = _Way(ask, update, update.slots, slot, content, _Base(file).read, COMMIT_BYTES)
        return await way.go(content["size"])
    finally:
        file.close()


async def to_image(ask: "Callable[..., Awaitable[Any]]", update: "Update", part: "ImagePart", content: "dict[str, Any]",
                   commit_bytes: int) -> int:
    """The same for an image in the other partition; the delta alone lies in the file system."""
    return await _Way(ask, update, part, "image", content, part.base, commit_bytes).go(0)


class _Way:
    """One target, and what is needed on the way to it."""

    def __init__(self, ask: "Callable[..., Awaitable[Any]]", update: "Update", store: "Store", slot: str, content: "dict[str, Any]",
                 read: "Callable[[int, memoryview], None]", commit_bytes: int) -> None:
        self._ask, self._update, self._store, self._slot, self._content = ask, update, store, slot, content
        self._read, self._commit_bytes = read, commit_bytes
        self._file = DeltaFile(update.files)

    async def go(self, beside: int) -> int:
        """beside: bytes of the target that go to the same file system as the delta."""
        update, slot, file = self._update, self._slot, self._file
        self._store.prepare(slot, self._content["sha256"])
        received: int = 0
        try:
            delta, have = await self._choose()
            if delta is None or not self._has_room(delta["size"] + max(0, beside - have) + SPARE_BYTES):
                file.drop(slot)
                return 0
            received = await self._ask(lambda server: fetch(server, file, slot, delta, update.clock))
            await self._apply(delta, have)
            file.drop(slot)
        except NetworkError as error:
            if error.code != "server.status":
                raise
            update.log("delta", str(error))   # the server has none, or has no time: the long way will tell
            file.drop(slot)
        except (PeerError, FormatError, FlashError, OSError, MemoryError) as error:
            update.log("delta", str(error))
            self._store.drop(slot)
            file.fail()
        return received

    def _has_room(self, need: int) -> bool:
        free = self._update.deltas.free_bytes()   # type: ignore[union-attr]
        if free < need:
            self._update.log("delta", "%d bytes free, needs %d" % (free, need))
        return free >= need

    async def _choose(self) -> "tuple[dict[str, Any] | None, int]":
        with Loaded():
            from node.agent.patch import choose
            found: tuple[dict[str, Any] | None, int] = await self._ask(
                lambda server: choose(self._content, self._file.failed(), self._read, self._store, self._slot, server.alive))
        return found

    async def _apply(self, delta: "dict[str, Any]", have: int) -> None:
        with Loaded():
            from node.agent.patch import apply
            file = self._file.open(self._slot)
            try:
                await self._ask(lambda server: apply(
                    self._update.deltas, file, delta, self._content, self._store, self._slot, self._read, have,   # type: ignore
                    server.alive, self._commit_bytes))
            finally:
                file.close()   # type: ignore[union-attr]


class DeltaFile:
    """The one delta on the file system: what download.fetch fills, as Slots is for bundles."""

    def __init__(self, files: "Files") -> None:
        self._files = files

    def prepare(self, slot: str, sha256: str) -> None:
        """Keep what is there if it is of this delta, else nothing."""
        if self._files.read(NAME_PATH) != sha256.encode():
            self.drop(slot)
            self._files.write_atomic(NAME_PATH, sha256.encode())

    def drop(self, slot: str) -> None:
        self._files.remove(DELTA_PATH)

    def open(self, slot: str) -> "RandomFile | None":
        return self._files.open(DELTA_PATH)

    def append(self, slot: str) -> "OpenFile":
        try:
            return self._files.append(DELTA_PATH)
        except OSError as error:
            raise FlashError("delta.io", str(error))

    def fail(self) -> None:
        """The delta that is here did not work: it is gone, and not to be tried again."""
        self._files.write_atomic(NAME_PATH, (self._files.read(NAME_PATH) or b"")[:64] + FAILED)
        self._files.remove(DELTA_PATH)

    def failed(self) -> bytes:
        """SHA-256 in hex of the delta that did not work last; empty when there was none."""
        name = self._files.read(NAME_PATH) or b""
        return name[:64] if name[64:] == FAILED else b""


class _Base:
    """What runs here, as a file."""

    def __init__(self, file: "RandomFile") -> None:
        self._file = file

    def read(self, at: int, out: memoryview) -> None:
        """Fill `out` from byte `at`; OSError when there is not so much."""
        self._file.seek(at)
        if self._file.readinto(out) != len(out):
            raise OSError(5)   # EIO
