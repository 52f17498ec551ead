"""A sensor chip as a source, and the buses that chips hang on: I2C, SPI and 1-Wire.

Which chip hangs where is the configuration's; what is read and when is the driver's and the sampler's.
"""

from board.sensors.bus import Bus
from node.app.picks import row
from node.errors import SensorError

CLOCKS = 9       # of a byte and its acknowledgement: a chip that was cut off within one lets go at its end (UM10204, 3.1.16)
HALF_US = 5      # of a clock at 100 kHz
SLACK_MS = 1     # ticks are whole milliseconds: what takes 9 may look over after 8


class I2c(Bus):
    """Freed before it is opened: a chip that was cut off in the middle of a byte, by our reset or by a glitch, holds SDA low."""

    def __init__(self, machine, raw, sleep_us):
        super().__init__(machine, raw)
        self._sleep_us = sleep_us

    def _open(self, machine, raw):
        _free(machine, raw["scl"], raw["sda"], self._sleep_us)
        return machine.I2C(raw["id"], scl=machine.Pin(raw["scl"]), sda=machine.Pin(raw["sda"]), freq=raw["hz"])


class Spi(Bus):
    """`selects`: the pins of all chips on it, which stay out of each other's way from the start."""

    def __init__(self, machine, raw):
        super().__init__(machine, raw)
        self.selects = {}

    def select(self, number):
        """A chip's own pin.

        Raises:
            SensorError: `sensor.pin`: it cannot be an output.
        """
        pin = self.selects[number]
        if pin is None:
            raise SensorError("sensor.pin", "pin %d cannot be an output" % number)
        return pin

    def _open(self, machine, raw):
        for number in self.selects:
            try:
                self.selects[number] = machine.Pin(number, machine.Pin.OUT, value=1)
            except ValueError:   # one chip's fault, not the bus's
                continue
        pins = [machine.Pin(raw[key]) for key in ("sck", "mosi", "miso")]
        return machine.SPI(raw["id"], baudrate=raw["hz"], polarity=0, phase=0, sck=pins[0], mosi=pins[1], miso=pins[2])


class Wire(Bus):
    """1-Wire. `machine` stands for what makes a bus out of a pin's number."""

    def _open(self, machine, raw):
        return machine(raw["pin"])


class Chip:
    """The source of one chip's readings.

    Args:
        kind: the driver's class, called with the bus's handle, its own pin if `select` numbers one, and `args`.
        channels: places in the configuration. picks: (place in what the driver reads, scale) of each.
    """

    def __init__(self, bus, kind, select, args, channels, picks):
        self._bus, self._kind, self._select, self._args, self._picks = bus, kind, select, args, picks
        self.channels = channels
        self.lead_ms = kind.WAIT_MS + SLACK_MS if kind.WAIT_MS else 0
        self._handle = self._driver = None

    def start(self):
        handle = self._bus.handle()
        if self._driver is None or handle is not self._handle:
            own = () if self._select is None else (self._bus.select(self._select),)
            self._handle, self._driver = handle, self._kind(handle, *(own + self._args))
        self._driver.start()

    def read(self):
        values = self._driver.read()
        self._bus.answered = True
        return row(values, self._picks)

    def recover(self):
        self._driver = None   # what it remembers of the chip may be wrong
        self._bus.recover()


def _free(machine, scl, sda, sleep_us):
    """Clock a chip to the end of its byte, then a stop.

    Raises:
        SensorError: `sensor.stuck`: a line stays low. The bus is not opened then: the chip's driver may wait for ever, or abort.
    """
    pin = machine.Pin
    clock, data = (pin(number, pin.OPEN_DRAIN, pin.PULL_UP, value=1) for number in (scl, sda))
    for _ in range(CLOCKS):
        if data.value():
            break
        for level in (0, 1):
            clock(level)
            sleep_us(HALF_US)
    for line, level in ((clock, 0), (data, 0), (clock, 1), (data, 1)):
        line(level)
        sleep_us(HALF_US)
    if not (clock.value() and data.value()):
        raise SensorError("sensor.stuck", "pins %d and %d: a line stays low" % (scl, sda))
