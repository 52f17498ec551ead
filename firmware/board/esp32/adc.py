"""The Sensors port on what the chip measures by itself: channel `adc34` is the voltage on pin 34, calibrated, in volts, and
`temp_chip` the temperature of the chip in degrees Celsius.

Only pins of ADC1 (32 to 39) read while the radio is on; the classic ESP32's own temperature is uncalibrated, good for changes.
"""

import esp32
import machine

from node.errors import CallerError

PREFIX = "adc"
CHIP = "temp_chip"
TIMES = 5   # the median of these: single conversions of this ADC scatter by tens of millivolts
UV = 1_000_000   # microvolts in a volt


class AdcSensors:
    """The configured channels.

    Args:
        channels: (name, resolution in the channel's unit, a decimal).
    """

    def __init__(self, channels):
        self._wanted = []
        for name, resolution in channels:
            pin = name[len(PREFIX):]
            if name != CHIP and not (name.startswith(PREFIX) and pin.isdigit()):
                raise CallerError("board.sensors", "channel %s: expected adc<pin> or temp_chip, no other driver is here" % name)
            self._wanted.append((None if name == CHIP else int(pin), float(resolution)))
        self.recover()

    def read(self):
        return [round(measure() / step) for measure, step in self._inputs]

    def recover(self):
        self._inputs = [(_celsius, step) if pin is None else (_voltage(pin), step * UV) for pin, step in self._wanted]


def _voltage(pin):
    adc = machine.ADC(machine.Pin(pin), atten=machine.ADC.ATTN_11DB)
    return lambda: sorted(adc.read_uv() for _ in range(TIMES))[TIMES // 2]


def _celsius():
    if hasattr(esp32, "mcu_temperature"):   # all but the classic ESP32
        return esp32.mcu_temperature()
    return (esp32.raw_temperature() - 32) / 1.8
