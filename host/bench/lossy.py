"""A TCP proxy on loopback that makes a fast link slow: round trip, loss, and the small window of a chip.

Models what TCP makes of a bad link, not the link: a stream stays whole and in order, so a lost segment is a delay for it and for
all that follows in its direction. Each piece read, of 1440 bytes at most, is a segment. A lost one comes RTO later,
max(200 ms, 2 RTT) (Linux's floor; RFC 6298 says 1 s), twice that when it is lost again, and so on. A direction has at most the
window under way until its acknowledgements are back; opening a connection costs a round trip before the first byte.

Not modelled: fast retransmit after three duplicates (it would make losses cheaper), lost acknowledgements (rarely matter: the next
one covers them), congestion control (the window of a chip is four segments), a limit of bytes a second.
"""

import asyncio
import contextlib
import random
from collections import deque
from dataclasses import dataclass

SEGMENT_BYTES = 1440    # what a segment carries over Ethernet and Wi-Fi; lwIP's default for a chip
WINDOW_BYTES = 5744     # lwIP's send buffer and receive window on an ESP32: four segments
MIN_RTO_S = 0.2
SILENCE_S = 60.0        # a connection that went silent is closed at last: longer than a device waits for anything


@dataclass(frozen=True)
class Path:
    """A link.

    Attributes:
        rtt_s: round trip. loss: share of segments lost, 0 to below 1.
    """

    rtt_s: float
    loss: float

    def delay_s(self, chance: random.Random) -> float:
        """How long one segment takes."""
        delay_s, rto_s = self.rtt_s / 2, max(MIN_RTO_S, 2 * self.rtt_s)
        while chance.random() < self.loss:
            delay_s += rto_s
            rto_s *= 2
        return delay_s


class Direction:
    """When the segments of one direction arrive, and when there is room for more. Pure: the time comes in."""

    def __init__(self, path: Path, chance: random.Random, now_s: float) -> None:
        self._path, self._chance = path, chance
        self._due_s = now_s + path.rtt_s   # SYN and its answer
        self._under_way: deque[tuple[float, int]] = deque()   # (acknowledged at, bytes)
        self._bytes = 0
        self.lost = 0

    def room_in_s(self, now_s: float) -> float:
        """Seconds until a whole segment may leave; 0.0 when it may now."""
        while self._under_way and self._under_way[0][0] <= now_s:
            self._bytes -= self._under_way.popleft()[1]
        free, room_s = WINDOW_BYTES - self._bytes, now_s
        for acked_s, size in self._under_way:
            if free >= SEGMENT_BYTES:
                break
            free, room_s = free + size, acked_s
        return room_s - now_s

    def send(self, size: int, now_s: float) -> float:
        """Take a segment; when it arrives."""
        delay_s = self._path.delay_s(self._chance)
        self.lost += delay_s > self._path.rtt_s / 2
        self._due_s = max(self._due_s, now_s + delay_s)
        self._under_way.append((self._due_s + self._path.rtt_s / 2, size))
        self._bytes += size
        return self._due_s


class Proxy:
    """Passes connections on to a port of this machine.

    Attributes:
        up_bytes, down_bytes: of TCP's payload, TLS included, to and from the server. segments, lost: in both directions.
        first_s: when the first connection came, by the loop's clock, or None. connections: so many came.
    """

    def __init__(self, path: Path, port: int, seed: int) -> None:
        self._path, self._port, self._chance = path, port, random.Random(seed)   # noqa: S311  repeatable
        self.up_bytes = self.down_bytes = self.segments = self.lost = self.connections = 0
        self.first_s: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumps: dict[asyncio.Task[None], tuple[asyncio.Task[None], asyncio.Task[None]]] = {}   # of each connection
        self._silenced: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; gives the port."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0, limit=WINDOW_BYTES)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def break_one(self, *, silently: bool) -> bool:
        """Break one connection, at random: by closing it, or by passing nothing on any more; tells whether there was one."""
        if not self._pumps:
            return False
        task = self._chance.choice(list(self._pumps))
        if silently:
            self._silenced.add(task)
        for pump in self._pumps.pop(task):
            pump.cancel()
        return True

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._tasks.add(task)
        try:
            if self.first_s is None:
                self.first_s = asyncio.get_running_loop().time()
            self.connections += 1
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port, limit=WINDOW_BYTES)
            try:
                pumps = (asyncio.create_task(self._pump(reader, far_writer, up=True)),
                         asyncio.create_task(self._pump(far_reader, writer, up=False)))
                self._pumps[task] = pumps
                await self._both(*pumps)
                if task in self._silenced:
                    await asyncio.sleep(SILENCE_S)
            finally:
                far_writer.close()
        except (OSError, asyncio.CancelledError):
            pass   # one end is gone, and so is the connection; or the bench is over
        finally:
            writer.close()
            self._tasks.discard(task)
            self._silenced.discard(task)
            self._pumps.pop(task, None)

    @staticmethod
    async def _both(*pumps: asyncio.Task[None]) -> None:
        """Until one end closes; then the other is closed too."""
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        loop = asyncio.get_running_loop()
        direction = Direction(self._path, self._chance, loop.time())
        arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(arriving, writer))
        try:
            while not delivery.done():
                while (wait_s := direction.room_in_s(loop.time())) > 0:
                    await asyncio.sleep(wait_s)
                data = await reader.read(SEGMENT_BYTES)
                arriving.put_nowait((direction.send(len(data), loop.time()), data))
                if not data:
                    break
                if up:
                    self.up_bytes += len(data)
                else:
                    self.down_bytes += len(data)
                self.segments += 1
            await delivery
        finally:
            self.lost += direction.lost
            delivery.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await delivery

    @staticmethod
    async def _deliver(arriving: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await arriving.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not data:
                return
            writer.write(data)
            await writer.drain()
