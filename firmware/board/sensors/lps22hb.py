"""STMicroelectronics LPS22HB: absolute pressure and temperature over I2C (datasheet DocID027083, rev. 6)."""

from node.errors import SensorError

WHO_AM_I, CTRL_REG1, STATUS, PRESS_OUT_XL = 0x0F, 0x10, 0x27, 0x28
ID = 0xB1
BLOCK_UPDATE = 0x02               # CTRL_REG1: both quantities of one measurement; no data rate: power-down between measurements
ONE_SHOT, INCREMENT = 0x01, 0x10  # CTRL_REG2
BOTH_READY = 0x03                 # STATUS: pressure and temperature of a measurement that nobody has read
LIMITS = ((-4000, 8500), (260 * 4096, 1260 * 4096))   # its ranges: -40..85 Cel, 260..1260 hPa


class Lps22hb:
    """One chip. Its factory calibration is inside."""

    WAIT_MS = 20   # its fastest rate is 75 a second, 13.3 ms; half as much again for its clock; read() asks whether it has
    GIVES = (("temperature", "Cel", 100), ("pressure", "Pa", 10))
    ADDRESSES = (0x5C, 0x5D)

    def __init__(self, i2c, address=ADDRESSES[0]):
        self._i2c, self._address = i2c, address
        self._known = False

    def start(self):
        """Begin a measurement; what was measured before is read away.

        Raises:
            OSError: nobody answers. SensorError: `sensor.chip`: another chip does.
        """
        if not self._known:
            found = self._get(WHO_AM_I, 1)[0]
            if found != ID:
                raise SensorError("sensor.chip", "got id 0x%02x, expected 0x%02x" % (found, ID))
            self._known = True
        self._get(PRESS_OUT_XL, 5)
        self._i2c.writeto_mem(self._address, CTRL_REG1, bytes((BLOCK_UPDATE, INCREMENT | ONE_SHOT)))

    def read(self):
        """Hundredths of a degree, tenths of a pascal.

        Raises:
            OSError: nobody answers. SensorError: `sensor.busy`, `sensor.range`.
        """
        if self._get(STATUS, 1)[0] & BOTH_READY != BOTH_READY:
            raise SensorError("sensor.busy", "the measurement has not ended, or none was started")
        raw = self._get(PRESS_OUT_XL, 5)
        counts = int.from_bytes(raw[:3], "little")
        values = (_signed(raw[3] | raw[4] << 8, 16), _signed(counts, 24))
        for value, limits in zip(values, LIMITS):  # noqa: B905
            low, high = limits
            if not low <= value <= high:
                raise SensorError("sensor.range", "got %d, expected %d to %d" % (value, low, high))
        return values[0], decipascals(values[1])

    def _get(self, register, count):
        return self._i2c.readfrom_mem(self._address, register, count)


def decipascals(counts):
    """Tenths of a pascal from counts of 1/4096 hPa."""
    return (1000 * counts + 2048) >> 12


def _signed(value, bits):
    return value - (1 << bits) if value >> bits - 1 else value
