"""What a board's sensors depend on, and what replaces them: drivers by quantity and maker, from node.catalog.

Decides what counts as a replacement: a driver that gives the same quantity, by another maker. What "any maker" builds to an open
standard replaces itself. Does not judge accuracy, range or price: those are in the datasheets.
"""

from dataclasses import dataclass

from node import catalog
from node.settings import Config

ANY = "any maker"
INPUTS = {"ain": "voltage", "ch": "voltage"}   # how drivers call inputs of one quantity


@dataclass(frozen=True, slots=True)
class Part:
    """One driver's chip. `bus` is what it hangs on: i2c, spi, onewire, uart, pin or none."""

    driver: str
    maker: str
    parts: str
    datasheet: str
    bus: str


@dataclass(frozen=True, slots=True)
class Need:
    """One quantity, what gives it, and what would too: those on the same bus first. `channel` is "" outside a configuration."""

    quantity: str
    channel: str
    used: Part
    replacements: tuple[Part, ...]

    @property
    def alone(self) -> bool:
        """Whether nothing replaces it."""
        return not self.replacements


def catalogue() -> list[Need]:
    """Every quantity with each part that gives it."""
    givers = _givers()
    return [_need(quantity, "", part, givers) for quantity in sorted(givers) for part in givers[quantity]]


def of_configuration(config: Config) -> list[Need]:
    """What a configuration's channels need, in their order.

    Args:
        config: from node.config, which has checked it.
    """
    givers = _givers()
    found: dict[str, Need] = {}
    for sensor in config.sensors:
        driver = sensor["driver"]
        for quantity, channel in _fed(sensor):
            found[channel] = _need(_kind(quantity), channel, _part(driver), givers)
    for name in (each.name for each in config.channels):
        if name not in found:   # what the chip measures by itself needs no sensor
            driver, quantity = ("chip", "die") if name == "temp_chip" else ("adc", "voltage")
            found[name] = _need(quantity, name, _part(driver), givers)
    return [found[channel.name] for channel in config.channels]


def _fed(sensor: dict[str, object]) -> list[tuple[str, str]]:
    """(quantity, channel) of each value of a sensor."""
    registers, channels = sensor.get("registers"), sensor.get("channels")
    if isinstance(registers, list):
        return [("register", register["channel"]) for register in registers]
    if isinstance(channels, dict):
        return [(quantity, target["channel"]) for quantity, target in channels.items()]
    return [(quantity, str(sensor["channel"])) for quantity in _gives(str(sensor["driver"]))]


def _givers() -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for driver in catalog.names():
        for quantity in dict.fromkeys(_kind(each) for each in _gives(driver)):
            found.setdefault(quantity, []).append(_part(driver))
    return found


def _need(quantity: str, channel: str, used: Part, givers: dict[str, list[Part]]) -> Need:
    others = [part for part in givers[quantity] if part.maker != used.maker or part.maker == ANY]
    return Need(quantity, channel, used, tuple(sorted(others, key=lambda part: (part.bus != used.bus, part.maker, part.driver))))


def _kind(quantity: str) -> str:
    """A quantity without its number."""
    plain = quantity.rstrip("0123456789")
    return INPUTS.get(plain, plain)


def _gives(driver: str) -> list[str]:
    found = catalog.driver(driver)
    return list(found[2]) if found else []


def _part(driver: str) -> Part:
    found = catalog.driver(driver)
    return Part(driver, *catalog.MAKERS[driver], found[0] if found else "")
