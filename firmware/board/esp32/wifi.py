"""The station interface: a network that is joined when somebody needs it.

One connection attempt at a time, decided by isconnected() and a deadline alone: status() passes through idle and error values
in a good connection (micropython-mqtt issues 129 and 132), and connect() during a connection raises (micropython 17661). Decides
nothing about when to try again: callers back off.
"""

import asyncio
import errno

import network

CONNECT_MS = 15_000   # DHCP on a busy access point; 1.6 s is usual. Below the deadlines of those who open connections
POLL_MS = 100
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
            OSError: EHOSTUNREACH after CONNECT_MS.
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
            await self._join()
        finally:
            self._joining = False

    def _linked(self):
        return self._wlan.isconnected() and self._wlan.ifconfig()[0] != NO_ADDRESS

    async def _join(self):
        begun = False
        for _ in range(CONNECT_MS // POLL_MS):
            if not begun:
                begun = self._begin()
            elif self._linked():
                return
            await asyncio.sleep(POLL_MS / 1000)
        self._failures += 1
        self._leave()
        raise OSError(errno.EHOSTUNREACH)

    def _begin(self):
        """Start an attempt; False while the driver is still busy with ending the last one ("Wifi Internal Error")."""
        self._leave()
        try:
            if self._password:
                self._wlan.connect(self._ssid, self._password)
            else:
                self._wlan.connect(self._ssid)
            return True
        except OSError:
            return False

    def _leave(self):
        try:
            self._wlan.disconnect()
        except OSError:   # there was nothing to leave
            pass


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
