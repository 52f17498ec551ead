"""One attempt to bring up PPP by a modem's AT commands (3GPP TS 27.007), for ppp.py; in memory only meanwhile.

Knows no modem in particular: AT, CGDCONT and ATD*99# are everybody's. A modem that stays silent is taken for one that is off, and
its power key is pressed, which may switch one off that was merely confused; the next attempt switches it on again. Whoever opens a
connection gives up after CONNECT_MS and comes again, so a modem that needs a minute for its network is dialled several times.
"""

import asyncio
import errno

CONNECT_MS = 15_000   # as join.py
POLL_MS = 100
ANSWER_MS = 1000      # a command's answer; TS 27.007 sets no limit, modems say 300 ms
DIAL_MS = 6000
GUARD_MS = 1100       # of silence before and after "+++", at least a second (ITU-T V.250, S12)
MAX_ANSWER = 256      # bytes kept of one


class _Late(Exception):
    """CONNECT_MS are over."""


class _Line:
    def __init__(self, uart):
        self._uart = uart
        self._left_ms = CONNECT_MS

    async def wait(self, ms):
        if self._left_ms < ms:
            raise _Late
        self._left_ms -= ms
        await asyncio.sleep(ms / 1000)

    async def ask(self, command, expected=b"OK", ms=ANSWER_MS):
        """Whether the answer has come before an error or the time was over."""
        while self._uart.any():   # what is left of before
            self._uart.read()
        self._uart.write(command + b"\r")
        heard = b""
        for _ in range(ms // POLL_MS):
            await self.wait(POLL_MS)
            heard = (heard + (self._uart.read() or b""))[-MAX_ANSWER:]
            if expected in heard:
                return True
            if b"ERROR" in heard or b"NO CARRIER" in heard:
                return False
        return False

    def say(self, data):
        self._uart.write(data)


async def dial(ppp, uart, sim, key, key_ms, linked):
    """Return when `linked` says that the network is there.

    Raises:
        OSError: EHOSTUNREACH, after CONNECT_MS at most.
    """
    ppp.disconnect()   # of an attempt that came to nothing, or of a session whose network has gone
    line = _Line(uart)
    try:
        if await _woken(line, key, key_ms) and await _called(line, sim):
            _connect(ppp, sim)
            while not linked():
                await line.wait(POLL_MS)
            return
    except _Late:
        pass
    ppp.disconnect()
    raise OSError(errno.EHOSTUNREACH)


async def _woken(line, key, key_ms):
    """Whether the modem listens to commands."""
    if await line.ask(b"AT"):
        return True
    await line.wait(GUARD_MS)
    line.say(b"+++")   # it may still be sending data to a network that we have left
    await line.wait(GUARD_MS)
    if await line.ask(b"AT"):
        return True
    if key is None:
        return False
    key(1)
    await asyncio.sleep(key_ms / 1000)
    key(0)
    while not await line.ask(b"AT"):   # it starts; ends by the time that is left
        pass
    return True


async def _called(line, sim):
    apn = sim.get("apn", "")
    await line.ask(b"ATE0")
    if apn and not await line.ask(b'AT+CGDCONT=1,"IP","%s"' % apn.encode()):
        return False
    return await line.ask(b"ATD*99#", b"CONNECT", DIAL_MS)


def _connect(ppp, sim):
    if hasattr(ppp, "active"):   # v1.23 wants it; what comes after knows it for that
        ppp.active(True)
    if sim.get("user"):
        ppp.connect(authmode=ppp.AUTH_CHAP if sim.get("auth") == "chap" else ppp.AUTH_PAP, username=sim["user"],
                    password=sim.get("password", ""))
    else:
        ppp.connect()
