"""The station interface, and the time of day which must come before TLS: a board wakes up in the year 2000.

One connection attempt at a time, decided by isconnected() and a deadline alone: status() passes through idle and error values
in a good connection (micropython-mqtt issues 129 and 132), and connect() during a connection raises (micropython 17661).
"""

import asyncio
import errno
import time

import network
import ntptime

from node.wire.batch import QUALITY_NTP

CONNECT_MS = 20_000   # DHCP on a busy access point; 1.6 s is usual
POLL_MS = 100
EPOCH_2000_S = 946_684_800   # Unix seconds of the port's time.time() == 0


class Wifi:
    """A network that is joined when somebody needs it.

    Args:
        learn: told (Unix ms, quality) once NTP has answered.
    """

    def __init__(self, ssid, password, learn):
        self._ssid = ssid
        self._password = password
        self._learn = learn
        self._lock = asyncio.Lock()
        self._told_time = False
        self._wlan = network.WLAN(network.STA_IF)
        self._wlan.active(True)   # from here os.urandom is true randomness

    async def up(self):
        """Return when the network is there.

        Raises:
            OSError: EHOSTUNREACH after CONNECT_MS; the caller backs off.
        """
        async with self._lock:
            if not self._wlan.isconnected():
                await self._join()
            if not self._told_time:
                self._ask_time()

    async def _join(self):
        self._wlan.disconnect()
        self._wlan.config(reconnects=0)   # the port would try by itself for ever, also with a wrong password
        self._wlan.connect(self._ssid, self._password)
        for _ in range(CONNECT_MS // POLL_MS):
            if self._wlan.isconnected():
                return
            await asyncio.sleep(POLL_MS / 1000)
        raise OSError(errno.EHOSTUNREACH)

    def _ask_time(self):
        """Set the RTC by NTP: one blocking second at most. Its failure shows in TLS, which checks dates."""
        try:
            ntptime.settime()
        except (OSError, IndexError, OverflowError):
            return
        self._told_time = True
        offset_s = EPOCH_2000_S if time.gmtime(0)[0] == 2000 else 0
        self._learn((time.time() + offset_s) * 1000, QUALITY_NTP)


class WifiNet:
    """The Net port: the network first, then the connection."""

    def __init__(self, wifi, inner):
        self._wifi = wifi
        self._inner = inner

    async def open(self, host, port, mutual):
        await self._wifi.up()
        return await self._inner.open(host, port, mutual)
