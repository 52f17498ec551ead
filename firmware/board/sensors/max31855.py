"""Maxim MAX31855: a thermocouple over SPI, its cold junction and its faults (datasheet 19-5793, rev. 5)."""

from node.errors import SensorError

RESERVED, FAULT = 0x20008, 0x10000   # bits 17 and 3 read 0; bit 16
FAULTS = ((0x1, "sensor.open"), (0x2, "sensor.to_ground"), (0x4, "sensor.to_supply"))   # table 2


class Max31855:
    """One chip, of any of the thermocouple types.

    Args:
        cs: the chip-select pin, called with 0 and 1.
    """

    WAIT_MS = 0   # it converts by itself, ten times a second
    GIVES = (("thermocouple", "Cel", 4), ("junction", "Cel", 16))
    ADDRESSES = ()

    def __init__(self, spi, cs):
        self._spi, self._cs = spi, cs

    def start(self):
        """Nothing: the chip measures always."""

    def read(self):
        """Quarters of a degree at the thermocouple's tip, sixteenths at the chip.

        Raises:
            SensorError: `sensor.open`, `sensor.to_ground`, `sensor.to_supply` (the thermocouple's wire), `sensor.absent`.
        """
        data = bytearray(4)
        self._cs(0)
        try:
            self._spi.readinto(data)
        finally:
            self._cs(1)
        return parsed(int.from_bytes(data, "big"))


def parsed(word):
    """(quarters, sixteenths of a degree) from the 32 bits; errors as of read()."""
    if not word or word & RESERVED:   # a line that nobody drives; true zeros at both ends at once are not worth believing
        raise SensorError("sensor.absent", "got 0x%08x" % word)
    if word & FAULT:
        for bit, code in FAULTS:
            if word & bit:
                raise SensorError(code, "got 0x%08x" % word)
        raise SensorError("sensor.fault", "got 0x%08x" % word)
    return _signed(word >> 18, 14), _signed(word >> 4 & 0xFFF, 12)


def _signed(value, bits):
    return value - (1 << bits) if value >> bits - 1 else value
