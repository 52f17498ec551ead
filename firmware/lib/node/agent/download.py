"""An artifact's bytes into the files of a slot: resumable, never more than was signed, never at a crawl.

The stream starts at the first file that the slot lacks and passes over files that it has; each file is checked against its
hash as it ends and again from flash. A power cut costs at most the file under way. Knows neither HTTP nor signatures: the
server and the verified manifest are arguments.
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

WINDOW_MS = const(30000)   # the speed is judged over this time: a WiFi roam or a flash erase is no slow server
MIN_WINDOW_BYTES = const(4096)   # about 140 B/s: a slow modem passes, a trickle that blocks updates does not
SESSION_MS = const(1800000)   # one download; what arrived stays, so a slower one goes on at the next check-in


class _Enough(Exception):
    """The last missing file is there; what the server still sends is not wanted."""


async def fetch(server: "Server", slots: "Slots", slot: str, manifest: "dict[str, Any]", clock: "Clock") -> int:
    """Make the slot hold exactly the manifest's files, but not yet its marker.

    Args:
        manifest: verified.

    Returns:
        Bytes received; 0 when the slot had every file.

    Raises:
        NetworkError: the connection failed, `download.slow` or `download.short`; what arrived stays for the next time.
        PeerError: `download.hash`: the server's artifact is not the signed one.
        FlashError: the flash refused, or `download.readback`: it did not keep what it was given.
    """
    files = manifest["artifact"]["files"]
    slots.clear(slot, [path for path, _, _ in files])
    missing = await _missing(slots, slot, files)
    if not missing:
        return 0
    offset = sum(size for _, size, _ in files[:missing[0]])
    sink = _Sink(slots, slot, files, missing, clock)
    try:
        await server.artifact(manifest["artifact"]["sha256"], offset, sink.take, manifest["artifact"]["size"] - offset)
        raise NetworkError("download.short", "the server ended before %s did" % files[missing[-1]][0])
    except _Enough:
        pass
    finally:
        sink.close()
    missing = await _missing(slots, slot, files)
    if missing:
        raise FlashError("download.readback", "%s reads back differently" % files[missing[0]][0])
    return sink.received


async def _missing(slots: "Slots", slot: str, files: "list[tuple[str, int, str]]") -> list[int]:
    """Indices of the files that the slot does not hold, read back from flash."""
    found = []
    for index, (path, size, digest) in enumerate(files):
        if not slots.holds(slot, path, size, digest):
            found.append(index)
        await asyncio.sleep(0)   # a whole slot takes about a second: sampling goes on between files
    return found


class _Sink:
    """Cuts the stream into files. take() is called with each piece in order."""

    def __init__(self, slots: "Slots", slot: str, files: "list[tuple[str, int, str]]", missing: list[int],
                 clock: "Clock") -> None:
        self.received = 0
        self._slots = slots
        self._slot = slot
        self._files = files
        self._missing = set(missing)
        self._last = missing[-1]
        self._clock = clock
        self._started_ms = clock.ticks_ms()
        self._window_ms = self._started_ms
        self._window_bytes = 0
        self._handle: OpenFile | None = None
        self._index = missing[0] - 1
        self._next_file()

    def take(self, data: bytes) -> None:
        """Write a piece; raises _Enough after the last missing file."""
        self._judge_speed(len(data))
        view = memoryview(data)
        while view:
            n = min(self._left, len(view))
            if self._handle is not None:
                self._write(view[:n])
            self._left -= n
            view = view[n:]
            while not self._left:
                self._end_file()
                if self._index == self._last:
                    raise _Enough
                self._next_file()

    def close(self) -> None:
        """Let go of the file under way; its part on flash is removed when the slot is next looked at."""
        handle, self._handle = self._handle, None
        if handle is not None:
            try:
                handle.close()
            except OSError:   # told already, or the caller will read the slot back
                pass

    def _next_file(self) -> None:
        self._index += 1
        path, self._left, self._digest = self._files[self._index]
        if self._index in self._missing:
            self._hash = hashlib.sha256()
            self._handle = self._slots.create(self._slot, path)

    def _write(self, piece: memoryview) -> None:
        self._hash.update(piece)
        try:
            self._handle.write(piece)   # type: ignore[union-attr, arg-type]
        except OSError as error:
            raise FlashError("download.write", "%s: %s" % (self._files[self._index][0], error))

    def _end_file(self) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            handle.close()
        except OSError as error:
            raise FlashError("download.write", "%s: %s" % (self._files[self._index][0], error))
        if hexstr(self._hash.digest()) != self._digest:
            raise PeerError("download.hash", "%s is not what was signed" % self._files[self._index][0])

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
