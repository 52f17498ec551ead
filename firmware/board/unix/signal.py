"""The simulated board's sensors: rows of a signal table on the bench, by the physical world's time.

The table is /bench/signals/<device id>.bin, little-endian int32 rows, and channels.json beside it (host/sim/signals.py writes
both). Each device begins at its own row. Channels are found by the configuration's names; one that the table lacks has no
readings.
"""

import json
import struct

from node.agent.scatter import phase_ms

FOLDER = "/bench/signals/"
MISSING = -2147483648   # in the table: no reading


class SignalTable:
    """One source of all channels, on a signal table; a configuration's buses and sensors are not looked at.

    Args:
        device: its id. names: the channels to read, in order.
        world_ms: the time of the physical world, from the chip.
    """

    lead_ms = 0

    def __init__(self, device, names, world_ms):
        self.channels = tuple(range(len(names)))
        self._device = device
        self._names = names
        self._world_ms = world_ms
        self._columns = None

    def start(self):
        if self._columns is None:
            self.recover()

    def read(self):
        rows = self._rows
        row = (self._world_ms() // self._row_ms + self._phase) % rows
        buf = self._buf
        with open(FOLDER + self._device + ".bin", "rb") as file:   # opened anew: the bench may replace it at any time
            file.seek(row * len(buf))
            if file.readinto(buf) != len(buf):
                raise OSError(5)   # EIO
        values = []
        for column in self._columns:
            value = MISSING if column is None else struct.unpack_from("<i", buf, column * 4)[0]
            values.append(None if value == MISSING else value)
        return values

    def recover(self):
        """Read the table's description again."""
        with open(FOLDER + "channels.json") as file:
            table = json.load(file)
        found = [channel["name"] for channel in table["channels"]]
        self._row_ms = table["row_ms"]
        self._rows = table["rows"]
        self._phase = phase_ms(self._device, self._rows)
        self._buf = bytearray(4 * len(found))
        self._columns = [found.index(name) if name in found else None for name in self._names]
