"""The voltage of a pin as a source."""

TIMES = 5   # the median of these: single conversions of the ESP32's ADC scatter by tens of millivolts
UV = 1_000_000   # microvolts in a volt


class Adc:
    """The voltage on a pin, calibrated by the chip's fuses. On the classic ESP32 only pins 32 to 39 read while the radio is on."""

    lead_ms = 0

    def __init__(self, machine, pin, place, scale):
        self._machine, self._pin, self._scale = machine, pin, scale
        self.channels = (place,)
        self._adc = None

    def start(self):
        if self._adc is None:
            machine = self._machine
            self._adc = machine.ADC(machine.Pin(self._pin), atten=machine.ADC.ATTN_11DB)

    def read(self):
        return [self._scale.steps(sorted(self._adc.read_uv() for _ in range(TIMES))[TIMES // 2])]

    def recover(self):
        self._adc = None
