"""A whole ESP32 flash out of a stock MicroPython image: its bootloader and application in our layout, our files beside them.

Decides what a stock image must be to be used and where its parts go. Reading and checking of ESP images, and setting the flash's
size in the bootloader's header, are esptool's. Flashes nothing, downloads nothing and compiles nothing; what the file system holds
is decided elsewhere (`provisioning.line.image`).
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esptool.bin_image import LoadFirmwareImage  # type: ignore[import-untyped]
from esptool.cmds import merge_bin  # type: ignore[import-untyped]
from esptool.logger import log  # type: ignore[import-untyped]
from esptool.targets import CHIP_DEFS  # type: ignore[import-untyped]

from provisioning.line.image import (
    SECTOR_BYTES,
    TABLE_BYTES,
    TABLE_OFFSET,
    ImageError,
    Partition,
    build_vfs,
    decode_table,
    encode_table,
    read_partitions,
    read_table,
    vfs_used,
)

CHIPS = ("esp32", "esp32s3", "esp32c3", "esp32c6")   # whose layout is known; names as esptool's
READER = "esp32"           # header and segments are alike on all of them
IMAGE_MAGIC = b"\xe9"      # esp_image_header_t
UF2_MAGIC = b"UF2\n"
DIGEST_BYTES = 32          # SHA-256 behind the checksum
# esp_app_desc_t, at the start of an application's first segment: magic, (secure version, reserved), version, project,
# (time, date), ESP-IDF's version
APP_DESCRIPTOR = struct.Struct("<I12x32s32s32x32s")
APP_DESCRIPTOR_MAGIC = 0xABCD5432
MIB = 1 << 20
# from this size on, largest first
LAYOUTS: tuple[tuple[int, str], ...] = (
    (16 * MIB, "partitions-16m.csv"), (8 * MIB, "partitions-8m.csv"), (4 * MIB, "partitions.csv"))
WANTED = "expected a board's full image, as micropython.org offers it (ESP32_GENERIC-<date>-<version>.bin)"


@dataclass(frozen=True)
class Stock:
    """A stock image's parts, checked. The texts are the application's own words and may be empty."""

    chip: str
    bootloader_offset: int   # in flash
    bootloader: bytes
    app: bytes
    version: str = ""
    project: str = ""
    idf: str = ""


@dataclass(frozen=True)
class Application:
    """An application, checked. The texts are its own words and may be empty."""

    content: bytes
    chip: str
    version: str
    project: str
    idf: str


@dataclass(frozen=True)
class Room:
    """A part of the flash, in bytes."""

    part: str
    used: int
    size: int

    @property
    def free(self) -> int:
        return self.size - self.used


def read_stock(path: Path) -> Stock:
    """Take a stock image apart: bootloader, partition table, application.

    Raises:
        ImageError: it is missing, not a full image of a chip we have a layout for, cut off or damaged.
    """
    if not path.is_file():
        raise ImageError(f"{path}: no such file. Download the full image for your board from micropython.org/download "
                         f"(a .bin, e.g. ESP32_GENERIC) and put it there")
    raw = path.read_bytes()
    if not raw:
        raise ImageError(f"{path}: empty; {WANTED}")
    if not raw.startswith(IMAGE_MAGIC):
        got = "a UF2 file" if raw.startswith(UF2_MAGIC) else f"{raw[:4].hex(' ')} at its start"
        raise ImageError(f"{path}: got {got}, no ESP image; {WANTED}")
    image, bootloader = _image(raw, f"{path}: bootloader")
    chip = _chip(image.chip_id, path)
    offset = bootloader_offset(chip)
    if _descriptor(image) or len(bootloader) > TABLE_OFFSET - offset:
        raise ImageError(f"{path}: got an application alone, without bootloader and partition table; {WANTED}")
    table = raw[TABLE_OFFSET - offset:][:TABLE_BYTES]
    if len(table) < TABLE_BYTES:
        raise ImageError(f"{path}: cut off at {offset + len(raw):#x} of the flash, before its partition table's end; {WANTED}")
    try:
        home = _application(decode_table(table))
    except ImageError as error:
        raise ImageError(f"{path}: {error}; {WANTED}") from None
    image, app = _image(raw[home.offset - offset:], f"{path}: application at {home.offset:#x}")
    if _chip(image.chip_id, path) != chip:
        raise ImageError(f"{path}: got an application for {_chip(image.chip_id, path)}, expected {chip} as its bootloader is")
    return Stock(chip, offset, bootloader, app, *(_descriptor(image) or ("", "", "")))


def read_application(path: Path) -> Application:
    """Read an application from a file that holds nothing else, or take it out of a stock image.

    A file of its own stays as it is, with what may follow the application in it: a secure boot signature.

    Raises:
        ImageError: it is missing, neither of the two, cut off or damaged.
    """
    raw = path.read_bytes() if path.is_file() else b""
    if raw.startswith(IMAGE_MAGIC):
        image, _ = _image(raw, str(path))
        described = _descriptor(image)
        if described is not None:
            return Application(raw, _chip(image.chip_id, path), *described)
    stock = read_stock(path)
    return Application(stock.app, stock.chip, stock.version, stock.project, stock.idf)


def trimmed(raw: bytes, what: str) -> bytes:
    """The ESP image at the start of `raw`, without what follows it: padding, signatures, erased flash.

    Raises:
        ImageError: there is none, or it is cut off or damaged.
    """
    return _image(raw, what)[1]


def bootloader_offset(chip: str) -> int:
    """Where a chip's ROM looks for the bootloader in flash.

    Raises:
        ImageError: a chip we have no layout for.
    """
    if chip not in CHIPS:
        raise ImageError(f"chip: got {chip!r}, expected one of {', '.join(CHIPS)}: no layout for others")
    return int(CHIP_DEFS[chip].BOOTLOADER_FLASH_OFFSET)


def flash_size(text: str) -> int:
    """Bytes of a flash size as esptool writes it, e.g. 4MB.

    Raises:
        ImageError: it is none.
    """
    number = text.upper().removesuffix("MB")
    if not number.isdecimal() or number == text:
        raise ImageError(f"flash size: got {text!r}, expected e.g. 4MB")
    return int(number) * MIB


def layout(folder: Path, flash_bytes: int) -> Path:
    """The CSV in `folder` (firmware/image) for a flash of that size.

    Raises:
        ImageError: it is smaller than any layout.
    """
    for least, name in LAYOUTS:
        if flash_bytes >= least:
            return folder / name
    raise ImageError(f"flash size: got {flash_bytes} bytes, expected {LAYOUTS[-1][0]} or more")


def build_esp_flash(stock: Stock, csv: Path, vfs_files: Mapping[str, bytes], flash_bytes: int = 4 * MIB) -> bytes:
    """A whole flash, to be written from address 0: the stock application in ota_0, the files in vfs, all else erased.

    With otadata erased the bootloader starts ota_0. The bootloader's header is made to tell the flash's size.

    Args:
        csv: the partition table. vfs_files: by absolute path. flash_bytes: size of the chip's flash.

    Raises:
        ImageError: something does not fit; with part, what it takes and what there is.
    """
    partitions = read_partitions(csv)
    size = f"{flash_bytes // MIB}MB"
    sizes = [name for name in CHIP_DEFS[stock.chip].FLASH_SIZES if flash_size(name) >= LAYOUTS[-1][0]]
    if flash_bytes % MIB or size not in sizes:
        raise ImageError(f"flash size: got {flash_bytes} bytes, expected one of {', '.join(sizes)}")
    _fits(stock, partitions, csv.name, flash_bytes)
    parts = {one.label: one for one in partitions}
    vfs = parts["vfs"]
    content = [(stock.bootloader_offset, stock.bootloader), (TABLE_OFFSET, encode_table(partitions)),
               (parts["ota_0"].offset, stock.app), (vfs.offset, build_vfs(vfs.size, vfs_files))]
    with _quiet():
        flash = bytes(merge_bin(content, stock.chip, flash_size=size, pad_to_size=size))
    _image(flash[stock.bootloader_offset:], "bootloader after its flash size was set")   # esptool only warns
    return flash


def rooms(stock: Stock, flash: bytes) -> list[Room]:
    """What each part of a flash from `build_esp_flash` takes of what it has, in order of address."""
    used = {"ota_0": len(stock.app), "vfs": vfs_used(flash)}
    partitions = read_table(flash)
    unused = len(flash) - partitions[-1].end
    return [
        Room("bootloader", len(stock.bootloader), TABLE_OFFSET - stock.bootloader_offset),
        *(Room(one.label, used.get(one.label, 0), one.size) for one in partitions),
        *([Room("(no partition)", 0, unused)] if unused else []),
    ]


def _image(raw: bytes, what: str) -> tuple[Any, bytes]:
    """An ESP image at the start of `raw`, by esptool's reader, and its bytes; checksum and hash are checked."""
    try:
        image = LoadFirmwareImage(READER, raw)
    except (RuntimeError, struct.error, TypeError) as error:   # esptool's own, and what it lets through at the end of a file
        raise ImageError(f"{what}: cut off or damaged: {error}; download it again") from None
    last = image.segments[-1] if image.segments else None
    end = last.file_offs + image.SEG_HEADER_LEN + len(last.data) if last else 0
    end += 16 - end % 16   # the checksum is the last byte of a block of 16
    checksum = image.calculate_checksum()
    if image.checksum != checksum:
        raise ImageError(f"{what}: damaged: got checksum {image.checksum:#x}, expected {checksum:#x}; download it again")
    if not image.append_digest:
        return image, raw[:end]
    if image.stored_digest != image.calc_digest:
        got, expected = image.stored_digest.hex(), image.calc_digest.hex()
        raise ImageError(f"{what}: cut off or damaged: got SHA-256 {got}, expected {expected}; download it again")
    return image, raw[:end + DIGEST_BYTES]


