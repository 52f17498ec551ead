"""When the time server is asked for the time of day; sntp.py asks, and is in memory only meanwhile."""

import asyncio

from node.loading import Loaded
from node.wire.batch import QUALITY_NTP

PORT = 123
POLL_MS = 100   # who waits for another's question looks again
RETRY_MS = 600_000      # unanswered, or no server has vouched for the answer: again, but no oftener
REFRESH_MS = 86_400_000   # a crystal drifts a few seconds a day at most
KISSED_MS = 3_600_000   # a server that sends us away (kiss-o'-death) is left in peace for an hour


class Ntp:
    """A time server that is asked when its answer is due.

    Args:
        server: name or address, with ":port" if it is not PORT; "" is none.
        clock: the DeviceClock, which judges the answers.
        urandom: gives so many random bytes.
    """

    def __init__(self, server, clock, urandom):
        host, _, port = server.partition(":") if server.count(":") == 1 else (server, "", "")
        self._host = host
        self._port = int(port) if port.isdigit() else PORT
        self._clock = clock
        self._urandom = urandom
        self._asking = False
        self._due_ms = 0

    async def refresh(self):
        """Have the clock hear the server's word if one is due; takes DEADLINE_MS at most, beside DNS, and raises no Exception."""
        while self._asking:   # who comes second waits too: TLS needs the time of day
            await asyncio.sleep(POLL_MS / 1000)
        if not self._host or self._clock.ticks_ms() < self._due_ms:
            return
        self._due_ms = self._clock.ticks_ms() + RETRY_MS
        self._asking = True
        try:
            with Loaded() as loaded:
                await self._ask(loaded)
        finally:
            self._asking = False

    async def _ask(self, loaded):
        from board import sntp
        loaded.complete()
        try:
            unix_ms = await sntp.ask(self._host, self._port, self._urandom(8))
        except sntp.Kissed:
            self._due_ms += KISSED_MS - RETRY_MS
        except (OSError, ValueError):   # no DNS, no route, no answer: the next server's word will do
            return
        else:
            self._clock.learn(unix_ms, QUALITY_NTP)
            if self._clock.vouched:
                self._due_ms += REFRESH_MS - RETRY_MS
