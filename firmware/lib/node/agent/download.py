"""An artifact's bytes into the bundle of a slot: resumable, never more than was signed, never at a crawl.

What is on flash is hashed from there and the stream goes on behind it; in the end the whole bundle is read back. A power cut
costs at most COMMIT_BYTES. Knows neither HTTP nor signatures: the server and the verified manifest are arguments.
"""

import asyncio
import hashlib

from node.compat import const, hexstr
from node.errors import FlashError, NetworkError, PeerError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.checkin import Server
    from node.agent.slots import Slots
    from node.hints import Any
    from node.ports import Clock, OpenFile

COMMIT_BYTES = const(8192)   # closed, that is committed, after so many: a close costs littlefs an erase (45 ms) and a copied block
READ_BYTES = const(2048)   # hashed at a time: RAM held against flash reads, and about 2 ms in which nothing else runs
WINDOW_MS = const(30000)   # the speed is judged over this time: a WiFi roam or a flash erase is no slow server
MIN_WINDOW_BYTES = const(4096)   # about 140 B/s: a slow modem passes, a trickle that blocks updates does not
SESSION_MS = const(1800000)   # one download; what arrived stays, so a slower one goes on at the next check-in


class _Enough(Exception):
    """The last byte is there; what the server still sends is not wanted."""


async def fetch(server: "Server", slots: "Slots", slot: str, manifest: "dict[str, Any]", clock: "Clock") -> int:
    """Make the slot hold the manifest's bundle, but not yet its marker.

    Args:
        manifest: verified.

    Returns:
        Bytes received; 0 when the slot had them all.

    Raises:
        NetworkError: the connection failed, `download.slow` or `download.short`; what arrived stays for the next time.
        PeerError: `download.hash`: the server's artifact is not the signed one.
        FlashError: the flash refused, or `download.readback`: it did not keep what it was given.
    """
    sha256, size = manifest["artifact"]["sha256"], manifest["artifact"]["size"]
    slots.prepare(slot, sha256)
    received = 0
    while True:
        digest, offset = await _kept(slots, slot)
        if offset < size:
            received += await _stream(server, slots, slot, sha256, digest, offset, size, clock)
        if offset <= size and hexstr(digest.digest()) == sha256:
            break
        slots.drop(slot)
        if not offset:   # all of it came in this stream; else what lay on flash may be at fault: once more from the start
            raise PeerError("download.hash", "the artifact is not what was signed")
    if received:
        digest, _ = await _kept(slots, slot)
        if hexstr(digest.digest()) != sha256:
            slots.drop(slot)
            raise FlashError("download.readback", "%s reads back differently" % slot)
    return received


async def _kept(slots: "Slots", slot: str) -> "tuple[Any, int]":
    """Hash and length of what the slot's bundle holds on flash."""
    digest, length = hashlib.sha256(), 0
    file = slots.open(slot)
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
            await asyncio.sleep(0)   # a whole bundle takes about a second: sampling goes on
    except OSError as error:
        raise FlashError("download.read", "%s: %s" % (slot, error))
    finally:
        file.close()


async def _stream(server: "Server", slots: "Slots", slot: str, sha256: str, digest: "Any", offset: int, size: int,
                  clock: "Clock") -> int:
    """Append the rest of the artifact and add it to `digest`; bytes received."""
    sink = _Sink(slots, slot, digest, size - offset, clock)
    try:
        await server.artifact(sha256, offset, sink.take, size - offset)
        raise NetworkError("download.short", "the server ended %d bytes early" % sink.left)
    except _Enough:
        sink.commit()
    finally:
        sink.close()
    return sink.received


class _Sink:
    """Appends the stream to the bundle. take() is called with each piece in order.

    Attributes:
        left: bytes to come. received: bytes that came, unwanted ones included.
    """

    def __init__(self, slots: "Slots", slot: str, digest: "Any", left: int, clock: "Clock") -> None:
        self.left = left
        self.received = 0
        self._slots = slots
        self._slot = slot
        self._digest = digest
        self._handle: OpenFile | None = None
        self._uncommitted = 0
        self._clock = clock
        self._started_ms = clock.ticks_ms()
        self._window_ms = self._started_ms
        self._window_bytes = 0

    def take(self, data: bytes) -> None:
        """Write a piece; raises _Enough after the last byte."""
        self._judge_speed(len(data))
        piece = memoryview(data)[:min(self.left, len(data))]
        if self._handle is None:
            self._handle = self._slots.append(self._slot)
        self._digest.update(piece)
        try:
            self._handle.write(piece)
        except OSError as error:
            raise FlashError("download.write", "%s: %s" % (self._slot, error))
        self.left -= len(piece)
        self._uncommitted += len(piece)
        if self._uncommitted >= COMMIT_BYTES:
            self.commit()
        if not self.left:
            raise _Enough

    def commit(self) -> None:
        """What was taken is on flash."""
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
