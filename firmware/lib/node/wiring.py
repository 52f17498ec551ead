"""What the configuration may say of buses and sensors: which chip hangs where, and which of its values is which channel.

Checks everything and fills in the defaults, so that whoever builds the drivers reads plain keys. Knows no pins of a particular
chip: a pin that cannot do it is a sensor that fails. Unknown keys are left alone. Loaded only while a configuration is read.
"""

from node.app.scaling import ratio
from node.catalog import driver
from node.errors import CallerError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any
    from node.settings import Channel

MAX_BUSES, MAX_SENSORS = 8, 16
MAX_PIN = 48            # of an ESP32-S3
MAX_PIN_NAME = 16       # characters
MAX_DECIMAL = 16        # characters
DECIMAL = 'a decimal text such as "0.1"'


def check(raw: "dict[str, Any]", channels: "list[Channel]") -> None:
    """Check a configuration's `buses` and `sensors`, and fill in what they leave out.

    Args:
        channels: the configuration's, in order.

    Raises:
        CallerError: `config.value`, naming the key, what it holds and what it should.
    """
    _Wiring(channels).check(raw)


class _Wiring:
    def __init__(self, channels: "list[Channel]") -> None:
        self._channels = {channel.name: channel for channel in channels}
        self._fed: dict[str, str] = {}     # channel: the key that feeds it
        self._pins: dict[int | str, str] = {}    # pin: the key that has it
        self._ids: dict[tuple[str, int], str] = {}     # (kind, number) of a bus: its key
        self._seats: dict[tuple[str, Any], str] = {}   # (bus, place on it): the sensor there

    def check(self, raw: "dict[str, Any]") -> None:
        buses = raw.setdefault("buses", {})
        if not isinstance(buses, dict) or len(buses) > MAX_BUSES:
            raise _error("buses", buses, "an object of at most %d buses" % MAX_BUSES)
        for name in sorted(buses):   # MicroPython's dicts are unordered
            self._bus(buses[name], "buses." + name)
        for i, sensor in enumerate(_list(raw, "sensors", "", MAX_SENSORS)):
            self._sensor(sensor, "sensors[%d]" % i, buses)
        if raw["sensors"]:
            for name in self._channels:
                if name not in self._fed and name != "temp_chip" and not (name[:3] == "adc" and name[3:].isdigit()):
                    raise _error("sensors", "none for channel " + name, "one that feeds it")

    def _bus(self, raw: "dict[str, Any]", where: str) -> None:
        _object(raw, where)
        kind = _choice(raw, where, "kind", ("i2c", "spi", "uart", "onewire"))
        if kind == "onewire":
            self._pin(raw, where, "pin")
            return
        first = 0 if kind == "i2c" else 1   # the console has UART 0, the flash SPI 0
        number = _int(raw, where, "id", first, first + 1)
        _once(self._ids, (kind, number), where + ".id", number)
        for key in {"i2c": ("scl", "sda"), "spi": ("sck", "mosi", "miso"), "uart": ("tx", "rx")}[kind]:
            self._pin(raw, where, key)
        if kind == "uart":
            if raw.setdefault("de") is not None:
                self._pin(raw, where, "de")
            _int(raw, where, "baud", 1200, 115_200, 9600)
            _choice(raw, where, "parity", ("none", "even", "odd"), "none")
            _int(raw, where, "stop", 1, 2, 1)
            _int(raw, where, "timeout_ms", 10, 2000, 200)
        else:
            _int(raw, where, "hz", 10_000, 400_000 if kind == "i2c" else 5_000_000, 100_000 if kind == "i2c" else 1_000_000)

    def _sensor(self, raw: "dict[str, Any]", where: str, buses: "dict[str, Any]") -> None:
        _object(raw, where)
        name = raw.get("driver")
        found = driver(name)
        if found is None:
            raise _error(where + ".driver", name, "a driver of node.catalog")
        kind, addresses, gives = found
        if kind in ("pin", "none"):
            if kind == "pin":
                self._pin(raw, where, "pin")
            if name == "pulse":
                _choice(raw, where, "edge", ("falling", "rising"), "falling")
                _choice(raw, where, "pull", ("up", "down", "none"), "up")
                _int(raw, where, "debounce_ms", 0, 1000, 0)
            for unit in gives.values():   # one
                self._target(raw, where, unit)
            return
        bus = _choice(raw, where, "bus", tuple(each for each in buses if buses[each]["kind"] == kind))
        if kind == "uart":
            seat = _int(raw, where, "unit", 1, 247)
            for i, register in enumerate(_list(raw, "registers", where, len(self._channels))):
                self._register(register, "%s.registers[%d]" % (where, i))
            if not raw["registers"]:
                raise _error(where + ".registers", [], "at least one")
        else:
            seat = self._chip(raw, where, kind, addresses)
            self._quantities(raw, where, gives)
        _once(self._seats, (bus, seat), where + ".bus", bus)
        _options(raw, where, name)

    def _chip(self, raw: "dict[str, Any]", where: str, kind: str, addresses: list[int]) -> "Any":
        """Where a chip sits on its bus."""
        if kind == "spi":
            self._pin(raw, where, "cs")
            return raw["cs"]
        if kind == "onewire":
            roms = _list(raw, "roms", where, 8)
            for i, rom in enumerate(roms):
                if not isinstance(rom, str) or len(rom) != 16 or any(char not in "0123456789abcdef" for char in rom):
                    raise _error("%s.roms[%d]" % (where, i), rom, "16 hex digits")
            return 0
        address = raw.setdefault("address", addresses[0])
        if address not in addresses:
            raise _error(where + ".address", address, "one of %s" % addresses)
        return int(address)

    def _quantities(self, raw: "dict[str, Any]", where: str, gives: dict[str, str]) -> None:
        where += ".channels"
        chosen = _object(raw.get("channels"), where)
        if not chosen:
            raise _error(where, chosen, "at least one quantity")
        most = len(raw["roms"]) or 1 if "roms" in raw else len(gives)
        for quantity in sorted(chosen):
            if quantity not in gives or (quantity[:-1] == "temperature" and int(quantity[-1]) >= most):
                raise _error(where, quantity, "one of " + ", ".join(sorted(gives)[:most]))
            if isinstance(chosen[quantity], str):
                chosen[quantity] = {"channel": chosen[quantity]}
            self._target(_object(chosen[quantity], where + "." + quantity), where + "." + quantity, gives[quantity])

    def _register(self, raw: "dict[str, Any]", where: str) -> None:
        from node.app.modbus import KINDS
        _object(raw, where)
        bits = _int(raw, where, "function", 1, 4) < 3
        kind = _choice(raw, where, "kind", ("bit",) if bits else tuple(sorted(KINDS)), "bit" if bits else "u16")
        _int(raw, where, "start", 0, 0x10000 - (1 if bits else KINDS[kind][0]))
        for key in ("low_word_first", "low_byte_first"):
            if not isinstance(raw.setdefault(key, False), bool):
                raise _error(where + "." + key, raw[key], "true or false")
        self._target(raw, where, "")

    def _target(self, raw: "dict[str, Any]", where: str, unit: str) -> None:
        """The channel that a value goes to, and what is done to it before."""
        name = _choice(raw, where, "channel", tuple(self._channels))
        _once(self._fed, name, where + ".channel", name)
        channel = self._channels[name]
        if not _decimal(channel.resolution):
            raise _error("resolution of " + name, channel.resolution, DECIMAL)
        for key in ("gain", "offset", "min", "max"):
            if key in raw and not _decimal(raw[key]):
                raise _error(where + "." + key, raw[key], DECIMAL)
        if "min" in raw and "max" in raw and float(raw["min"]) >= float(raw["max"]):
            raise _error(where + ".min", raw["min"], "less than max, " + raw["max"])
        if unit and "gain" not in raw and channel.unit != unit:
            raise _error(where + ".channel", "unit " + channel.unit, "%s, or a gain that makes it another" % unit)

    def _pin(self, raw: "dict[str, Any]", where: str, key: str) -> None:
        """A number, or a name of the board's profile, which the board puts a number to."""
        name = raw.get(key)
        if not isinstance(name, str) or not "a" <= name[:1] <= "z" or len(name) > MAX_PIN_NAME:
            _int(raw, where, key, 0, MAX_PIN)
        _once(self._pins, raw[key], where + "." + key, raw[key])