def _chip(chip_id: int, path: Path) -> str:
    names: dict[int, str] = {getattr(chip, "IMAGE_CHIP_ID", -1): name for name, chip in CHIP_DEFS.items()}
    name = names.get(chip_id, f"chip id {chip_id}")
    if name not in CHIPS:
        raise ImageError(f"{path}: got an image for {name}, expected one for {', '.join(CHIPS)}: no layout for others")
    return name


def _application(partitions: Sequence[Partition]) -> Partition:
    for subtype in ("factory", "ota_0"):
        for one in partitions:
            if (one.type, one.subtype) == ("app", subtype):
                return one
    labels = ", ".join(one.label for one in partitions)
    raise ImageError(f"partition table: got {labels}, expected an application too: factory or ota_0")


def _descriptor(image: Any) -> tuple[str, str, str] | None:
    """Version, project and ESP-IDF's version of an application; None when it does not say."""
    data = image.segments[0].data if image.segments else b""
    if len(data) < APP_DESCRIPTOR.size:
        return None
    magic, *texts = APP_DESCRIPTOR.unpack_from(data)
    if magic != APP_DESCRIPTOR_MAGIC:
        return None
    version, project, idf = (text.split(b"\0", 1)[0].decode(errors="replace") for text in texts)
    return version, project, idf


