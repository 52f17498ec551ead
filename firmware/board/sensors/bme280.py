"""Bosch BME280 and BMP280: temperature, pressure and, of the first, relative humidity over I2C.

Forced measurements with single oversampling and no filter: each start writes all settings, so a chip that was reset meanwhile
measures as before. The compensation is the datasheets' in integers (BME280 rev. 1.24, 4.2.3; BMP280 rev. 1.26, 3.11.3).
"""

import struct

from node.errors import SensorError

ID, RESET_VALUE = 0xD0, 0x80000   # 20 bits of a quantity that was not measured
CTRL_HUM, STATUS, CTRL_MEAS, DATA = 0xF2, 0xF3, 0xF4, 0xF7
MEASURING = 0x08
ONCE = 0b001_001_01   # temperature and pressure once, forced mode
BME280, BMP280 = 0x60, 0x58
LIMITS = ((-4000, 8500), (300_000, 1_100_000), (0, 10_000))   # table 1: -40..85 Cel, 300..1100 hPa, 0..100 %


class Bmp280:
    """BMP280. Its calibration is read at first use and kept: it is the chip's own, from the factory."""

    WAIT_MS = 10   # 9.1: 9.3 ms at most with humidity, 6.4 without
    GIVES = (("temperature", "Cel", 100), ("pressure", "Pa", 10))
    ADDRESSES = (0x76, 0x77)
    _ID = BMP280
    _BYTES = 6

    def __init__(self, i2c, address=ADDRESSES[0]):
        self._i2c, self._address = i2c, address
        self._cal = None

    def start(self):
        """Begin a measurement.

        Raises:
            OSError: nobody answers. SensorError: `sensor.chip`: another chip does.
        """
        if self._cal is None:
            found = self._get(ID, 1)[0]
            if found != self._ID:
                raise SensorError("sensor.chip", "got id 0x%02x, expected 0x%02x" % (found, self._ID))
            self._cal = self._calibration()
        self._settings()

    def read(self):
        """Hundredths of a degree, tenths of a pascal and, of the BME280, hundredths of a percent.

        Raises:
            OSError: nobody answers. SensorError: `sensor.busy`, `sensor.unmeasured`, `sensor.range`.
        """
        if self._cal is None or self._get(STATUS, 1)[0] & MEASURING:
            raise SensorError("sensor.busy", "the measurement has not ended, or none was started")
        values = self._values(self._get(DATA, self._BYTES))
        for i, value in enumerate(values):
            low, high = LIMITS[i]
            if not low <= value <= high:
                raise SensorError("sensor.range", "got %d, expected %d to %d" % (value, low, high))
        return values

    def _settings(self):
        self._put(CTRL_MEAS, ONCE)

    def _calibration(self):
        return struct.unpack("<HhhHhhhhhhhh", self._get(0x88, 24))

    def _values(self, raw):
        pressure, ticks = (raw[at] << 12 | raw[at + 1] << 4 | raw[at + 2] >> 4 for at in (0, 3))
        if RESET_VALUE in (pressure, ticks):
            raise SensorError("sensor.unmeasured", "the chip was reset and has measured nothing yet")
        fine = fine_temperature(self._cal, ticks)
        return (fine * 5 + 128) >> 8, (compensated_pressure(self._cal, fine, pressure) * 10 + 128) >> 8

    def _get(self, register, count):
        return self._i2c.readfrom_mem(self._address, register, count)

    def _put(self, register, value):
        self._i2c.writeto_mem(self._address, register, bytes((value,)))


class Bme280(Bmp280):
    """BME280."""

    GIVES = Bmp280.GIVES + (("humidity", "%RH", 100),)
    _ID = BME280
    _BYTES = 8

    def _settings(self):
        self._put(CTRL_HUM, 1)   # takes effect with the write to CTRL_MEAS
        self._put(CTRL_MEAS, ONCE)

    def _calibration(self):
        h1 = self._get(0xA1, 1)[0]
        h2, h3, e4, e5, e6, h6 = struct.unpack("<hBbBbb", self._get(0xE1, 7))
        return struct.unpack("<HhhHhhhhhhhh", self._get(0x88, 24)) + (h1, h2, h3, e4 << 4 | e5 & 0x0F, e6 << 4 | e5 >> 4, h6)

    def _values(self, raw):
        ticks = raw[6] << 8 | raw[7]
        if ticks == RESET_VALUE >> 4:
            raise SensorError("sensor.unmeasured", "humidity is not measured")
        fine = fine_temperature(self._cal, raw[3] << 12 | raw[4] << 4 | raw[5] >> 4)
        return super()._values(raw) + ((compensated_humidity(self._cal, fine, ticks) * 100 + 512) >> 10,)


def fine_temperature(cal, ticks):
    """The datasheets' t_fine: 5120 to a degree Celsius."""
    t1, t2, t3 = cal[:3]
    linear = ((ticks >> 3) - (t1 << 1)) * t2 >> 11
    off = (ticks >> 4) - t1
    return linear + ((off * off >> 12) * t3 >> 14)


def compensated_pressure(cal, fine, ticks):
    """Pascals in 1/256; 0 where the formula would divide by 0."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = cal[3:12]
    off = fine - 128000
    shift = off * off * p6 + (off * p5 << 17) + (p4 << 35)
    scale = ((1 << 47) + (off * off * p3 >> 8) + (off * p2 << 12)) * p1 >> 33
    if not scale:
        return 0
    p = ((1048576 - ticks << 31) - shift) * 3125 // scale
    return (p + (p9 * (p >> 13) * (p >> 13) >> 25) + (p8 * p >> 19) >> 8) + (p7 << 4)


def compensated_humidity(cal, fine, ticks):
    """Percent in 1/1024, 0 to 100 %."""
    h1, h2, h3, h4, h5, h6 = cal[12:18]
    off = fine - 76800
    line = (ticks << 14) - (h4 << 20) - h5 * off + 16384 >> 15
    slope = ((off * h6 >> 10) * ((off * h3 >> 11) + 32768) >> 10) + 2097152
    wet = line * (slope * h2 + 8192 >> 14)
    wet -= ((wet >> 15) * (wet >> 15) >> 7) * h1 >> 4
    return min(max(wet, 0), 419430400) >> 12
