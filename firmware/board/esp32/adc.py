"""The Sensors port on the chip's own analogue inputs: a channel named `adc34` is pin 34, calibrated, in volts."""

import machine

from node.errors import CallerError

PREFIX = "adc"
TIMES = 5   # the median of these: single conversions of this ADC scatter by tens of millivolts


class AdcSensors:
    """Analogue inputs.

    Args:
        channels: (name, resolution in volts, a decimal).
    """

    def __init__(self, channels):
        for name, _ in channels:
            if not (name.startswith(PREFIX) and name[len(PREFIX):].isdigit()):
                raise CallerError("board.sensors", "channel %s: expected adc<pin>, no other driver is on this board" % name)
        self._pins = [(int(name[len(PREFIX):]), float(resolution) * 1_000_000) for name, resolution in channels]
        self.recover()

    def read(self):
        return [round(self._median_uv(adc) / step_uv) for adc, step_uv in self._inputs]

    def recover(self):
        self._inputs = [(machine.ADC(machine.Pin(pin), atten=machine.ADC.ATTN_11DB), step_uv) for pin, step_uv in self._pins]

    def _median_uv(self, adc):
        return sorted(adc.read_uv() for _ in range(TIMES))[TIMES // 2]
