"""One attempt to join a network, for wifi.py; in memory only meanwhile.

Decided by isconnected() and a deadline alone: status() passes through idle and error values in a good connection (micropython-mqtt
issues 129 and 132), and connect() during a connection raises (micropython 17661).
"""

import asyncio
import errno

CONNECT_MS = 15_000   # DHCP on a busy access point; 1.6 s is usual. Below the deadlines of those who open connections
POLL_MS = 100


async def join(wlan, ssid, password, linked):
    """Return when `linked` says that the network is there.

    Raises:
        OSError: EHOSTUNREACH after CONNECT_MS.
    """
    begun = False
    for _ in range(CONNECT_MS // POLL_MS):
        if not begun:
            begun = _begin(wlan, ssid, password)
        elif linked():
            return
        await asyncio.sleep(POLL_MS / 1000)
    _leave(wlan)
    raise OSError(errno.EHOSTUNREACH)


def _begin(wlan, ssid, password):
    """Start an attempt; False while the driver is still busy with ending the last one ("Wifi Internal Error")."""
    _leave(wlan)
    try:
        if password:
            wlan.connect(ssid, password)
        else:
            wlan.connect(ssid)
        return True
    except OSError:
        return False


def _leave(wlan):
    try:
        wlan.disconnect()
    except OSError:   # there was nothing to leave
        pass
