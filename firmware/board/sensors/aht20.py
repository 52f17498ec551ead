"""Aosong AHT20: temperature and relative humidity over I2C (data manual, version 1.1)."""

from board.sensors.crc8 import sensirion
from node.errors import SensorError

BUSY, CALIBRATED = 0x80, 0x08   # of the status byte
FULL = 1 << 20


class Aht20:
    """One AHT20 or AHT21; its address is fixed, so one a bus."""

    WAIT_MS = 80   # 5.4
    GIVES = (("temperature", "Cel", 100), ("humidity", "%RH", 100))
    ADDRESSES = (0x38,)

    def __init__(self, i2c, address=ADDRESSES[0]):
        self._i2c, self._address = i2c, address

    def start(self):
        """Begin a measurement.

        Raises:
            SensorError: `sensor.uncalibrated`: it has forgotten its calibration, as after a dip of the supply, and was told to
                load it; the next start will find it.
        """
        if not self._i2c.readfrom(self._address, 1)[0] & CALIBRATED:
            self._i2c.writeto(self._address, b"\xbe\x08\x00")
            raise SensorError("sensor.uncalibrated", "calibration is being loaded")
        self._i2c.writeto(self._address, b"\xac\x33\x00")

    def read(self):
        """Hundredths of a degree, hundredths of a percent.

        Raises:
            OSError: nobody answers. SensorError: `sensor.busy`, `sensor.crc`.
        """
        raw = self._i2c.readfrom(self._address, 7)
        if sensirion(raw[:6]) != raw[6]:
            raise SensorError("sensor.crc", "got 0x%02x behind %s" % (raw[6], raw[:6]))
        if raw[0] & BUSY:
            raise SensorError("sensor.busy", "the measurement has not ended")
        humidity = raw[1] << 12 | raw[2] << 4 | raw[3] >> 4
        ticks = (raw[3] & 0x0F) << 16 | raw[4] << 8 | raw[5]
        return temperature(ticks), (10000 * humidity + FULL // 2) // FULL


def temperature(ticks):
    """Hundredths of a degree Celsius from 20 bits (6.2)."""
    return (20000 * ticks + FULL // 2) // FULL - 5000
