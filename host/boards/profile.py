"""A board's profile: what its chip has, what hangs on which pin, its network, what was measured, and the margins to be left.

Only the file's shape (firmware/image/boards/<board>.json) and its limits; board.schema.json beside that folder is made of it.
Whether a chip's pins can do what a profile says is decided in pins.py; host.settings reads the file. What nobody has measured is
null there, and never counts as enough.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from host.settings import Settings

PIN_NAME = r"^[a-z][a-z0-9_]{0,15}$"   # as node.wiring has it: a configuration says them in place of numbers
PinName = Annotated[str, StringConstraints(pattern=PIN_NAME)]
Text = Annotated[str, StringConstraints(min_length=1)]
Gpio = Annotated[int, Field(ge=0, le=54)]   # what this chip has of them is pins.py's to say


class Margins(Settings):
    """At least so much must be left.

    Attributes:
        flash_years: until the first sector is worn. ring_days: readings kept while no server answers.
        ram_pct: Python heap free at work. ram_update_pct: while a release is fetched. flash_pct: of the file system, with all three
            slots full. image_pct: of an application slot.
    """

    flash_years: float = Field(default=10, gt=0)
    ring_days: float = Field(default=3, gt=0)
    ram_pct: float = Field(default=30, ge=0, le=100)
    ram_update_pct: float = Field(default=30, ge=0, le=100)
    flash_pct: float = Field(default=30, ge=0, le=100)
    image_pct: float = Field(default=30, ge=0, le=100)


class Ram(Settings):
    """Python's heap as it was measured on this board, and with which configuration.

    Attributes:
        heap_bytes: all of it. free_bytes: the low-water mark at work. free_update_bytes: least seen while a release was fetched.
        channels, samples: of the batches at that time. resident_bytes: of the release's parts in budget.RESIDENT. source: who
            measured, how.
    """

    heap_bytes: int = Field(gt=0)
    free_bytes: int = Field(ge=0)
    free_update_bytes: int = Field(ge=0)
    channels: int = Field(ge=1)
    samples: int = Field(ge=1)
    resident_bytes: int = Field(gt=0)
    source: Text


class Pin(Settings):
    """One of the board's pins. `use`: what hangs there wants the chip to read it, drive it, do both, or measure its voltage."""

    gpio: Gpio
    use: Literal["in", "out", "inout", "adc"]


class Wifi(Settings):
    """The chip's own radio; name and password are the plant's (/state/wifi.json)."""

    kind: Literal["wifi"]


class Ethernet(Settings):
    """A PHY on the RMII of the classic ESP32, whose data pins are fixed (pins.RMII).

    Attributes:
        phy: as MicroPython names its drivers, network.PHY_<phy>. power: pin that switches PHY or oscillator on.
        ref_clk: the 50 MHz, given by the PHY ("in", always on GPIO 0) or by the chip ("out").
    """

    kind: Literal["ethernet"]
    phy: Literal["LAN8710", "LAN8720", "IP101", "RTL8201", "DP83848", "KSZ8041", "KSZ8081"]
    phy_addr: int = Field(ge=0, le=31)
    mdc: Gpio
    mdio: Gpio
    ref_clk: Gpio
    ref_clk_mode: Literal["in", "out"]
    power: Gpio | None = None


class Ppp(Settings):
    """A modem on a UART; APN and login are the plant's (/state/sim.json).

    Attributes:
        tx, rx: as the chip sees them. power: pin that must be high while the modem works.
        key, key_ms: the modem's power key, and how long it is held down (high at this pin) to switch the modem on.
    """

    kind: Literal["ppp"]
    uart: int = Field(ge=1, le=2)
    tx: Gpio
    rx: Gpio
    baud: int = Field(default=115_200, ge=9600, le=921_600)
    power: Gpio | None = None
    key: Gpio | None = None
    key_ms: int = Field(default=1000, ge=50, le=5000)


class Stock(Settings):
    """MicroPython's own image for the board, as micropython.org names it.

    Attributes:
        board: e.g. ESP32_GENERIC. variant: e.g. SPIRAM, or "".
    """

    board: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]+$")]
    variant: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]*$")] = ""

    @property
    def image(self) -> str:
        """The name that its files begin with."""
        return f"{self.board}-{self.variant}" if self.variant else self.board


class Board(Settings):
    """One board.

    Attributes:
        name, maker: what to ask for when buying it. source: the documents that pins and sizes come from.
        chip: esptool's name. psram_bytes: 0 is none; with it a device holds two TLS sessions. psram: how it is connected.
        partitions: file beside the folder of profiles. endurance_cycles: erases that a sector is good for.
        image_bytes: MicroPython's application; null: not measured. ram: null: not measured.
        pins: by the names that a configuration may use. cautions: why a pin that the chip wants at its start is used all the same,
            by its number. sensors: drivers (node.catalog) of what is soldered to the board. parts: of parts.json.
    """

    name: Text
    maker: Text
    source: Text
    chip: Literal["esp32", "esp32s3", "esp32c3", "esp32c6"]
    flash_bytes: int = Field(gt=0)
    psram_bytes: int = Field(ge=0)
    psram: Literal["quad", "octal"] | None = None
    partitions: Text
    endurance_cycles: int = Field(gt=0)
    endurance_source: Text
    image_bytes: int | None = Field(gt=0)
    image_source: str
    ram: Ram | None
    margins: Margins = Margins()
    reasons: str = ""   # for margins other than the defaults
    stock: Stock
    pins: dict[PinName, Pin]
    cautions: dict[Annotated[str, StringConstraints(pattern=r"^[0-9]{1,2}$")], Text] = Field(default_factory=dict)
    network: Annotated[Wifi | Ethernet | Ppp, Field(discriminator="kind")]
    sensors: tuple[Text, ...] = ()
    parts: tuple[Text, ...] = Field(min_length=1)
