"""Modbus units on a simulated line: what a UART hears of them, and when. Runs on CPython and MicroPython."""

import struct

from node.app import modbus


class Slave:
    """One unit. `registers`, `bits`: by number; one that is missing is an exception 2. `delay_ms`: before it answers."""

    def __init__(self, registers=None, bits=None, delay_ms=10):
        self.registers, self.bits, self.delay_ms = registers or {}, bits or {}, delay_ms
        self.noise = 0        # xored into the fourth byte of the answer
        self.asked = []

    def answer(self, unit, function, start, count):
        self.asked.append((function, start, count))
        store = self.bits if function < 3 else self.registers
        wanted = [store.get(i) for i in range(start, start + count)]
        if None in wanted:
            body = bytes((unit, function | 0x80, 2))
        elif function < 3:
            data = bytearray((count + 7) // 8)
            for i, level in enumerate(wanted):
                data[i >> 3] |= level << (i & 7)
            body = bytes((unit, function, len(data))) + bytes(data)
        else:
            data = b"".join(struct.pack(">H", word) for word in wanted)
            body = bytes((unit, function, len(data))) + data
        frame = bytearray(body + struct.pack("<H", modbus.crc16(body)))
        frame[3] ^= self.noise
        return bytes(frame)


class Uart:
    """machine.UART with units behind it, in the time of `sleep_ms`.

    echo: the receiver hears what is sent. de: the direction pin, or None: words sent while it is 0 reach nobody.
    """

    def __init__(self, slaves, de=None, echo=False):
        self.slaves, self.de, self.echo = slaves, de, echo
        self.now = 0
        self.coming = []      # (time, bytes)
        self.frames = []      # (time, request)
        self.settings = []
        self.de_level = 0

    def __call__(self, *args, **settings):   # stands for the class
        self.settings.append((args, settings))
        return self

    async def sleep_ms(self, ms):
        self.now += ms

    def write(self, data):
        self.frames.append((self.now, bytes(data)))
        if self.echo:
            self.coming.append((self.now, bytes(data)))
        unit, function, start, count = struct.unpack(">BBHH", data[:6])
        assert struct.unpack("<H", data[6:]) == (modbus.crc16(data[:6]),)
        if unit in self.slaves and (self.de is None or self.de_level):
            slave = self.slaves[unit]
            self.coming.append((self.now + slave.delay_ms, slave.answer(unit, function, start, count)))

    def flush(self):
        self.now += 9

    def read(self):
        heard = b"".join(data for at, data in self.coming if at <= self.now)
        self.coming = [(at, data) for at, data in self.coming if at > self.now]
        return heard or None
