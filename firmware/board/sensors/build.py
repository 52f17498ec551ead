"""The sources of a configuration: buses, drivers and scales put together. Loaded only while that is done; decides nothing.

Which driver a name means stands here as imports, so that a release carries all of them and a device loads the ones it has. What the
machine offers comes in, so that simulated buses serve as well.
"""

from board.sensors import own
from node.app.scaling import scale_of


def sources(config, machine, *, celsius, one_wire, time, wait_ms):
    """Every source of a configuration that node.config has read.

    Args:
        machine: the module, or what stands for it. celsius: gives the chip's temperature. one_wire: makes a bus of a pin's number.
        time: sleep_ms, sleep_us and ticks_ms, as the module has them. wait_ms: asyncio.sleep_ms, or what stands for it.

    Raises:
        CallerError: `board.sensors`: a channel that nothing feeds.
    """
    return _Builder(config, machine, celsius, one_wire, time, wait_ms).sources()


class _Builder:
    def __init__(self, config, machine, celsius, one_wire, time, wait_ms):
        self._config, self._machine, self._celsius, self._one_wire = config, machine, celsius, one_wire
        self._time, self._wait_ms = time, wait_ms
        self._places = {channel.name: (i, channel) for i, channel in enumerate(config.channels)}
        self._buses = {}
        self._pulses = 0

    def sources(self):
        found = [self._source(raw) for raw in self._config.sensors]
        fed = {place for source in found for place in source.channels}
        return found + own.sources(self._config, self._machine, self._celsius, fed)

    def _source(self, raw):
        name, machine = raw["driver"], self._machine
        if name == "modbus":
            return _unit(raw, self._bus(raw["bus"]), self._target)
        if name == "adc":
            from board.sensors.pins import UV, Adc
            return Adc(machine, raw["pin"], *self._target(raw, UV))
        if name == "chip":
            from board.sensors.celsius import Celsius
            return Celsius(self._celsius, *self._target(raw, 1))
        if name == "pulse":
            from board.sensors.pulses import Pulses
            self._pulses += 1
            return Pulses(machine, raw, self._pulses - 1, self._time.ticks_ms, *self._target(raw, 1))
        return self._chip(raw)

    def _target(self, raw, divisor):
        """(place of the channel, scale)."""
        place, channel = self._places[raw["channel"]]
        limits = raw.get("min"), raw.get("max")
        return place, scale_of(channel.resolution, divisor, raw.get("gain", "1"), raw.get("offset", "0"), *limits)

    def _chip(self, raw):
        from board.sensors.chip import Chip
        kind, args = self._driver(raw)
        bus, select = self._bus(raw["bus"]), raw.get("cs")
        if select is not None:
            bus.selects[select] = None
        gives = kind(None, *(args if select is None else (None,) + args)).GIVES   # a driver touches nothing before it is started
        channels, picks = [], []
        for at, (quantity, _, divisor) in enumerate(gives):
            if quantity in raw["channels"]:
                place, scale = self._target(raw["channels"][quantity], divisor)
                channels.append(place)
                picks.append((at, scale))
        return Chip(bus, kind, select, args, tuple(channels), picks)

    def _driver(self, raw):
        """(class, its arguments after the bus and its own pin)."""
        name = raw["driver"]
        numbers = tuple(sorted(int(quantity[-1]) for quantity in raw["channels"] if quantity[-1].isdigit()))
        if name == "mcp3208":
            from board.sensors.mcp3208 import Mcp3208
            return Mcp3208, (numbers, raw["reference_uv"])
        if name == "max31855":
            from board.sensors.max31855 import Max31855
            return Max31855, ()
        if name == "ds18b20":
            import binascii

            from board.sensors.ds18b20 import Ds18b20
            return Ds18b20, (tuple(binascii.unhexlify(rom) for rom in raw["roms"]),)
        address = raw["address"]
        if name == "ads1115":
            from board.sensors.ads1115 import Ads1115
            return Ads1115, (address, numbers, raw["pga"], self._time.sleep_ms)
        if name == "mcp9600":
            from board.sensors.mcp9600 import Mcp9600
            return Mcp9600, (address, raw["type"])
        if name == "sht3x":
            from board.sensors.sht import Sht3x as Kind
        elif name == "sht4x":
            from board.sensors.sht import Sht4x as Kind
        elif name == "aht20":
            from board.sensors.aht20 import Aht20 as Kind
        elif name == "bme280":
            from board.sensors.bme280 import Bme280 as Kind
        elif name == "bmp280":
            from board.sensors.bme280 import Bmp280 as Kind
        elif name == "lps22hb":
            from board.sensors.lps22hb import Lps22hb as Kind
        return Kind, (address,)

    def _bus(self, name):
        if name not in self._buses:
            self._buses[name] = self._opened(self._config.buses[name])
        return self._buses[name]

    def _opened(self, raw):
        if raw["kind"] == "uart":
            from board.sensors.line import Line
            return Line(self._machine, raw, self._wait_ms)
        from board.sensors import chip
        if raw["kind"] == "i2c":
            return chip.I2c(self._machine, raw, self._time.sleep_us)
        if raw["kind"] == "spi":
            return chip.Spi(self._machine, raw)
        return chip.Wire(self._one_wire, raw)


def _unit(raw, bus, target):
    """A Modbus unit; target: gives the place of the channel, and the scale, of a register."""
    from board.sensors.line import Block, Unit
    from node.app.modbus import KINDS
    registers = raw["registers"]
    wanted = [(each["function"], each["start"], KINDS[each["kind"]][0] if each["kind"] != "bit" else 1) for each in registers]
    blocks = {block: Block(raw["unit"], *block) for block in merged(wanted)}
    channels, picks = [], []
    for register, (function, start, count) in zip(registers, wanted):  # noqa: B905
        key = next(each for each in blocks
                   if each[0] == function and each[1] <= start and start + count <= each[1] + each[2])
        place, scale = target(register, 1)
        channels.append(place)
        orders = register["low_word_first"], register["low_byte_first"]
        picks.append((blocks[key], start - key[1], register["kind"], orders, scale))
    return Unit(bus, [blocks[key] for key in sorted(blocks)], tuple(channels), picks)


def merged(wanted):
    """Blocks that hold all that is wanted, as few as may be: what touches is asked for together.

    Args:
        wanted: (function, start, count) of each.

    Returns:
        list of (function, start, count), sorted; none of more than the protocol allows.
    """
    from node.app.modbus import COILS, DISCRETE_INPUTS, MAX_BITS, MAX_REGISTERS
    found = []
    for function, start, count in sorted(wanted):
        most = MAX_BITS if function in (COILS, DISCRETE_INPUTS) else MAX_REGISTERS
        if found and found[-1][0] == function and start <= found[-1][1] + found[-1][2]:
            begin = found[-1][1]
            end = max(start + count, begin + found[-1][2])
            if end - begin <= most:
                found[-1] = (function, begin, end - begin)
                continue
        found.append((function, start, count))
    return found
