"""Maxim DS18B20: temperature over 1-Wire, many on one pin (datasheet 19-7487, rev. 6)."""

from board.sensors.crc8 import maxim
from node.errors import SensorError

SKIP_ROM, CONVERT, READ = 0xCC, 0x44, 0xBE
POWER_ON = 85 * 16   # what the register holds after a reset (figure 4), with 0x0C in the byte that then is reserved
LIMITS = (-55 * 16, 125 * 16)


class Ds18b20:
    """Some sensors of one bus, which all convert at once.

    Args:
        onewire: onewire.OneWire. roms: their 8 bytes each, as onewire.scan() tells them; none: the bus's only one, whichever it is.
    """

    WAIT_MS = 750   # table 3, 12 bits
    ADDRESSES = ()

    def __init__(self, onewire, roms):
        self._onewire, self._roms = onewire, roms
        self.GIVES = tuple(("temperature%d" % number, "Cel", 16) for number in range(len(roms) or 1))

    def start(self):
        """Begin a conversion in all of them.

        Raises:
            SensorError: `sensor.absent`: nobody answers the reset. `sensor.chip`: several do, and no roms tell which is meant.
        """
        self._reset()
        if not self._roms:
            found = self._onewire.scan()
            if len(found) != 1:
                raise SensorError("sensor.chip", "got %d sensors, expected one, or roms" % len(found))
            self._roms = found
            self._reset()
        self._onewire.writebyte(SKIP_ROM)
        self._onewire.writebyte(CONVERT)

    def read(self):
        """Sixteenths of a degree of each sensor; None for one that does not answer well.

        Raises:
            SensorError: `sensor.absent`, or, when none answers well, why the last one did not: `sensor.crc`, `sensor.unmeasured`,
                `sensor.range`.
        """
        values, fault = [], None
        for rom in self._roms:
            self._reset()
            self._onewire.select_rom(rom)
            self._onewire.writebyte(READ)
            data = bytearray(9)
            self._onewire.readinto(data)
            try:
                values.append(parsed(data))
            except SensorError as error:
                values.append(None)
                fault = error
        if fault and not any(value is not None for value in values):
            raise fault
        return tuple(values)

    def _reset(self):
        if not self._onewire.reset():
            raise SensorError("sensor.absent", "nobody answers on the bus")


def parsed(data):
    """Sixteenths of a degree from the nine bytes of the scratchpad; errors as of read()."""
    if maxim(data) or not any(data):   # nine zeros pass the check: a bus that is held low
        raise SensorError("sensor.crc", "got %s" % bytes(data))
    value = data[1] << 8 | data[0]
    value -= (value & 0x8000) << 1
    if value == POWER_ON and data[6] == 0x0C:
        raise SensorError("sensor.unmeasured", "the sensor was reset and has measured nothing yet")
    if not LIMITS[0] <= value <= LIMITS[1]:
        raise SensorError("sensor.range", "got %d sixteenths" % value)
    return value
