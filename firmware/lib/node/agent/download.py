"""What a release brings, onto flash: resumable, never more than was signed, never at a crawl.

What is on flash is hashed from there and the stream goes on behind it; in the end the whole is read back. Knows neither HTTP nor
signatures nor where things lie: the server, the verified manifest's words and the store (a bundle's Slots, an image's ImagePart)
are arguments.
"""

import asyncio
import hashlib

from node.compat import const, hexstr
from node.errors import FlashError, NetworkError, PeerError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.server import Server
    from node.hints import Any
    from node.ports import Clock, OpenFile, Store

COMMIT_BYTES = const(8192)   # closed, that is committed, after so many: a close costs littlefs an erase (45 ms) and a copied block
READ_BYTES = const(512)   # hashed at a time: RAM in one piece, against flash reads of 0.1 ms
WINDOW_MS = const(30000)   # the speed is judged over this time: a WiFi roam or a flash erase is no slow server
MIN_WINDOW_BYTES = const(4096)   # about 140 B/s: a slow modem passes, a trickle that blocks updates does not
SESSION_MS = const(1800000)   # one download; what arrived stays, so a slower one goes on at the next check-in


class _Enough(Exception):
    """The last byte is there; what the server still sends is not wanted."""


async def fetch(server: "Server", store: "Store", slot: str, content: "dict[str, Any]", clock: "Clock",
                commit_bytes: int = COMMIT_BYTES) -> int:
    """Make the store hold a manifest's artifact or image, read back; it is not yet used.

    Args:
        slot: its name, for the store and for messages.
        content: {"sha256", "size"} of a verified manifest.
        commit_bytes: a power cut costs at most so many.

    Returns:
        Bytes received; 0 when the store had them all.

    Raises:
        NetworkError: the connection failed, `download.slow` or `download.short`; what arrived stays for the next time.
        PeerError: `download.hash`: what the server has is not what was signed.
        FlashError: the flash refused, or `download.readback`: it did not keep what it was given.
    """
    sha256, size = content["sha256"], content["size"]
    store.prepare(slot, sha256)
    received = 0
    while True:
        digest, offset = await kept(store, slot)
        if offset < size:
            sink = _Sink(store, slot, digest, size - offset, clock, commit_bytes)
            received += await _stream(server, sink, sha256, offset)
        if offset <= size and hexstr(digest.digest()) == sha256:
            break
        store.drop(slot)
        if not offset:   # all of it came in this stream; else what lay on flash may be at fault: once more from the start
            raise PeerError("download.hash", "%s: what came is not what was signed" % slot)
    if received:
        digest, _ = await kept(store, slot)
        if hexstr(digest.digest()) != sha256:
            store.drop(slot)
            raise FlashError("download.readback", "%s reads back differently" % slot)
    return received


async def kept(store: "Store", slot: str) -> "tuple[Any, int]":
    """SHA-256 object and length of what the store has on flash."""
    digest, length = hashlib.sha256(), 0
    file = store.open(slot)
    if file is None:
        return digest, 0
    try:
        buffer = bytearray(READ_BYTES)
        while True:
            n = file.readinto(buffer) or 0
            if not n:
                return digest, length
            digest.update(memoryview(buffer)[:n])
            length += n
            await asyncio.sleep(0)   # a bundle takes about a second, an image several: sampling goes on
    except OSError as error:
        raise FlashError("download.read", "%s: %s" % (slot, error))
    finally:
        file.close()


async def _stream(server: "Server", sink: "_Sink", sha256: str, offset: int) -> int:
    """Give the sink the rest; bytes received."""
    try:
        await server.artifact(sha256, offset, sink.take, sink.left)
        raise NetworkError("download.short", "the server ended %d bytes early" % sink.left)
    except _Enough:
        sink.commit()
    finally:
        sink.close()
    return sink.received


class Appender:
    """Puts pieces behind what a store has, and commits them now and then."""

    def __init__(self, store: "Store", slot: str, commit_bytes: int) -> None:
        self._store = store
        self._slot = slot
        self._commit_bytes = commit_bytes
        self._handle: OpenFile | None = None
        self._uncommitted = 0

    def put(self, piece: bytes | memoryview) -> None:
        if self._handle is None:
            self._handle = self._store.append(self._slot)
        try:
            self._handle.write(piece)
        except OSError as error:
            raise FlashError("download.write", "%s: %s" % (self._slot, error))
        self._uncommitted += len(piece)
        if self._uncommitted >= self._commit_bytes:
            self.commit()

    def commit(self) -> None:
        """What was put is on flash."""
        handle, self._handle, self._uncommitted = self._handle, None, 0
        if handle is not None:
            try:
                handle.close()
            except OSError as error:
                raise FlashError("download.write", "%s: %s" % (self._slot, error))

    def close(self) -> None:
        """Keep what arrived, whatever ended the stream."""
        try:
            self.commit()
        except FlashError:   # the next download sees what is there
            pass


class _Sink(Appender):
    """Appends the stream to what the store has, and adds it to `digest`. take() is called with each piece in order.

    Attributes:
        left: bytes to come. received: bytes that came, unwanted ones included.
    """

    def __init__(self, store: "Store", slot: str, digest: "Any", left: int, clock: "Clock", commit_bytes: int) -> None:
        super().__init__(store, slot, commit_bytes)
        self.left = left
        self.received = 0
        self._digest = digest
        self._clock = clock
        self._started_ms = clock.ticks_ms()
        self._window_ms = self._started_ms
        self._window_bytes = 0

    def take(self, data: bytes) -> None:
        """Write a piece; raises _Enough after the last byte."""
        self._judge_speed(len(data))
        piece = memoryview(data)[:min(self.left, len(data))]
        self._digest.update(piece)
        self.put(piece)
        self.left -= len(piece)
        if not self.left:
            raise _Enough

    def _judge_speed(self, n: int) -> None:
        now = self._clock.ticks_ms()
        self.received += n
        self._window_bytes += n
        if now - self._started_ms > SESSION_MS:
            raise NetworkError("download.slow", "%d bytes in %d s" % (self.received, SESSION_MS // 1000))
        if now - self._window_ms >= WINDOW_MS:
            if self._window_bytes < MIN_WINDOW_BYTES:
                raise NetworkError("download.slow", "%d bytes in %d s" % (self._window_bytes, WINDOW_MS // 1000))
            self._window_ms, self._window_bytes = now, 0