def _fits(stock: Stock, partitions: Sequence[Partition], name: str, flash_bytes: int) -> None:
    labels = [one.label for one in partitions]
    for label in ("ota_0", "vfs"):
        if label not in labels:
            raise ImageError(f"{name}: got {', '.join(labels)}, expected a partition {label!r} too")
    if partitions[0].offset < TABLE_OFFSET + SECTOR_BYTES:
        raise ImageError(f"{name}: got {labels[0]} at {partitions[0].offset:#x}, expected {TABLE_OFFSET + SECTOR_BYTES:#x} or more")
    if partitions[-1].end > flash_bytes:
        raise ImageError(f"{name}: {labels[-1]} ends at {partitions[-1].end:#x}, the flash at {flash_bytes:#x}")
    room = TABLE_OFFSET - stock.bootloader_offset
    if len(stock.bootloader) > room:
        raise ImageError(f"bootloader: got {len(stock.bootloader)} bytes, expected at most {room}")
    for one in partitions:
        if one.type == "app" and len(stock.app) > one.size:
            raise ImageError(f"{name}: {one.label} has {one.size} bytes, the stock application takes {len(stock.app)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep esptool's progress off standard output, which is not ours to print on."""
    log.set_verbosity("silent")
    try:
        yield
    finally:
        log.set_verbosity("normal")