def _options(raw: "dict[str, Any]", where: str, name: object) -> None:
    if name == "ads1115":
        _int(raw, where, "pga", 0, 5, 1)
    elif name == "mcp3208":
        _int(raw, where, "reference_uv", 500_000, 5_500_000, 3_300_000)
    elif name == "mcp9600":
        _choice(raw, where, "type", ("K", "J", "T", "N", "S", "E", "B", "R"), "K")


def _error(key: str, got: object, expected: str) -> CallerError:
    said = type(got).__name__ if isinstance(got, (list, dict)) else repr(got)[:60]   # repr() needs a stack as deep as they nest
    return CallerError("config.value", "%s: got %s, expected %s" % (key, said, expected))


def _object(raw: object, where: str) -> "dict[str, Any]":
    if not isinstance(raw, dict):
        raise _error(where, raw, "an object")
    return raw


def _list(raw: "dict[str, Any]", key: str, where: str, most: int) -> "list[Any]":
    value = raw.setdefault(key, [])
    if not isinstance(value, list) or len(value) > most:
        raise _error(where + "." + key if where else key, value, "a list of at most %d" % most)
    return value


def _int(raw: "dict[str, Any]", where: str, key: str, low: int, high: int, default: int | None = None) -> int:
    value = raw.setdefault(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _error(where + "." + key, value, "%d to %d" % (low, high))
    return value


def _choice(raw: "dict[str, Any]", where: str, key: str, known: "tuple[str, ...]", default: str | None = None) -> str:
    value = raw.setdefault(key, default)
    if value not in known:
        raise _error(where + "." + key, value, "one of " + ", ".join(known))
    return str(value)


def _once(taken: "dict[Any, str]", key: object, where: str, got: object) -> None:
    if key in taken:
        raise _error(where, got, "one that %s has not taken" % taken[key])
    taken[key] = where


def _decimal(value: object) -> bool:
    if not isinstance(value, str) or len(value) > MAX_DECIMAL:
        return False
    try:
        ratio(value)
    except ValueError:
        return False
    return True
