"""What the pins of each chip can do, and what of a profile they cannot.

Facts from "GPIO & RTC GPIO" of ESP-IDF's Programming Guide for each chip, those of the RMII from its page on Ethernet. Decides what
is impossible (error) and what works only with care (warning); reads no files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from host.boards.profile import Board, Ethernet, Ppp

RMII = {19: "TXD0", 21: "TX_EN", 22: "TXD1", 25: "RXD0", 26: "RXD1", 27: "CRS_DV"}   # of the classic ESP32, fixed
RMII_CLOCK_IN, RMII_CLOCK_OUT = (0,), (0, 16, 17)


@dataclass(frozen=True, slots=True)
class Chip:
    """Pins by number. `psram`: what PSRAM takes beside the flash's, `octal`: octal PSRAM. `adc`: what reads with the radio on."""

    gpios: frozenset[int]
    flash: frozenset[int]
    strapping: frozenset[int]
    console: frozenset[int]
    adc: frozenset[int]
    usb: frozenset[int] = frozenset()
    psram: frozenset[int] = frozenset()
    octal: frozenset[int] = frozenset()
    input_only: frozenset[int] = frozenset()
    has_psram: bool = False
    uarts: int = 2


def _range(first: int, last: int) -> frozenset[int]:
    return frozenset(range(first, last + 1))


CHIPS: Mapping[str, Chip] = {
    "esp32": Chip(_range(0, 39) - {20, 24} - _range(28, 31), flash=_range(6, 11), strapping=frozenset({0, 2, 5, 12, 15}),
                  console=frozenset({1, 3}), adc=_range(32, 39), psram=frozenset({16, 17}), input_only=_range(34, 39),
                  has_psram=True, uarts=3),
    "esp32s3": Chip(_range(0, 48) - _range(22, 25), flash=_range(26, 32), strapping=frozenset({0, 3, 45, 46}),
                    console=frozenset({43, 44}), adc=_range(1, 10), usb=frozenset({19, 20}), octal=_range(33, 37),
                    has_psram=True, uarts=3),
    "esp32c3": Chip(_range(0, 21), flash=_range(12, 17), strapping=frozenset({2, 8, 9}), console=frozenset({20, 21}),
                    adc=_range(0, 4), usb=frozenset({18, 19})),
    "esp32c6": Chip(_range(0, 30), flash=_range(24, 30), strapping=frozenset({4, 5, 8, 9, 15}), console=frozenset({16, 17}),
                    adc=_range(0, 6), usb=frozenset({12, 13})),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, or something to take care of. `code`: board.pin, board.network or board.psram; `key`: where in the profile."""

    level: Literal["error", "warning"]
    code: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.key}: {self.message}"


@dataclass(slots=True)
class _Check:
    board: Board
    chip: Chip
    taken: dict[int, str] = field(default_factory=dict)

    def uses(self) -> Iterator[tuple[str, int, str]]:
        """(key, pin, use) of all that the profile connects."""
        network = self.board.network
        if isinstance(network, Ethernet):
            yield from ((f"network: RMII {name}", gpio, "in" if name[0] in "RC" else "out") for gpio, name in RMII.items())
            yield "network.mdc", network.mdc, "out"
            yield "network.mdio", network.mdio, "inout"
            yield "network.ref_clk", network.ref_clk, network.ref_clk_mode
        if isinstance(network, Ppp):
            yield "network.tx", network.tx, "out"
            yield "network.rx", network.rx, "in"
            if network.key is not None:
                yield "network.key", network.key, "out"
        if isinstance(network, Ethernet | Ppp) and network.power is not None:
            yield "network.power", network.power, "out"
        for name, pin in self.board.pins.items():
            yield f"pins.{name}", pin.gpio, pin.use

    def pin(self, key: str, gpio: int, use: str) -> Iterator[Finding]:
        chip, name = self.chip, self.board.chip
        if gpio not in chip.gpios:
            yield _error("board.pin", key, f"got GPIO {gpio}, which an {name} does not have")
            return
        if gpio in self.taken:
            yield _error("board.pin", key, f"got GPIO {gpio}, expected one that {self.taken[gpio]} has not taken")
        self.taken.setdefault(gpio, key)
        if gpio in chip.flash:
            yield _error("board.pin", key, f"got GPIO {gpio}, which is wired to the flash")
        if (gpio in chip.psram and self.board.psram) or (gpio in chip.octal and self.board.psram == "octal"):
            yield _error("board.pin", key, f"got GPIO {gpio}, which is wired to the PSRAM")
        if gpio in chip.input_only and use in ("out", "inout"):
            yield _error("board.pin", key, f"got GPIO {gpio} as {use}, but it is input only")
        if use == "adc" and gpio not in chip.adc:
            yield _error("board.pin", key, f"got GPIO {gpio} as adc, expected one of ADC1: {_listed(chip.adc)}; others do not "
                                           "read while the radio is on")
        for pins, what in ((chip.strapping, "a strapping pin: its level at the start chooses how the chip starts"),
                           (chip.console, "the console's"), (chip.usb, "the chip's USB")):
            if gpio in pins:
                why = self.board.cautions.get(str(gpio))
                yield Finding("warning", "board.pin", key, f"GPIO {gpio} is {what}" + (f"; {why}" if why else ""))

    def network(self) -> Iterator[Finding]:
        network = self.board.network
        if isinstance(network, Ethernet):
            if self.board.chip != "esp32":
                yield _error("board.network", "network.kind", f"got ethernet on {self.board.chip}, expected esp32: no other of our "
                                                              "chips has an Ethernet MAC")
            clocks = RMII_CLOCK_IN if network.ref_clk_mode == "in" else RMII_CLOCK_OUT
            if network.ref_clk not in clocks:
                yield _error("board.network", "network.ref_clk", f"got GPIO {network.ref_clk} as {network.ref_clk_mode}, "
                                                                 f"expected one of {_listed(clocks)}")
        elif isinstance(network, Ppp) and network.uart >= self.chip.uarts:
            yield _error("board.network", "network.uart", f"got {network.uart}, expected at most {self.chip.uarts - 1}: an "
                                                          f"{self.board.chip} has {self.chip.uarts} UARTs")

    def psram(self) -> Iterator[Finding]:
        size, kind = self.board.psram_bytes, self.board.psram
        if size and not self.chip.has_psram:
            yield _error("board.psram", "psram_bytes", f"got {size}, expected 0: an {self.board.chip} takes none")
        if bool(size) != bool(kind):
            expected = "quad or octal" if size else "null"
            yield _error("board.psram", "psram", f"got {kind}, expected {expected}: psram_bytes is {size}")
        if kind == "octal" and not self.chip.octal:
            yield _error("board.psram", "psram", f"got octal, expected quad: an {self.board.chip} has no octal bus")


def check(board: Board) -> list[Finding]:
    """Everything of a profile that its chip cannot do, and what needs care; errors first."""
    checked = _Check(board, CHIPS[board.chip])
    found = [*checked.psram(), *checked.network(), *(each for use in checked.uses() for each in checked.pin(*use))]
    return sorted(found, key=lambda each: each.level != "error")


def _error(code: str, key: str, message: str) -> Finding:
    return Finding("error", code, key, message)


def _listed(pins: frozenset[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, sorted(pins)))
