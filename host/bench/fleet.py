"""Devices that talk to a server over mutual TLS, each by its own certificate, and what that costs the server.

One process holds all of them and keeps IN_FLIGHT requests under way, each of the device that has waited longest: an answer is
followed by the next request at once. Decides nothing about what is asked; checks that every answer is a success. TLS is 1.2, as a
board's is. The server's cost is its own CPU time, so that the load on this side does not count.
"""

import asyncio
import os
import re
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

IN_FLIGHT = 32
ANSWER_LIMIT_S = 30.0   # a server that is silent for longer has failed
KEEP_S = 3.0            # while others connect, who has been silent for so long asks again: uvicorn hangs up after 5 s
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Rate(TypedDict):
    """What a number of requests took. `per_cpu_second`: of the server's time, user and system; times are the clients'.

    `driver_pct`: of one core, what the clients needed; near 100 they are the limit of `per_wall_second`.
    """

    per_cpu_second: float
    per_wall_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    handshakes: int
    driver_pct: float


class RefusedError(Exception):
    """The server answered something else than a success, or hung up."""


class Device(asyncio.Protocol):
    """One device: at most one connection, one request at a time, kept alive until it hangs up.

    Args:
        context: with this device's certificate; None speaks without TLS.
        request: builds the next one.
    """

    def __init__(self, context: ssl.SSLContext | None, port: int, request: Callable[[], bytes]) -> None:
        self._context, self._port, self._request = context, port, request
        self._transport: asyncio.Transport | None = None
        self._arrived = b""
        self._answer: asyncio.Future[bytes | None] | None = None
        self.handshakes = 0
        self.asked_s = 0.0

    async def ask(self) -> None:
        """Send one request, over a new connection if there is none, and wait for its answer.

        A server may hang up on an idle connection while a request is on its way: that one is sent again over a new connection.

        Raises:
            RefusedError: the answer is not 200, or there is none over a new connection.
        """
        is_kept = self._transport is not None and not self._transport.is_closing()
        answer = await self._asked()
        if is_kept and answer is None:
            answer = await self._asked()
        if answer is None:
            raise RefusedError("the server hung up without an answer")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise RefusedError(answer[:200].decode("latin-1"))

    async def _asked(self) -> bytes | None:
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self.handshakes += 1
            self._transport, _ = await loop.create_connection(
                lambda: self, "127.0.0.1", self._port, ssl=self._context,
                server_hostname=None if self._context is None else "localhost")
        self._answer, self.asked_s = loop.create_future(), time.monotonic()
        self._transport.write(self._request())
        return await self._answer

    def hang_up(self) -> None:
        """End the connection, if there is one."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        self._arrived += data
        head, end, body = self._arrived.partition(b"\r\n\r\n")
        if not end:
            return
        length = CONTENT_LENGTH.search(head)
        if length is None or len(body) >= int(length[1]):
            self._arrived = b""
            self._done(head)

    def connection_lost(self, error: Exception | None) -> None:
        """End the wait of the request that is under way: with half an answer if that is all that came."""
        half, self._arrived = self._arrived, b""
        self._done(b"hung up within an answer: " + half if half else None)

    def _done(self, answer: bytes | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


@asynccontextmanager
async def connected(devices: Sequence[Device]) -> AsyncIterator[deque[Device]]:
    """Have every device ask once, and give them in order; hang up at the end.

    Raises:
        RefusedError, TimeoutError: the server failed.
    """
    waiting, ready = deque(devices), deque[Device]()

    async def one() -> None:
        while waiting:
            turn = [waiting.popleft()]
            if ready and time.monotonic() - ready[0].asked_s > KEEP_S:
                turn.append(ready.popleft())
            for device in turn:
                await device.ask()
                ready.append(device)

    try:
        async with asyncio.timeout(ANSWER_LIMIT_S * 4):
            await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
        yield ready
    finally:
        for device in devices:
            device.hang_up()


async def ask_in_turn(waiting: deque[Device], seconds: float, in_flight: int, *, hang_up: bool) -> list[float]:
    """Have devices ask in turn; gives the seconds that each answer took. Arguments as `drive`'s.

    Raises:
        RefusedError, TimeoutError: the server failed.
    """
    took: list[float] = []

    async def one(end: float) -> None:
        while (began := time.perf_counter()) < end:
            device = waiting.popleft()
            await device.ask()
            took.append(time.perf_counter() - began)
            if hang_up:
                device.hang_up()
            waiting.append(device)

    end = time.perf_counter() + seconds
    async with asyncio.timeout(seconds + ANSWER_LIMIT_S):
        await asyncio.gather(*(one(end) for _ in range(in_flight)))
    return took


def percentile_ms(took_s: Sequence[float], percent: int) -> float:
    """Milliseconds that so many percent of these, which are sorted, took at most."""
    return round(1e3 * took_s[len(took_s) * percent // 100], 1)


async def drive(waiting: deque[Device], pid: int, seconds: float, *, hang_up: bool) -> Rate:
    """Have devices ask in turn.

    Args:
        waiting: who asks next; changed.
        pid: the server's, whose CPU time counts.
        hang_up: after each answer, so that each request takes a full handshake.

    Raises:
        RefusedError, TimeoutError: the server failed.
    """
    handshakes = sum(device.handshakes for device in waiting)
    server_s, driver_s, began = cpu_s(pid), time.process_time(), time.perf_counter()
    took = await ask_in_turn(waiting, seconds, IN_FLIGHT, hang_up=hang_up)
    wall_s, driver_s, server_s = time.perf_counter() - began, time.process_time() - driver_s, cpu_s(pid) - server_s
    took.sort()
    return Rate(
        per_cpu_second=round(len(took) / server_s), per_wall_second=round(len(took) / wall_s),
        p50_ms=percentile_ms(took, 50), p99_ms=percentile_ms(took, 99), requests=len(took),
        handshakes=sum(device.handshakes for device in waiting) - handshakes, driver_pct=round(100 * driver_s / wall_s))


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, user and system, in steps of 10 ms."""
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS_PER_S


def rss_mb(pid: int) -> float:
    """Memory of a process that is in RAM now, in 10^6 bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
