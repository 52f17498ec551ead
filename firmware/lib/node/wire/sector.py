"""The bytes of the ring on flash: sector headers and record headers, and the checks that make a torn write visible.

Packs and unpacks only; ring.py decides where and when to write. firmware/SPEC.md specifies every byte. All numbers are
little-endian. An erased byte is 0xFF, so no valid header begins with it.
"""

import binascii
import struct

from node.compat import const

SECTOR_BYTES = const(4096)   # smallest erase unit of the flash (W25Q datasheet, 8.2.15)
HEADER_BYTES = const(48)
RECORD_HEAD_BYTES = const(12)
MAX_DATA_BYTES = const(2048)   # twelve bits hold it; batch.MAX_RECORD_BYTES is the same
MAX_WEIGHT = const(0xFFFFFF)
MAX_BOOT_STEP = const(255)   # boots within one sector, relative to the boot that opened it
DATA = const(1)
ACK = const(2)
_MAGIC = b"TFR1"
_HEADER = "<4sIIIQIIIQ"
_RECORD = "<HHI"


class SectorHeader:
    """What is known when a sector is opened: everything that recycling an older sector would otherwise forget."""

    def __init__(self, number: int, first_seq: int, boot: int, tally: int, acked: tuple[int, int] | None, dropped: int,
                 dropped_weight: int) -> None:
        self.number = number   # of the sector, counted over the ring's life
        self.first_seq = first_seq   # of the first record that it will hold
        self.boot = boot   # base of its records' boots
        self.tally = tally   # weight of all records before it
        self.acked = acked   # (boot, seq)
        self.dropped = dropped   # records overwritten before they were acknowledged, ever
        self.dropped_weight = dropped_weight


def pack_header(head: SectorHeader) -> bytes:
    """Return the 48 bytes at the start of a sector."""
    acked_boot, acked_next = (head.acked[0], head.acked[1] + 1) if head.acked else (0, 0)
    raw = struct.pack(_HEADER, _MAGIC, head.number, head.first_seq, head.boot, head.tally, acked_boot, acked_next,
                      head.dropped, head.dropped_weight)
    return raw + struct.pack("<I", binascii.crc32(raw))


def parse_header(raw: bytes | memoryview) -> SectorHeader | None:
    """Return the header, or None when the bytes are none: erased, torn, rotten or foreign."""
    if struct.unpack_from("<I", raw, HEADER_BYTES - 4)[0] != binascii.crc32(raw[:HEADER_BYTES - 4]):
        return None
    magic, number, first_seq, boot, tally, acked_boot, acked_next, dropped, weight = struct.unpack_from(_HEADER, raw, 0)
    if magic != _MAGIC:
        return None
    return SectorHeader(number, first_seq, boot, tally, (acked_boot, acked_next - 1) if acked_next else None, dropped, weight)


def pack_record(sector: SectorHeader, kind: int, boot: int, seq: int, weight: int, data: bytes, align: int) -> bytes:
    """Return a whole record, filled with 0xFF to a multiple of `align`.

    Args:
        boot: sector.boot..sector.boot + MAX_BOOT_STEP.
        data: At most MAX_DATA_BYTES.
    """
    head = struct.pack(_RECORD, kind << 12 | len(data), seq & 0xFFFF, weight << 8 | (boot - sector.boot))
    crc = binascii.crc32(data, record_seed(head, sector.number))
    fill = -(RECORD_HEAD_BYTES + len(data)) % align
    return b"".join((head, struct.pack("<I", crc), data, b"\xff" * fill))


def parse_record_head(raw: bytes | memoryview, sector: SectorHeader) -> tuple[int, int, int, int, int, int]:
    """Return (kind, boot, seq, weight, data length, CRC as written) of a record's first 12 bytes, unchecked."""
    kind_length, low_seq, weight_boot, crc = struct.unpack_from(_RECORD + "I", raw, 0)
    seq = sector.first_seq + ((low_seq - sector.first_seq) & 0xFFFF)
    return kind_length >> 12, sector.boot + (weight_boot & 0xFF), seq, weight_boot >> 8, kind_length & 0xFFF, crc


def record_seed(head: bytes | memoryview, number: int) -> int:
    """Return the CRC to continue over a record's data.

    It covers the head and the sector's number, so that what a half-done erase left over is no record of the sector's new life.
    """
    return binascii.crc32(struct.pack("<I", number), binascii.crc32(head))
