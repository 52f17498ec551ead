"""Microchip MCP9600: a thermocouple over I2C, its cold junction inside (datasheet DS20005426). Its bus runs at 100 kHz at most."""

from node.errors import SensorError

HOT, COLD, STATUS, SENSOR, DEVICE, ID = 0x00, 0x02, 0x04, 0x05, 0x06, 0x20
IDS = (0x40, 0x41)            # MCP9600, MCP9601
UPDATED, BEYOND = 0x40, 0x10  # STATUS: a hot junction that nobody has read; its voltage is outside the type's table
FAST = 0xA0                   # DEVICE: cold junction in steps of 0.25, converter of 16 bits: 80 and 63 ms instead of 320 and 250
TYPES = "KJTNSEBR"            # SENSOR, bits 6 to 4
LIMITS = (-270 * 16, 1820 * 16)   # from type K's lower end to type B's upper one


class Mcp9600:
    """One chip; it measures always.

    Args:
        kind: the thermocouple's type, one of TYPES.
    """

    WAIT_MS = 300   # from a status that is cleared to a value that was begun after it: two conversions of both inputs
    GIVES = (("thermocouple", "Cel", 16), ("junction", "Cel", 16))
    ADDRESSES = (0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67)

    def __init__(self, i2c, address=ADDRESSES[0], kind="K"):
        self._i2c, self._address, self._kind = i2c, address, kind

    def start(self):
        """Write the settings, and clear the mark of what was measured before.

        Raises:
            OSError: nobody answers. SensorError: `sensor.chip`: another chip does.
        """
        found = self._get(ID, 2)[0]
        if found not in IDS:
            raise SensorError("sensor.chip", "got id 0x%02x, expected 0x40 or 0x41" % found)
        self._put(SENSOR, TYPES.index(self._kind) << 4)
        self._put(DEVICE, FAST)
        self._put(STATUS, 0)

    def read(self):
        """Sixteenths of a degree at the thermocouple's tip and at the chip.

        Raises:
            OSError: nobody answers. SensorError: `sensor.busy`, `sensor.range`.
        """
        status = self._get(STATUS, 1)[0]
        if not status & UPDATED:
            raise SensorError("sensor.busy", "nothing was measured since the start")
        values = _signed(self._get(HOT, 2)), _signed(self._get(COLD, 2))
        if status & BEYOND or not LIMITS[0] <= values[0] <= LIMITS[1]:
            raise SensorError("sensor.range", "got %d sixteenths, status 0x%02x" % (values[0], status))
        return values

    def _get(self, register, count):
        return self._i2c.readfrom_mem(self._address, register, count)

    def _put(self, register, value):
        self._i2c.writeto_mem(self._address, register, bytes((value,)))


def _signed(raw):
    value = raw[0] << 8 | raw[1]
    return value - 0x10000 if value & 0x8000 else value
