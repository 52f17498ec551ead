"""The station interface: a network that is joined when somebody needs it.

One attempt to join at a time (join.py). Decides nothing about when to try again: callers back off.
"""

import asyncio
import errno

import network

from node.loading import Loaded

POLL_MS = 100   # who waits for another's attempt looks again
NO_ADDRESS = "0.0.0.0"   # noqa: S104 (associated, but DHCP has not answered)
MAX_HOSTNAME = 32     # characters (network.hostname)


class Wifi:
    """One network.

    Args:
        password: empty if the network is open.
        hostname: what the device calls itself to DHCP.
    """

    def __init__(self, ssid, password, hostname):
        self._ssid = ssid
        self._password = password
        self._failures = 0
        self._joining = False   # no asyncio.Lock: it would be the only one, and its module takes 0.5 KB
        network.hostname(hostname[:MAX_HOSTNAME])
        self._wlan = network.WLAN(network.STA_IF)
        self._wlan.active(True)   # from here os.urandom is true randomness
        self._wlan.config(reconnects=0)   # the port would try by itself for ever, also with a wrong password

    async def up(self):
        """Return when the network is there; joins it when it is not, or not any more.

        Raises:
            OSError: EHOSTUNREACH after CONNECT_MS of join.py.
        """
        failures = self._failures
        while self._joining:
            await asyncio.sleep(POLL_MS / 1000)
        if self._linked():
            return
        if not self._ssid or self._failures != failures:   # the attempt that we waited for was ours too
            raise OSError(errno.EHOSTUNREACH)
        self._joining = True
        try:
            with Loaded() as loaded:
                await self._join(loaded)
        except OSError:
            self._failures += 1
            raise
        finally:
            self._joining = False

    def _linked(self):
        return self._wlan.isconnected() and self._wlan.ifconfig()[0] != NO_ADDRESS

    async def _join(self, loaded):
        from board.esp32 import join
        loaded.complete()
        await join.join(self._wlan, self._ssid, self._password, self._linked)


class WifiNet:
    """The Net port: the network first, then the time of day, then the connection."""

    def __init__(self, wifi, ntp, inner):
        self._wifi = wifi
        self._ntp = ntp
        self._inner = inner

    async def open(self, host, port, mutual):
        await self._wifi.up()
        await self._ntp.refresh()
        return await self._inner.open(host, port, mutual)
