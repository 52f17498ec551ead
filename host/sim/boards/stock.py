"""An image that stands in for stock MicroPython on simulated boards, for whoever has none.

What such a board starts is this machine's MicroPython in any case, so an application must only be whole. No chip runs this one.
Format: esp_image_format.h and esp_app_desc.h of ESP-IDF.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import xor

from host.sim.plant import FIRMWARE
from provisioning.line.esp_image import (
    APP_DESCRIPTOR,
    APP_DESCRIPTOR_MAGIC,
    IMAGE_MAGIC,
    Stock,
    bootloader_offset,
    build_esp_flash,
    layout,
)
from provisioning.line.flashing import CHIP_IDS, FlashImage, check_image

VERSION, PROJECT = "v0-simulated", "micropython"
APP_BYTES = 16 << 10
BOOTLOADER_BYTES = 4 << 10
IRAM, FLASH = 0x40080000, 0x3F400020   # an ESP32's; where a segment would be loaded does not matter
SEED = 0xEF                            # of the checksum
DESCRIPTOR_REST = bytes(112)           # hash of an ELF file, and reserved


def flash_image(chip: str, flash_bytes: int, files: Mapping[str, bytes]) -> FlashImage:
    """A whole flash for the line, in our layout, with these files (`provisioning.line.image.base_files`).

    Raises:
        ImageError: a chip or a flash without a layout, or the files do not fit.
    """
    flash = build_esp_flash(stand_in(chip), layout(FIRMWARE / "image", flash_bytes), files, flash_bytes)
    return check_image(flash, f"the simulated {chip}'s image")


def stand_in(chip: str, code: bytes = bytes(range(256)) * (APP_BYTES // 256)) -> Stock:
    """Bootloader and application for a chip.

    Args:
        code: the application's, which nobody runs.

    Raises:
        ImageError: a chip without a layout.
    """
    offset = bootloader_offset(chip)
    chip_id = next(number for number, name in CHIP_IDS.items() if name == chip)
    said = APP_DESCRIPTOR.pack(APP_DESCRIPTOR_MAGIC, VERSION.encode(), PROJECT.encode(), b"")
    app = esp_image(chip_id, [(FLASH, said + DESCRIPTOR_REST), (IRAM, code)])
    return Stock(chip, offset, esp_image(chip_id, [(IRAM, bytes(BOOTLOADER_BYTES))]), app, VERSION, PROJECT)


def esp_image(chip_id: int, segments: Sequence[tuple[int, bytes]], size_code: int = 0x20, *, digest: bool = True) -> bytes:
    """Header, segments (address, bytes), checksum at the end of a block of 16, SHA-256.

    Args:
        size_code: flash size and speed. digest: whether the SHA-256 is there.
    """
    raw = IMAGE_MAGIC + struct.pack("<BBBI", len(segments), 2, size_code, IRAM + 0x400)
    raw += struct.pack("<B3xHBHH4xB", 0xEE, chip_id, 0, 0, 399, digest)
    for address, data in segments:
        raw += struct.pack("<II", address, len(data)) + data
    raw += bytes(15 - len(raw) % 16) + bytes([reduce(xor, b"".join(data for _, data in segments), SEED)])
    return raw + hashlib.sha256(raw).digest() if digest else raw
