"""The station interface: a Wi-Fi network that is joined when somebody needs it (join.py)."""

import errno

from board.esp32.interface import Interface
from node.loading import Loaded


class Wifi(Interface):
    """One network.

    Args:
        password: empty if the network is open.
        hostname: as Interface.
    """

    def __init__(self, ssid, password, hostname):
        super().__init__(hostname)
        self._ssid = ssid
        self._password = password
        self._wlan.config(reconnects=0)   # the port would try by itself for ever, also with a wrong password

    async def _join(self):
        if not self._ssid:
            raise OSError(errno.EHOSTUNREACH)
        with Loaded() as loaded:
            from board.esp32 import join
            loaded.complete()
            await join.join(self._wlan, self._ssid, self._password, self._linked)
