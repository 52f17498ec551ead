"""The order of the sectors: which belong to the log, and how to walk its records from one to the next.

Reads only. The sector physically after the newest is never part of the log, whatever it holds: it is the next to be erased.
What is acknowledged, dropped or counted is ring.py's. Nothing is remembered of the sectors: their headers are the index, so RAM
does not grow with the partition, and a record is found by halves, in log2(sectors) headers.
"""

from node.compat import TYPE_CHECKING
from node.wire.sector import DATA, SECTOR_BYTES, SectorHeader

if TYPE_CHECKING:
    from node.sectors import Sectors


class Chain:
    """The sectors of one log, numbered over its life; number n lies at n modulo the count.

    Attributes:
        head: Header of the newest sector; its number is -1 before the first one.
        end: Offset behind the newest sector's last record.
    """

    def __init__(self, io: "Sectors") -> None:
        self._io = io
        self.head = SectorHeader(-1, 0, 0, 0, None, 0, 0)
        self.end = io.start

    def push(self, head: SectorHeader) -> None:
        """Make this sector the newest; one that could not be opened keeps its number and holds nothing."""
        self.head = head
        self.end = self._io.start

    def oldest(self) -> int:
        """Return the lowest number that the partition has room for beside the one to be erased next."""
        return max(0, self.head.number - self._io.count + 2)

    def header(self, number: int) -> SectorHeader | None:
        """Return the header of a sector of the log; None when it cannot be read, or is another's."""
        if not self.oldest() <= number <= self.head.number:
            return None
        head = self._io.header(number % self._io.count)
        return head if head and head.number == number else None

    def first(self, number: int) -> SectorHeader | None:
        """Return the header of the first readable sector from this number on; None when there is none."""
        for n in range(max(number, self.oldest()), self.head.number + 1):
            head = self.header(n)
            if head:
                return head
        return None

    def place_of(self, seq: int, low: int = 0) -> tuple[int, int]:
        """Return (sector number, offset) of the start of the sector in which to look for a record, from sector `low` on."""
        low = max(low, self.oldest())
        high = self.head.number
        while low < high:
            middle = (low + high + 1) // 2
            head = self.first(middle)
            if head and head.number <= high and head.first_seq <= seq:
                low = head.number
            else:
                high = middle - 1
        return low, self._io.start

    def step(self, number: int, at: int, from_seq: int) -> tuple[int, int, int, int, int, int] | None:
        """Find the first data record at or after a place and from a sequence number on, across sectors and damage.

        Returns:
            (sector number, offset, boot, seq, weight, data length) or None.
        """
        if number < self.oldest():
            number, at = self.oldest(), self._io.start
        while number <= self.head.number:
            head, end = self.head, self.end
            if number < self.head.number:
                read = self.header(number)
                head, end = (read, SECTOR_BYTES) if read else (self.head, 0)
            found = self._io.find(head, at, end)
            while found:
                if found[1] == DATA and found[3] >= from_seq:
                    return number, found[0], found[2], found[3], found[4], found[5]
                found = self._io.find(head, found[0] + self._io.record_bytes(found[5]), end)
            number += 1
            at = self._io.start
        return None
