"""Sensor chips at the level of their registers, and the buses that they hang on. Runs on CPython and MicroPython."""

from board.sensors.crc8 import maxim, sensirion

ENODEV = 19   # what machine.I2C raises when nobody acknowledges an address


class I2c:
    """The methods of machine.I2C that drivers use. `chips`: by address; one that is taken out answers no more."""

    def __init__(self, **chips):
        self.chips = {int(name[1:], 16): chip for name, chip in chips.items()}   # x44=...

    def _chip(self, address):
        if address not in self.chips:
            raise OSError(ENODEV)
        return self.chips[address]

    def writeto(self, address, data):
        self._chip(address).write(bytes(data))

    def readfrom(self, address, count):
        return self._chip(address).read(count)

    def readfrom_mem(self, address, register, count):
        chip = self._chip(address)
        chip.write(bytes((register,)))
        return chip.read(count)

    def writeto_mem(self, address, register, data):
        self._chip(address).write(bytes((register,)) + bytes(data))


class Sht:
    """SHT3x and SHT4x: one command, two words. `noise`: xored into the answer."""

    def __init__(self, command, temperature, humidity):
        self.command, self.words, self.noise = command, (temperature, humidity), 0
        self._ready = False

    def write(self, data):
        self._ready = data == self.command

    def read(self, count):
        if not self._ready:
            raise OSError(ENODEV)   # it does not acknowledge before the measurement has ended
        self._ready = False
        raw = b"".join(word.to_bytes(2, "big") + bytes((sensirion(word.to_bytes(2, "big")),)) for word in self.words)
        return bytes((raw[0] ^ self.noise,)) + raw[1:count]


class Aht:
    """AHT20. `busy`: reads for which a measurement goes on."""

    def __init__(self, temperature, humidity, calibrated=True, busy=0):
        self.ticks, self.calibrated, self.busy = (temperature, humidity), calibrated, busy

    def write(self, data):
        if data == b"\xbe\x08\x00":
            self.calibrated = True
        elif data != b"\xac\x33\x00":
            raise OSError(ENODEV)

    def read(self, count):
        status = 0x10 | (0x08 if self.calibrated else 0)
        if count > 1 and self.busy:
            self.busy -= 1
            status |= 0x80
        temperature, humidity = self.ticks
        raw = bytes((status,)) + (humidity << 20 | temperature).to_bytes(5, "big")
        return (raw + bytes((sensirion(raw),)))[:count]


class Bosch:
    """BME280 and BMP280. `sample`: the bytes that the next forced measurement puts from 0xF7 on."""

    def __init__(self, ident, calibration, sample):
        self.registers = bytearray(256)
        self.registers[0xD0] = ident
        for register, data in calibration.items():
            self.registers[register:register + len(data)] = data
        self.sample = sample
        self.reset()

    def reset(self):
        """As after a dip of its supply."""
        self.registers[0xF2:0xF6] = bytes(4)
        self.registers[0xF7:0xFF] = b"\x80\0\0\x80\0\0\x80\0"

    def write(self, data):
        self._at = data[0]
        for at in range(0, len(data) - 1, 2):
            register, value = data[at], data[at + 1]
            self.registers[register] = value
            if register == 0xF4 and value & 3 in (1, 2):
                humid = self.registers[0xF2] & 7
                self.registers[0xF7:0xFF] = self.sample[:6] + (self.sample[6:] if humid else b"\x80\0")
                self.registers[0xF4] &= 0xFC   # asleep again

    def read(self, count):
        return bytes(self.registers[self._at:self._at + count])


class Lps:
    """LPS22HB. `pressure`, `temperature`: the counts of the next measurement. `slow`: it does not end."""

    def __init__(self, pressure, temperature):
        self.pressure, self.temperature, self.slow = pressure, temperature, False
        self.registers = bytearray(128)
        self.registers[0x0F], self.registers[0x11] = 0xB1, 0x10

    def write(self, data):
        self._at = data[0]
        for i, value in enumerate(data[1:]):
            self.registers[data[0] + i] = value
        if self.registers[0x11] & 1 and not self.slow:
            self.registers[0x11] &= 0xFE
            self.registers[0x28:0x2B] = (self.pressure & 0xFFFFFF).to_bytes(3, "little")
            self.registers[0x2B:0x2D] = (self.temperature & 0xFFFF).to_bytes(2, "little")
            self.registers[0x27] |= 3

    def read(self, count):
        if self._at <= 0x2A < self._at + count:
            self.registers[0x27] &= 0xFE
        if self._at <= 0x2C < self._at + count:
            self.registers[0x27] &= 0xFD
        return bytes(self.registers[self._at:self._at + count])


