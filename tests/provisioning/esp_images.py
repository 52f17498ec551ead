"""ESP images made from nothing: applications, and stock images as micropython.org offers them."""

import struct

from host.sim.boards.stock import esp_image as esp_image_file
from provisioning.line.image import TABLE_BYTES, TABLE_OFFSET, Partition, encode_table

STOCK_TABLE = [Partition("nvs", "data", "nvs", 0x9000, 0x6000), Partition("factory", "app", "factory", 0x10000, 0x1F0000)]
# chip -> id in the image's header, bootloader's place in flash, address of the memory-mapped flash
ESP32, ESP32C3, ESP32C2 = (0, 0x1000, 0x3F400020), (5, 0x0, 0x3C000020), (12, 0x0, 0x3C000020)
ESP32S3, ESP32C6 = (9, 0x0, 0x3C000020), (13, 0x0, 0x42000020)


def application(chip, version="v1.26.0", code=bytes(range(256)) * 64, *, digest=True):
    descriptor = struct.pack("<I12x32s32s32x32s112x", 0xABCD5432, version.encode(), b"micropython", b"v5.4.2")
    return esp_image_file(chip[0], [(chip[2], descriptor if version else bytes(256)), (0x40080000, code)], digest=digest)


def merged(chip=ESP32, *, app=None, table=None, boot_bytes=0x1000):
    """A stock image: file offset 0 is the bootloader's place, as in what micropython.org offers."""
    flash = bytearray(b"\xff" * 0x10000)
    boot = esp_image_file(chip[0], [(0x3FFF0030, b"\x07" * boot_bytes)])
    flash[chip[1]:chip[1] + len(boot)] = boot
    flash[TABLE_OFFSET:TABLE_OFFSET + TABLE_BYTES] = encode_table(STOCK_TABLE) if table is None else table
    return bytes(flash[chip[1]:]) + (application(chip) if app is None else app)
