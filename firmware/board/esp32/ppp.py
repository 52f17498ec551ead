"""A mobile network by a modem on a UART (network.PPP). Not run on hardware yet.

dialup.py dials, and is in memory only meanwhile.
"""

import machine
import network

from board.esp32.interface import Interface
from node.loading import Loaded

RX_BYTES = 2048   # more than PPP's largest frame of 1,500: the interrupt empties the buffer when the line falls silent


class Ppp(Interface):
    """The modem's network.

    Args:
        said: `network` of the board's profile. sim: /state/sim.json: apn, user, password.

    Raises:
        OSError, ValueError: a pin that cannot do it.
    """

    def __init__(self, said, sim, hostname):
        super().__init__(hostname)
        pin = machine.Pin
        if said.get("power") is not None:
            pin(said["power"], pin.OUT, value=1)
        key = said.get("key")
        self._key = None if key is None else pin(key, pin.OUT, value=0)
        self._key_ms = said.get("key_ms", 1000)
        self._uart = machine.UART(said["uart"], baudrate=said["baud"], tx=pin(said["tx"]), rx=pin(said["rx"]), rxbuf=RX_BYTES)
        self._nic = network.PPP(self._uart)
        self._sim = sim

    async def _join(self):
        with Loaded() as loaded:
            from board.esp32 import dialup
            loaded.complete()
            await dialup.dial(self._nic, self._uart, self._sim, self._key, self._key_ms, self._linked)