class Mcp9600:
    """MCP9600. `hot`, `cold`: sixteenths of a degree. `slow`: no conversion ends. `beyond`: the input is out of its table."""

    def __init__(self, hot, cold):
        self.hot, self.cold, self.slow, self.beyond = hot, cold, False, False
        self.settings = {}

    def write(self, data):
        self._at = data[0]
        if len(data) == 2:
            self.settings[data[0]] = data[1]

    def read(self, count):
        status = (0 if self.slow else 0x40) | (0x10 if self.beyond else 0)
        words = {0: (self.hot & 0xFFFF).to_bytes(2, "big"), 2: (self.cold & 0xFFFF).to_bytes(2, "big"), 4: bytes((status,)),
                 0x20: b"\x40\x12"}
        return words[self._at][:count]


class Ads:
    """ADS1115. `volts`: at each input. `slow`: reads of its configuration for which a conversion goes on."""

    FULL_SCALE = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256)

    def __init__(self, *volts, slow=0):
        self.volts, self.slow = volts, slow
        self._registers = {0: 0, 1: 0x8583}
        self._left = 0

    def write(self, data):
        self._at = data[0]
        if len(data) == 3:
            word = data[1] << 8 | data[2]
            self._registers[self._at] = word
            if word & 0x8000:
                ticks = round(self.volts[(word >> 12 & 7) - 4] / self.FULL_SCALE[word >> 9 & 7] * 0x8000)
                self._registers[0] = min(max(ticks, -0x8000), 0x7FFF) & 0xFFFF
                self._left = self.slow

    def read(self, count):
        word = self._registers[self._at]
        if self._at == 1:
            word = word & 0x7FFF | (0x8000 if not self._left else 0)
            self._left = max(self._left - 1, 0)
        return word.to_bytes(2, "big")[:count]


class Spi:
    """A bus, and its one chip's select pin: pass `spi.cs` as that. `chip` None: nobody drives the line."""

    def __init__(self, chip):
        self.chip, self.selected = chip, False

    def cs(self, level):
        self.selected = not level

    def readinto(self, data):
        self.write_readinto(bytes(len(data)), data)

    def write_readinto(self, sent, data):
        answer = self.chip(bytes(sent)) if self.chip and self.selected else b"\xff" * len(data)
        data[:] = answer


def mcp3208(*ticks):
    """An MCP3208 with these conversions, for Spi."""
    def answer(sent):
        if not sent[0] & 0x04:   # no start bit
            return b"\xff" * len(sent)
        number = (sent[0] & 1) << 2 | sent[1] >> 6
        assert sent[0] & 0x02, "differential"
        return bytes((0xFF, 0xE0 | ticks[number] >> 8, ticks[number] & 0xFF))
    return answer


class OneWire:
    """The methods of onewire.OneWire that drivers use, over DS18B20s. `sensors`: sixteenths of a degree by rom."""

    def __init__(self, sensors):
        self.sensors = sensors
        self.noise = 0   # xored into the first byte that is read
        self._converted = {}
        self._state = ""
        self._rom = None

    def reset(self):
        self._state, self._rom = "rom", None
        return bool(self.sensors)

    def scan(self):
        return list(self.sensors)

    def select_rom(self, rom):
        self._state, self._rom = "command", bytes(rom)

    def writebyte(self, byte):
        if self._state == "rom" and byte == 0xCC:
            self._state = "command"
        elif self._state == "command" and byte == 0x44:
            self._converted.update(self.sensors)
        elif self._state == "command" and byte == 0xBE and self._rom:
            self._state = "data"

    def readinto(self, data):
        if self._state != "data" or self._rom not in self.sensors:
            data[:] = b"\xff" * len(data)
            return
        value = self._converted.get(self._rom)
        raw = (85 * 16 if value is None else value & 0xFFFF).to_bytes(2, "little") + b"\x4b\x46\x7f\xff"
        raw += bytes((0x0C if value is None else 0x10 - (value & 0xF), 0x10))
        raw += bytes((maxim(raw),))
        data[:] = bytes((raw[0] ^ self.noise,)) + raw[1:len(data)]
