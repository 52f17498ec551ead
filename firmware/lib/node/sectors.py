"""Single sectors of a raw flash partition: erase and open one, program a record, find the valid records in one.

Every write is read back, and every record checked by its CRC, so the ring above sees only `done` or `refused`, `valid` or
nothing. Knows no order between sectors; that is ring.py. The bytes are wire/sector.py's.
"""

import binascii

from node.compat import TYPE_CHECKING, const
from node.errors import CallerError
from node.wire import sector
from node.wire.sector import HEADER_BYTES, RECORD_HEAD_BYTES, SECTOR_BYTES, SectorHeader

if TYPE_CHECKING:
    from node.hints import Protocol

    class BlockDevice(Protocol):
        """MicroPython's extended block device: esp32.Partition or a stand-in. Programming only clears bits."""

        def readblocks(self, block: int, buf: bytearray | memoryview, offset: int) -> None: ...

        def writeblocks(self, block: int, buf: bytes, offset: int) -> None: ...

        def ioctl(self, op: int, arg: int) -> int | None: ...


MIN_SECTORS = const(3)   # one written, one kept, one free
_CHUNK_BYTES = const(256)   # read at once while checking
_ERASED = b"\xff" * _CHUNK_BYTES
_IOCTL_COUNT = const(4)
_IOCTL_SIZE = const(5)
_IOCTL_ERASE = const(6)


class Sectors:
    """A partition as sectors.

    Attributes:
        count: How many there are.
        start: Offset of the first record in each.
    """

    def __init__(self, bdev: "BlockDevice", prog_bytes: int) -> None:
        """Take a block device whose smallest program unit is `prog_bytes` (1, 2, 4 .. 32)."""
        self._bdev = bdev
        self._align = prog_bytes
        self._chunk = memoryview(bytearray(_CHUNK_BYTES))
        self.count = bdev.ioctl(_IOCTL_COUNT, 0) or 0
        self.start = HEADER_BYTES + -HEADER_BYTES % prog_bytes
        if self.count < MIN_SECTORS or bdev.ioctl(_IOCTL_SIZE, 0) != SECTOR_BYTES:
            raise CallerError("ring.geometry", f"{self.count} blocks, expected {MIN_SECTORS} or more of {SECTOR_BYTES} bytes")

    def header(self, index: int) -> SectorHeader | None:
        """Return the header of a physical sector; None when it has none, or one that belongs elsewhere."""
        raw = self._read(index, 0, HEADER_BYTES)
        head = sector.parse_header(raw)
        return head if head and head.number % self.count == index else None

    def is_erased(self, index: int, at: int, end: int = SECTOR_BYTES) -> bool:
        """Say whether every byte from `at` to `end` reads as erased."""
        while at < end:
            raw = self._read(index, at, min(_CHUNK_BYTES, end - at))
            if raw != _ERASED[:len(raw)]:
                return False
            at += len(raw)
        return True

    def open(self, head: SectorHeader) -> bool:
        """Erase the sector of this number and write its header. False: the flash refused."""
        index = head.number % self.count
        raw = sector.pack_header(head)
        try:
            self._bdev.ioctl(_IOCTL_ERASE, index)
            self._bdev.writeblocks(index, raw + b"\xff" * (self.start - HEADER_BYTES), 0)
        except OSError:
            return False
        return self._read(index, 0, HEADER_BYTES) == raw

    def write(self, head: SectorHeader, at: int, kind: int, boot: int, seq: int, weight: int, data: bytes) -> bool:
        """Program one record. False: the flash refused, and the rest of the sector must not be used."""
        raw = sector.pack_record(head, kind, boot, seq, weight, data, self._align)
        try:
            self._bdev.writeblocks(head.number % self.count, raw, at)
        except OSError:
            return False
        return self._record(head, at) == (at, kind, boot, seq, weight, len(data))

    def record_bytes(self, length: int) -> int:
        """Return how much flash a record with this much data takes."""
        size = RECORD_HEAD_BYTES + length
        return size + -size % self._align

    def find(self, head: SectorHeader, at: int, end: int) -> tuple[int, int, int, int, int, int] | None:
        """Find the first valid record at or after `at`, stepping over damage.

        Returns:
            (offset, kind, boot, seq, weight, data length) or None.
        """
        if self.is_erased(head.number % self.count, at, min(at + RECORD_HEAD_BYTES, end)):
            return None   # nothing was ever written behind an erased head
        while at + RECORD_HEAD_BYTES <= end:
            found = self._record(head, at)
            if found:
                return found
            at += self._align
        return None

    def data(self, number: int, at: int, length: int) -> bytes:
        """Return the data of the record at `at`."""
        raw = bytearray(length)
        self._bdev.readblocks(number % self.count, raw, at + RECORD_HEAD_BYTES)
        return bytes(raw)

    def _record(self, head: SectorHeader, at: int) -> tuple[int, int, int, int, int, int] | None:
        raw = self._read(head.number % self.count, at, RECORD_HEAD_BYTES)
        kind, boot, seq, weight, length, wanted = sector.parse_record_head(raw, head)
        end = at + RECORD_HEAD_BYTES + length
        if kind not in (sector.DATA, sector.ACK) or not 0 < length <= sector.MAX_DATA_BYTES or end > SECTOR_BYTES:
            return None
        crc = sector.record_seed(raw[:8], head.number)
        for chunk_at in range(at + RECORD_HEAD_BYTES, end, _CHUNK_BYTES):
            crc = binascii.crc32(self._read(head.number % self.count, chunk_at, min(_CHUNK_BYTES, end - chunk_at)), crc)
        return (at, kind, boot, seq, weight, length) if crc == wanted else None

    def _read(self, index: int, at: int, n: int) -> memoryview:
        """Read at most _CHUNK_BYTES; the view is overwritten by the next call."""
        view = self._chunk[:n]
        self._bdev.readblocks(index, view, at)
        return view
