"""The machine module of a simulated chip: pins, buses, ADC, counters. Runs on CPython and MicroPython."""

from tests.sim.chips import I2c, OneWire, Spi


class Pin:
    """One of a machine's pins; each number has one level, and open-drain lines may be held low by others (`Machine.held`)."""

    IN, OUT, OPEN_DRAIN, PULL_UP, PULL_DOWN, IRQ_RISING, IRQ_FALLING = range(7)

    def __init__(self, machine, number, value):
        self.machine, self.number, self.handler = machine, number, None
        if value is not None:
            self(value)

    def __call__(self, level):
        machine = self.machine
        if level and not machine.levels.get(self.number, 1):
            machine.edges.append(self.number)
            for line in machine.held:   # a chip lets go of SDA at the end of its byte
                line["clocks"] -= line["scl"] == self.number
        machine.levels[self.number] = level
        if self.number in machine.watched:
            machine.watched[self.number](level)
        spi = machine.chips.get(("cs", self.number))
        if spi is not None:
            spi.cs(level)

    def value(self):
        if self.machine.is_stuck(self.number):
            return 0
        return self.machine.levels.get(self.number, 1)

    def irq(self, handler, edge):
        self.machine.handlers[self.number] = (handler, edge)

    def pulse(self):
        handler, _ = self.machine.handlers[self.number]
        handler(self)


class Adc:
    ATTN_11DB = 3

    def __init__(self, machine, pin):
        self.machine, self.pin = machine, pin

    def read_uv(self):
        level = self.machine.volts[self.pin.number]
        if isinstance(level, Exception):
            raise level
        return level.pop(0) if isinstance(level, list) else level


class Counter:
    RISING, FALLING = 1, 2

    def __init__(self, machine, pin, edge):
        self.machine, self.pin, self.edge, self.n = machine, pin, edge, 0
        machine.counters[pin.number] = self

    def value(self):
        return self.n


class Machine:
    """Stands for the module. `chips`: by ("i2c", id, address), ("cs", pin) of an Spi; `opened`: every bus in order.

    held: {"scl", "sda", "clocks"}: lines that a chip holds low until so many clocks have come.
    """

    def __init__(self, counter=False, **volts):
        self.chips, self.levels, self.edges, self.held, self.handlers, self.counters = {}, {}, [], [], {}, {}
        self.opened, self.watched = [], {}
        self.volts = {int(name[1:]): volt for name, volt in volts.items()}   # p34=...
        self.Pin, self.ADC = _Kind(self._pin, Pin), _Kind(self._adc, Adc)
        if counter:
            self.Counter = _Kind(self._counter, Counter)

    def _pin(self, number, mode=None, pull=None, value=None):
        if mode == Pin.OUT and number >= 34:   # of the classic ESP32
            raise ValueError("pin can only be input")
        return Pin(self, number, value)

    def _adc(self, pin, atten):
        return Adc(self, pin)

    def _counter(self, number, pin, edge):
        return Counter(self, pin, edge)

    def I2C(self, number, scl, sda, freq):  # noqa: N802
        if self.is_stuck(sda.number):
            raise AssertionError("the chip's driver waits for ever on a stuck bus")
        self.opened.append(("i2c", number, freq))
        bus = _I2cBus()
        bus.machine, bus.sda = self, sda.number
        bus.chips = {key[2]: chip for key, chip in self.chips.items() if key[:2] == ("i2c", number)}
        return bus

    def SPI(self, number, baudrate, polarity, phase, sck, mosi, miso):  # noqa: N802
        self.opened.append(("spi", number, baudrate))
        return _SpiBus(self)

    def watch(self, pin, told):
        """Call with each level that is given to a pin."""
        self.watched[pin] = told

    def is_stuck(self, pin):
        return any(line["sda"] == pin and line["clocks"] > 0 for line in self.held)

    def one_wire(self, pin):
        self.opened.append(("onewire", pin))
        return OneWire(self.chips[("onewire", pin)])


class _I2cBus(I2c):
    """Nobody is heard on a stuck bus."""

    def _chip(self, address):
        if self.machine.is_stuck(self.sda):
            raise OSError(110)   # ETIMEDOUT
        return I2c._chip(self, address)


class _Kind:
    """A class of the module: called with the machine in it, its constants beside."""

    def __init__(self, make, kind):
        self._make = make
        for name in dir(kind):
            if name.upper() == name and name[0] != "_":
                setattr(self, name, getattr(kind, name))

    def __call__(self, *args, **more):
        return self._make(*args, **more)


class _SpiBus:
    """Whoever is selected answers; when several are, a 0 of one is heard over a 1 of another."""

    def __init__(self, machine):
        self.machine = machine

    def readinto(self, data):
        self.write_readinto(bytes(len(data)), data)

    def write_readinto(self, sent, data):
        selected = [spi for key, spi in self.machine.chips.items() if key[0] == "cs" and spi.selected]
        heard = bytearray(b"\xff" * len(data))
        for spi in selected or [Spi(None)]:
            one = bytearray(len(data))
            spi.write_readinto(bytes(sent), one)
            for i, byte in enumerate(one):
                heard[i] &= byte
        data[:] = heard


class Time:
    """What the time module offers to drivers; nobody waits."""

    now = 0

    def ticks_ms(self):
        return self.now

    def sleep_ms(self, ms):
        self.now += ms

    def sleep_us(self, us):
        pass
