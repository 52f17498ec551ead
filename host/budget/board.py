"""A board's profile: what its chip has, what was measured on it, and the margins that a configuration must leave.

Only the file's shape (firmware/image/boards/<board>.json) and its limits; host.settings reads it and tells what is wrong. What
nobody has measured is null there, and never counts as enough.
"""

from pydantic import Field

from host.settings import Settings


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
    source: str = Field(min_length=1)


class Board(Settings):
    """One board.

    Attributes:
        chip: esptool's name. psram_bytes: 0 is none; with it a device holds two TLS sessions.
        partitions: file beside the folder of profiles. endurance_cycles: erases that a sector is good for.
        image_bytes: MicroPython's application; null: not measured. ram: null: not measured.
    """

    chip: str = Field(min_length=1)
    flash_bytes: int = Field(gt=0)
    psram_bytes: int = Field(ge=0)
    partitions: str = Field(min_length=1)
    endurance_cycles: int = Field(gt=0)
    endurance_source: str = Field(min_length=1)
    image_bytes: int | None = Field(gt=0)
    image_source: str
    ram: Ram | None
    margins: Margins = Margins()
    reasons: str = ""   # for margins other than the defaults
