"""Sensirion SHT3x and SHT4x: temperature and relative humidity over I2C, each word with its own CRC."""

from board.sensors.crc8 import sensirion
from node.errors import SensorError

WORD_BYTES = 3   # two of data, one CRC


class Sht4x:
    """SHT40, SHT41, SHT45 (datasheet rev. 6.5): single measurements of high repeatability."""

    WAIT_MS = 9      # table 5: 8.3 ms at most
    GIVES = (("temperature", "Cel", 100), ("humidity", "%RH", 100))
    ADDRESSES = (0x44, 0x45, 0x46)
    _MEASURE = b"\xfd"

    def __init__(self, i2c, address=ADDRESSES[0]):
        self._i2c, self._address = i2c, address

    def start(self):
        self._i2c.writeto(self._address, self._MEASURE)

    def read(self):
        """Hundredths of a degree, hundredths of a percent.

        Raises:
            OSError: nobody answers, or the measurement has not ended. SensorError: `sensor.crc`.
        """
        raw = self._i2c.readfrom(self._address, 2 * WORD_BYTES)
        return temperature(_word(raw, 0)), self._humidity(_word(raw, WORD_BYTES))

    @staticmethod
    def _humidity(ticks):
        return min(max(_scaled(12500, ticks) - 600, 0), 10000)   # 4.6: the line reaches beyond both ends, to be cropped


class Sht3x(Sht4x):
    """SHT30, SHT31, SHT35 (datasheet version 7): the same with other commands and another line for humidity."""

    WAIT_MS = 16     # table 4: 15.5 ms at most
    ADDRESSES = (0x44, 0x45)
    _MEASURE = b"\x24\x00"   # table 9: high repeatability, the clock is not stretched

    @staticmethod
    def _humidity(ticks):
        return _scaled(10000, ticks)


def temperature(ticks):
    """Hundredths of a degree Celsius from 16 bits; both families."""
    return _scaled(17500, ticks) - 4500


def _scaled(span, ticks):
    return (span * ticks + 32767) // 65535


def _word(raw, at):
    if sensirion(raw[at:at + 2]) != raw[at + 2]:
        raise SensorError("sensor.crc", "got 0x%02x behind %s" % (raw[at + 2], raw[at:at + 2]))
    return raw[at] << 8 | raw[at + 1]
