"""What a loader must know of a chip: how it is told, where its registers are, what its eFuses say.

Pure. Addresses and fields: the chips' Technical Reference Manuals, "eFuse Controller", "SPI Controller", "UART Controller".
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from host.sim.esp32.efuse import crc8

MAGIC_ADDRESS = 0x40001000   # in ROM; its word tells chips whose loader knows no GET_SECURITY_INFO
SPI_RUN = 1 << 18            # in SPI's command register: run the user-defined command
READ_ID = 0x9F               # of JEDEC's flash commands
MAC_PREFIX = bytes.fromhex("0242ac13")   # locally administered; …11 are the demo's boards, …12 emulated ones


@dataclass(frozen=True)
class Chip:
    """One kind of chip.

    Attributes:
        chip_id: what its loader answers to GET_SECURITY_INFO, and what image headers say; None: it does not know the command.
        magic: the word at MAGIC_ADDRESS.
        spi: base address of the flash's SPI controller, with the offsets of its second user register and of its buffer.
        efuse: base address of the eFuse controller, and where from there the words are whose bits a new chip has set.
        words: other registers that a loader reads.
    """

    name: str
    chip_id: int | None
    magic: int
    spi: int
    usr2: int
    w0: int
    efuse: int
    born: Mapping[int, int]
    words: Mapping[int, int] = field(default_factory=dict)


# Revisions: v3.0, v0.2, v0.4, v0.1. UART_CLKDIV of ESP32: 40 MHz crystal at 115200 Bd; its APB_CTL_DATE: bit 31 goes with v3.
CHIPS = {chip.name: chip for chip in (
    Chip("esp32", None, 0x00F01D83, 0x3FF42000, 0x24, 0x80, 0x3FF5A000, {0x0C: 1 << 15, 0x14: 1 << 20},
         {0x3FF40014: 347, 0x3FF6607C: 1 << 31}),
    Chip("esp32s3", 9, 0, 0x60002000, 0x20, 0x58, 0x60007000, {0x50: 2 << 18}),
    Chip("esp32c3", 5, 0, 0x60002000, 0x20, 0x58, 0x60008800, {0x50: 4 << 18}),
    Chip("esp32c6", 13, 0, 0x60003000, 0x20, 0x58, 0x600B0800, {0x50: 1 << 18}),
)}
EFUSE_BYTES = 0x200          # of the controller's registers
KEY_PURPOSES = ((0x34, 24), (0x34, 28), (0x38, 0), (0x38, 4), (0x38, 8), (0x38, 12))   # offset and shift of four bits each
CRYPT_COUNT = (0x34, 18)     # three bits
SECURE_BOOT = (0x38, 20)     # one bit


def mac(number: int) -> bytes:
    """MAC address of the board with this number, 1..65535."""
    return MAC_PREFIX + number.to_bytes(2, "big")


def born(chip: Chip, address: bytes) -> dict[int, int]:
    """The eFuse words of a chip fresh from its factory, by offset: its MAC address and its revision."""
    if chip.chip_id is None:   # block 0, words 1 and 2, with their CRC
        at, raw = 0x04, address[::-1] + bytes([crc8(address), 0])
    else:                      # block 1, words 0 and 1
        at, raw = 0x44, address[::-1] + bytes(2)
    words = dict(chip.born)
    for offset, word in zip((at, at + 4), struct.unpack("<II", raw), strict=True):
        words[offset] = words.get(offset, 0) | word
    return words


def security_info(chip: Chip, efuses: Mapping[int, int]) -> bytes:
    """The answer to GET_SECURITY_INFO: flags, count of flash encryption, key purposes, chip id, version of this answer."""
    def bits(place: tuple[int, int], width: int) -> int:
        return efuses.get(place[0], 0) >> place[1] & (1 << width) - 1

    count = bits(CRYPT_COUNT, 3)
    purposes = [bits(place, 4) for place in KEY_PURPOSES]
    return struct.pack("<IB7BII", bits(SECURE_BOOT, 1), count, *purposes, 0, chip.chip_id or 0, 0)


def jedec_id(flash_bytes: int) -> int:
    """What the flash answers to READ_ID, first byte lowest: a manufacturer, a type, and the power of two of its bytes."""
    return 0xEF | 0x40 << 8 | flash_bytes.bit_length() - 1 << 16
