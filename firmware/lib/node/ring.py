"""The flash log: records are durable when append returns, and leave only when acknowledged or when a full ring must.

Decides where records lie on a raw partition of NOR flash and what a full one gives up, survives a power cut at any operation, and
counts what it lost. Does not know what a record means, sends nothing and reads no clock. For one writer. firmware/SPEC.md has the
bytes.

Sectors are used in turn. When one is opened, the one that will follow it leaves the log, and its records are counted as
dropped in the new header, before they are erased: a cut between the two changes no count.
"""

import struct

from node.chain import Chain
from node.compat import TYPE_CHECKING, const
from node.errors import CallerError, FlashError
from node.sectors import Sectors
from node.wire.sector import ACK, DATA, MAX_BOOT_STEP, MAX_DATA_BYTES, MAX_WEIGHT, SECTOR_BYTES, SectorHeader

if TYPE_CHECKING:
    from node.hints import Iterator
    from node.sectors import BlockDevice

ACK_EVERY = const(16)   # acknowledged records per ack record: as many may be sent again after a power cut
TRIES = const(3)   # sectors that may refuse, one after another, until mounted again: each one given up costs its records
OLDEST = const(0)   # a full ring overwrites its oldest records
NEWEST = const(1)   # ... refuses new records until the oldest are acknowledged
THIN = const(2)   # ... has been keeping ever fewer new records, so that an outage of four times its depth leaves a picture
THINNEST = const(63)   # of 64 records one is kept when a 64th of the ring is free: after that the oldest go
_ACK_DATA_BYTES = const(8)


