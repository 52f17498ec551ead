"""The order of the sectors: which belong to the log, and how to walk its records from one to the next.

Reads only. The sector physically after the newest is never part of the log, whatever it holds: it is the next to be erased.
What is acknowledged, dropped or counted is ring.py's. RAM: four bytes a sector.
"""

from array import array

from node.compat import const
from node.sectors import Sectors
from node.wire.sector import DATA, HEADER_BYTES, SECTOR_BYTES, SectorHeader

_GONE = const(0xFFFFFFFF)   # in _firsts: that sector is not part of the log


class Chain:
    """The sectors of one log, numbered over its life; number n lies at n modulo the count.

    Attributes:
        head: Header of the newest sector; its number is -1 before the first one.
        end: Offset behind the newest sector's last record.
    """

    def __init__(self, io: Sectors) -> None:
        self._io = io
        self._firsts = array("I", [_GONE for _ in range(io.count)])   # first seq of each sector of the log
        self.head = SectorHeader(-1, 0, 0, 0, None, 0, 0)
        self.end = io.start

    def load(self) -> int:
        """Find the newest sector and those before it, with two reads of each header.

        Returns:
            How many sectors were neither erased nor ours.
        """
        foreign = 0
        for i in range(self._io.count):
            self._firsts[i] = _GONE
            head = self._io.header(i)
            if head is None:
                foreign += not self._io.is_erased(i, 0, HEADER_BYTES)
            elif head.number > self.head.number:
                self.head = head
        for i in range(self._io.count):
            head = self._io.header(i)
            if head and head.number > self.head.number - self._io.count + 1:
                self._firsts[i] = head.first_seq
        return foreign

    def push(self, head: SectorHeader, opened: bool) -> None:
        """Make this sector the newest; one that could not be opened keeps its number and holds nothing."""
        self.head = head
        self.end = self._io.start
        self._firsts[head.number % self._io.count] = head.first_seq if opened else _GONE

    def let_go(self, number: int) -> None:
        """Take a sector out of the log."""
        self._firsts[number % self._io.count] = _GONE

    def held(self, number: int) -> bool:
        """Say whether the sector of this number is part of the log."""
        newest = self.head.number
        return 0 <= number <= newest < number + self._io.count - 1 and self._firsts[number % self._io.count] != _GONE

    def first_seq(self, number: int) -> int | None:
        """Return the first seq of the first sector held from this number on; None when there is none."""
        for n in range(max(number, self._oldest()), self.head.number + 1):
            if self.held(n):
                return self._firsts[n % self._io.count]
        return None

    def place_of(self, seq: int) -> tuple[int, int]:
        """Return (sector number, offset) of the start of the sector in which to look for a record."""
        place = 0
        for n in range(self._oldest(), self.head.number + 1):
            if self.held(n) and self._firsts[n % self._io.count] <= seq:
                place = n
        return place, self._io.start

    def step(self, number: int, at: int, from_seq: int) -> tuple[int, int, int, int, int, int] | None:
        """Find the first data record at or after a place and from a sequence number on, across sectors and damage.

        Returns:
            (sector number, offset, boot, seq, weight, data length) or None.
        """
        if number < self._oldest():
            number, at = self._oldest(), self._io.start
        while number <= self.head.number:
            head, end = self.head, self.end
            if number < self.head.number:
                read = self._io.header(number % self._io.count) if self.held(number) else None
                head, end = (read, SECTOR_BYTES) if read else (self.head, 0)
            found = self._io.find(head, at, end)
            while found:
                if found[1] == DATA and found[3] >= from_seq:
                    return number, found[0], found[2], found[3], found[4], found[5]
                found = self._io.find(head, found[0] + self._io.record_bytes(found[5]), end)
            number += 1
            at = self._io.start
        return None

    def _oldest(self) -> int:
        """Return the lowest number that the partition has room for beside the one to be erased next."""
        return max(0, self.head.number - self._io.count + 2)
