"""What all ways into a network have in common: one attempt at a time, and the Net port that waits for the network first.

Decides nothing about when to try again: callers back off. The radio is on whatever the network is, since a chip's random numbers
are true only then: keys and TLS need them.
"""

import asyncio
import errno

import network

POLL_MS = 100   # who waits for another's attempt looks again
NO_ADDRESS = "0.0.0.0"   # noqa: S104 (associated, but DHCP has not answered)
MAX_HOSTNAME = 32     # characters (network.hostname)


class Interface:
    """One network; who inherits sets `_nic` and has `_join()`, which returns when it may be there, or raises OSError.

    Args:
        hostname: what the device calls itself to DHCP.
    """

    def __init__(self, hostname):
        self._failures = 0
        self._joining = False   # no asyncio.Lock: it would be the only one, and its module takes 0.5 KB
        network.hostname(hostname[:MAX_HOSTNAME])
        self._nic = self._wlan = network.WLAN(network.STA_IF)
        self._wlan.active(True)   # from here os.urandom is true randomness

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
        if self._failures != failures:   # the attempt that we waited for was ours too
            raise OSError(errno.EHOSTUNREACH)
        self._joining = True
        try:
            await self._join()
        except OSError:
            self._failures += 1
            raise
        finally:
            self._joining = False

    def rssi(self):
        """Of the access point, dBm; None while it is not joined, or where a cable or a modem is the way."""
        try:
            return self._wlan.status("rssi") if self._nic is self._wlan else None
        except (OSError, RuntimeError):   # the port says it in either
            return None

    def _linked(self):
        return self._nic.isconnected() and self._nic.ifconfig()[0] != NO_ADDRESS


class JoinedNet:
    """The Net port: the network first, then the time of day, then the connection."""

    def __init__(self, interface, ntp, inner):
        self._interface = interface
        self._ntp = ntp
        self._inner = inner

    async def open(self, host, port, mutual):
        await self._interface.up()
        await self._ntp.refresh()
        return await self._inner.open(host, port, mutual)