class Ring:
    """A ring on one partition. Call mount first; it writes nothing.

    Attributes:
        next_seq: Sequence number of the next record; counts over the ring's life, not per boot.
        acked: (boot, seq) acknowledged last, or None.
        tally: Sum of the weights of all records ever appended.
        dropped, dropped_weight: Records, and their weights, overwritten before they were acknowledged or refused, ever. A power
            cut forgets what was refused since the newest sector was opened: nothing is written for what is not kept.
        skipped: Records found torn or rotten since mount.
        foreign: Sectors that were neither erased nor ours at mount.
    """

    def __init__(self, bdev: "BlockDevice", prog_bytes: int = 4, overflow: int = OLDEST) -> None:
        """Take a block device whose smallest program unit is `prog_bytes` (1, 2, 4 .. 32), and OLDEST, NEWEST or THIN."""
        self._io = Sectors(bdev, prog_bytes)
        self._overflow = overflow
        self._reset()

    def _reset(self) -> None:
        self._log = Chain(self._io)
        self._closed = True   # the newest sector takes no more records
        self._tries = TRIES   # left before the flash is called worn
        self._tail = (0, 0)   # (sector number, offset) at or before the first unacknowledged record
        self._unacked = 0
        self._unsaved = 0   # acknowledged records that nothing on flash says are
        self._boot = 0   # of the last record
        self._offered = 0   # records since mount, for THIN
        self._gap_end = 0   # records before this have been counted in skipped
        self._next = (-1, 0, 0)   # (seq, sector number, offset) behind the record read last: the next one is most likely wanted
        self.next_seq = 0
        self.acked: tuple[int, int] | None = None
        self.tally = self.dropped = self.dropped_weight = self.skipped = self.foreign = 0

    def mount(self) -> None:
        """Find the log: at most two reads per sector and one scan of the newest. An erased partition is an empty ring."""
        from node.scan import scan  # once a boot: not in memory afterwards
        self._reset()
        (self.next_seq, self.acked, self.tally, self.dropped, self.dropped_weight, self._boot, self._unacked, self._tail,
         self._closed, self.skipped, self.foreign) = scan(self._log, self._io)

    def append(self, boot: int, seq: int, data: bytes, weight: int) -> bool:
        """Write one record; it is durable when this returns True.

        Args:
            seq: Must be next_seq: the data carries it too.
            weight: Readings in the data. THIN keeps every record without any.

        Returns:
            False when the ring is set to refuse it; counted in `dropped`, and `seq` is still the next.

        Raises:
            CallerError: `ring.seq`, `ring.size` or `ring.weight`.
            FlashError: `ring.worn`: TRIES sectors refused. Nothing was appended, nor will be before the next mount: what
                the ring still holds stays readable.
        """
        if seq != self.next_seq:
            raise CallerError("ring.seq", f"got {seq}, expected {self.next_seq}")
        if not 0 < len(data) <= MAX_DATA_BYTES:
            raise CallerError("ring.size", f"{len(data)} bytes, expected 1..{MAX_DATA_BYTES}")
        if not 0 <= weight <= MAX_WEIGHT:
            raise CallerError("ring.weight", f"got {weight}, expected 0..{MAX_WEIGHT}")
        room = self._io.record_bytes(len(data)) + self._io.record_bytes(_ACK_DATA_BYTES)   # an ack record still fits behind
        self._offered += 1
        if self._overflow == THIN and weight and self._offered & self._thinning():
            return self._refuse(weight)
        while True:
            full = self._closed or self._log.end + room > SECTOR_BYTES or not 0 <= boot - self._log.head.boot <= MAX_BOOT_STEP
            if full and not self._open_next(boot):
                return self._refuse(weight)
            at = self._log.end
            if self._write(DATA, boot, seq, weight, data):
                break
        if self._unacked == seq:
            self._tail = (self._log.head.number, at)
        self._boot = boot
        self._tries = TRIES
        self.next_seq = seq + 1
        self.tally += weight
        return True

    def ack(self, boot: int, seq: int) -> int:
        """Let go of all records up to (boot, seq).

        Returns:
            How many that freed; 0 for an old acknowledgement and for one of a record that this ring does not hold.
        """
        if not self._unacked <= seq < self.next_seq:
            return 0
        found = self._log.step(*max(self._log.place_of(seq, self._tail[0]), self._tail), seq)   # not again over what was let go of
        if not found:   # rotten, and nothing behind it
            self._tail = (self._log.head.number, self._log.end)
        elif found[3] != seq:   # rotten since it was sent
            self._tail = found[:2]
        elif found[2] == boot:
            self._tail = (found[0], found[1] + self._io.record_bytes(found[5]))
        else:   # of another ring's life
            return 0
        freed = seq + 1 - self._unacked
        self._unacked = seq + 1
        self.acked = (boot, seq)
        self._unsaved += freed
        if self._unsaved >= ACK_EVERY:
            self.close()
        return freed

    def close(self) -> None:
        """Save the acknowledgement if the newest sector has room for it; otherwise the next sector's header does."""
        room = self._io.record_bytes(_ACK_DATA_BYTES)
        if self._unsaved and self.acked and not self._closed and self._log.end + room <= SECTOR_BYTES:
            saved = self._write(ACK, self._log.head.boot, self.next_seq, 0, struct.pack("<II", self.acked[0], self.acked[1]))
            self._unsaved = 0 if saved else self._unsaved

    def records(self, from_seq: int) -> "Iterator[tuple[int, int, bytes]]":
        """Yield (boot, seq, data) of the records from `from_seq` on. Appending and acknowledging meanwhile is fine."""
        number, at = self._next[1:]
        if self._next[0] != from_seq or number < self._log.oldest():
            from_seq = max(from_seq, self._first_from(0))
            number, at = self._log.place_of(from_seq)
        while True:
            found = self._log.step(number, at, from_seq)
            if not found:
                return
            number, at, boot, seq, _, length = found
            if seq > from_seq >= self._gap_end:
                self.skipped += seq - from_seq
                self._gap_end = seq
            data = self._io.data(number, at, length)
            at += self._io.record_bytes(length)
            from_seq = seq + 1
            self._next = (from_seq, number, at)
            yield boot, seq, data

    def first_unacked(self) -> int:
        """Return the sequence number after the last one acknowledged or dropped; next_seq when nothing waits."""
        return self._unacked

    def oldest(self, boot_hint: int = 0) -> tuple[int, int]:
        """Return (boot, seq) of the oldest readable record not acknowledged; (boot_hint, next_seq) when there is none."""
        found = self._log.step(self._tail[0], self._tail[1], self._unacked)
        return (found[2], found[3]) if found else (boot_hint or self._boot, self.next_seq)

    def last(self) -> tuple[int, int] | None:
        """Return (boot, seq) of the record written last, or None before the first one."""
        return (self._boot, self.next_seq - 1) if self.next_seq else None

    @property
    def used_bytes(self) -> int:
        """Flash taken by what is not acknowledged."""
        if self._unacked == self.next_seq:
            return 0
        return (self._log.head.number - self._tail[0]) * SECTOR_BYTES + self._log.end - self._tail[1]

    @property
    def capacity_bytes(self) -> int:
        """Flash that records can take before the ring is full."""
        return (self._io.count - 1) * SECTOR_BYTES

    def _refuse(self, weight: int) -> bool:
        self.dropped += 1
        self.dropped_weight += weight
        return False

    def _thinning(self) -> int:
        """Return 0 while half of the ring is free, 1 while a quarter is, then 3, 7 ..: bits that a kept record's number lacks."""
        capacity = self.capacity_bytes
        free = capacity - self.used_bytes
        bits = 0
        while bits < THINNEST and capacity // (2 * bits + 2) > free:
            bits = 2 * bits + 1
        return bits

    def _open_next(self, boot: int) -> bool:
        """Begin the next sector, letting go of the one that will follow it. False: NEWEST, and somebody still needs that one."""
        while self._tries:
            number = self._log.head.number + 1
            if not self._let_go(number - self._io.count + 1):
                return False
            head = SectorHeader(number, self.next_seq, boot, self.tally, self.acked, self.dropped, self.dropped_weight)
            self._closed = not self._io.open(head)
            self._log.push(head)
            if not self._closed:
                self._unsaved = 0
                return True
            self._tries -= 1
        raise FlashError("ring.worn", f"the last {TRIES} sectors refused to be written")

    def _let_go(self, number: int) -> bool:
        """Take a sector out of the log, counting what nobody has acknowledged. False: NEWEST, and there is some."""
        lost = self._first_from(number + 1) - self._unacked
        if lost > 0:
            found = self._log.step(number, self._io.start, self._unacked)
            if self._overflow == NEWEST and found and found[0] == number:
                return False
            self.dropped += lost
            while found and found[0] == number:
                self.dropped_weight += found[4]
                found = self._log.step(number, found[1] + self._io.record_bytes(found[5]), self._unacked)
            self._unacked += lost
        if self._tail[0] <= number:
            self._tail = (number + 1, self._io.start)
        return True

    def _first_from(self, number: int) -> int:
        """Return the first seq kept from this sector on; next_seq when nothing is."""
        head = self._log.first(number)
        return head.first_seq if head else self.next_seq

    def _write(self, kind: int, boot: int, seq: int, weight: int, data: bytes) -> bool:
        if self._io.write(self._log.head, self._log.end, kind, boot, seq, weight, data):
            self._log.end += self._io.record_bytes(len(data))
            return True
        self._closed = True
        self._tries = max(0, self._tries - 1)
        self.skipped += 1
        return False
