"""Microchip MCP3208: eight single-ended inputs of 12 bits over SPI (datasheet DS21298E)."""

from node.errors import SensorError

NULL_BIT = 0x10   # before the twelve bits the chip drives a 0; an absent one leaves the line at 1
STEPS = 4096


class Mcp3208:
    """Some of one chip's inputs.

    Args:
        cs: the chip-select pin, called with 0 and 1. inputs: numbers 0 to 7. reference_uv: at VREF, microvolts.
    """

    WAIT_MS = 0
    ADDRESSES = ()

    def __init__(self, spi, cs, inputs=(0,), reference_uv=3_300_000):
        self._spi, self._cs, self._inputs, self._reference_uv = spi, cs, inputs, reference_uv
        self.GIVES = tuple(("ch%d" % number, "V", 1_000_000) for number in inputs)

    def start(self):
        """Nothing: the chip converts while it is read."""

    def read(self):
        """Microvolts of each input.

        Raises:
            SensorError: `sensor.absent`.
        """
        return tuple(self._one(number) for number in self._inputs)

    def _one(self, number):
        data = bytearray((0x06 | number >> 2, number << 6 & 0xC0, 0))   # figure 6-1: start, single-ended, three bits of number
        self._cs(0)
        try:
            self._spi.write_readinto(data, data)
        finally:
            self._cs(1)
        if data[1] & NULL_BIT:
            raise SensorError("sensor.absent", "input %d: no chip drives the line" % number)
        return ((data[1] & 0x0F) << 8 | data[2]) * self._reference_uv // STEPS
