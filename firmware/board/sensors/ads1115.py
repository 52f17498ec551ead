"""Texas Instruments ADS1115: four single-ended inputs of 16 bits over I2C (datasheet SBAS444D)."""

from node.errors import SensorError

CONVERSION, CONFIG = 0, 1
START, SINGLE_SHOT, RATE_860, NO_COMPARATOR = 0x8000, 0x0100, 0x00E0, 0x0003
READY = 0x8000
GROUND = 4   # MUX: AINn against ground is 100b + n
FULL_SCALE_UV = (6_144_000, 4_096_000, 2_048_000, 1_024_000, 512_000, 256_000)   # table 7-1, by PGA
ENDS = (0x7FFF, 0x8000)
CONVERSION_MS = 2   # 1.16 ms at 860 a second, which may be 10 % slower (7.4)
TRIES = 3


class Ads1115:
    """Some of one chip's inputs, converted one after another.

    Args:
        inputs: numbers 0 to 3. gain: PGA 0 to 5; 1 is 4.096 V. sleep_ms: waits, 2 ms an input; needed to read.
    """

    WAIT_MS = CONVERSION_MS   # of the first input
    ADDRESSES = (0x48, 0x49, 0x4A, 0x4B)

    def __init__(self, i2c, address=ADDRESSES[0], inputs=(0,), gain=1, sleep_ms=None):
        self._i2c, self._address, self._inputs, self._gain, self._sleep_ms = i2c, address, inputs, gain, sleep_ms
        self.GIVES = tuple(("ain%d" % number, "V", 1_000_000) for number in inputs)

    def start(self):
        self._convert(self._inputs[0])

    def read(self):
        """Microvolts of each input; None where one is beyond its range.

        Raises:
            OSError: nobody answers. SensorError: `sensor.busy`.
        """
        values = []
        for number in self._inputs:
            if values:
                self._convert(number)
                self._sleep_ms(CONVERSION_MS)
            values.append(self._result())
        return tuple(values)

    def _convert(self, number):
        word = START | (GROUND + number) << 12 | self._gain << 9 | SINGLE_SHOT | RATE_860 | NO_COMPARATOR
        self._i2c.writeto_mem(self._address, CONFIG, word.to_bytes(2, "big"))

    def _result(self):
        for _ in range(TRIES):
            if self._word(CONFIG) & READY:
                ticks = self._word(CONVERSION)
                return None if ticks in ENDS else microvolts(ticks, self._gain)
            self._sleep_ms(1)
        raise SensorError("sensor.busy", "no conversion within %d ms" % (CONVERSION_MS + TRIES))

    def _word(self, register):
        return int.from_bytes(self._i2c.readfrom_mem(self._address, register, 2), "big")


def microvolts(ticks, gain):
    """Microvolts from 16 bits in two's complement."""
    signed = ticks - 0x10000 if ticks & 0x8000 else ticks
    return signed * FULL_SCALE_UV[gain] + (1 << 14) >> 15
