"""What a chip's ROM and bootloader do with a flash at a reset: whether there is something to run, and what they say.

Pure. Decides as ESP-IDF's bootloader does with `otadata` erased: the factory application, else ota_0. An application written over
the air is not gone back from: the board's interpreter is this machine's in any case. No signature is checked.
"""

import hashlib
from collections.abc import Callable

from provisioning.line.esp_image import DIGEST_BYTES, IMAGE_MAGIC, bootloader_offset
from provisioning.line.image import TABLE_BYTES, TABLE_OFFSET, ImageError, Partition, decode_table

BANNER = "ets Jan  1 2000 00:00:00\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"   # no chip's date
DOWNLOAD = "ets Jan  1 2000 00:00:00\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0))\r\nwaiting for download\r\n"
HEADER_BYTES, SEGMENT_BYTES = 24, 8
APPS = ("factory", "ota_0")

Read = Callable[[int, int], bytes]   # address, size


class NothingToRunError(Exception):
    """What the chip says on its console, again and again."""


def find(chip: str, read: Read) -> Partition:
    """The application that a chip starts.

    Raises:
        NothingToRunError: there is none, or it or the bootloader is damaged.
    """
    at = bootloader_offset(chip)
    if read(at, 1) != IMAGE_MAGIC:
        raise NothingToRunError(f"invalid header: {int.from_bytes(read(at, 4), 'little'):#010x}")
    _check(read, at, TABLE_OFFSET - at, "bootloader")
    try:
        table = decode_table(read(TABLE_OFFSET, TABLE_BYTES))
    except ImageError as error:
        raise NothingToRunError(f"E boot: {error}") from None
    for subtype in APPS:
        for one in table:
            if (one.type, one.subtype) == ("app", subtype):
                _check(read, one.offset, one.size, one.label)
                return one
    raise NothingToRunError("E boot: No bootable app partitions in the partition table")


def _check(read: Read, at: int, room: int, name: str) -> None:
    """Follow an image's segments to its SHA-256 and compare it. One without a hash is taken as it is."""
    header = read(at, HEADER_BYTES)
    if header[:1] != IMAGE_MAGIC:
        raise NothingToRunError(f"E boot: {name} at {at:#x} has no image")
    size = HEADER_BYTES
    for _ in range(header[1]):
        if size > room:
            break
        size += SEGMENT_BYTES + int.from_bytes(read(at + size + 4, 4), "little")
    size += 16 - size % 16   # the checksum is the last byte of a block of 16
    if size + DIGEST_BYTES > room:
        raise NothingToRunError(f"E boot: {name} at {at:#x} is damaged: it has no end")
    if header[23] and hashlib.sha256(read(at, size)).digest() != read(at + size, DIGEST_BYTES):
        raise NothingToRunError(f"E boot: {name} at {at:#x} is damaged: its SHA-256 is wrong")
