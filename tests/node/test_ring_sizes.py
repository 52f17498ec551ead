"""Rings of 64 KiB to 8 MiB: what grows with the partition or with what is in it, and must not."""

import gc
import unittest

from host.sim.flash import SECTOR_BYTES, NorFlash
from node.compat import IS_MICROPYTHON
from node.ring import NEWEST, OLDEST, THIN, Ring
from node.wire.sector import ACK, DATA, SectorHeader, pack_header, pack_record

SIZES = (16, 64, 256, 1024, 2048)   # sectors: 64 KiB, 256 KiB, 1, 4 and 8 MiB
PER_SECTOR = 20   # records
DATA_BYTES = 180


def log2(number):
    return len(bin(number)) - 2


class FullFlash:
    """A partition of any size that was written all over three times, each sector made up when it is read.

    Sectors that are written to are kept; `acked` records have been acknowledged, which the newest sector says.
    """

    def __init__(self, sectors, acked):
        self.sectors = sectors
        self.newest = 3 * sectors + 5
        self.acked = acked
        self.reads = 0
        self._written = {}
        self._made = (-1, b"")

    def readblocks(self, block, buf, offset=0):
        self.reads += 1
        if block in self._written:
            self._written[block].readblocks(0, buf, offset)
            return
        if self._made[0] != block:
            self._made = (block, self._make(block))
        buf[:] = memoryview(self._made[1])[offset:offset + len(buf)]

    def writeblocks(self, block, buf, offset):
        if block not in self._written:
            self._written[block] = NorFlash(1, bytearray(self._make(block)))
        self._written[block].writeblocks(0, buf, offset)

    def ioctl(self, op, arg):
        if op == 6:
            self._written[arg] = NorFlash(1)
            return 0
        return {4: self.sectors, 5: SECTOR_BYTES}.get(op)

    def _make(self, block):
        number = self.newest - (self.newest - block) % self.sectors
        head = SectorHeader(number, number * PER_SECTOR, 7, number, None, 0, 0)
        raw = bytearray(pack_header(head))
        for i in range(PER_SECTOR):
            raw.extend(pack_record(head, DATA, 7, number * PER_SECTOR + i, 1, bytes(DATA_BYTES), 4))
        if number == self.newest and self.acked:
            seq = (self.newest - self.sectors + 2) * PER_SECTOR + self.acked - 1
            raw.extend(pack_record(head, ACK, 7, 0, 0, (7).to_bytes(4, "little") + seq.to_bytes(4, "little"), 4))
        return bytes(raw) + b"\xff" * (SECTOR_BYTES - len(raw))


class SizeTest(unittest.TestCase):
    def test_mount_takes_longer_than_two_reads_a_sector_and_three_scans(self):
        for sectors in SIZES:
            for acked in (0, 1, (sectors - 2) * PER_SECTOR, (sectors - 1) * PER_SECTOR):
                flash = FullFlash(sectors, acked)
                ring = Ring(flash)
                ring.mount()
                kept = (sectors - 1) * PER_SECTOR - acked
                self.assertEqual(ring.next_seq - ring.first_unacked(), kept)
                self.assertEqual(ring.oldest(), (7, ring.next_seq - kept))
                scan = 3 * (PER_SECTOR + 1) + SECTOR_BYTES // 256   # a sector's records: erased?, head, data; then the rest
                self.assertTrue(flash.reads <= 2 * sectors + 3 * scan + 2 * log2(sectors), (sectors, acked, flash.reads))

    def test_record_is_looked_for_from_the_logs_beginning(self):
        for sectors in SIZES:
            flash = FullFlash(sectors, 0)
            ring = Ring(flash)
            ring.mount()
            for seq in (ring.first_unacked(), ring.first_unacked() + sectors // 2 * PER_SECTOR + 3, ring.next_seq - 1):
                before = flash.reads
                self.assertEqual(next(ring.records(seq))[1], seq)
                self.assertTrue(flash.reads - before <= 2 * log2(sectors) + 3 * PER_SECTOR, (sectors, flash.reads - before))
                before = flash.reads
                self.assertTrue(ring.ack(7, seq) > 0)
                self.assertTrue(flash.reads - before <= 2 * log2(sectors) + 3 * PER_SECTOR + 3, (sectors, flash.reads - before))

    def test_append_to_a_full_ring_of_any_size(self):
        for sectors in SIZES:
            for overflow in (OLDEST, NEWEST, THIN):
                ring = Ring(FullFlash(sectors, 0), 4, overflow)
                ring.mount()
                first, seq = ring.first_unacked(), ring.next_seq
                taken = [ring.append(7, ring.next_seq, bytes(DATA_BYTES), 1) for _ in range(64)]
                if overflow == NEWEST:
                    self.assertEqual((sum(taken), ring.first_unacked(), ring.dropped), (0, first, 64))
                else:
                    self.assertEqual(sum(taken), 64 if overflow == OLDEST else ring.next_seq - seq)
                    self.assertTrue(sum(taken) > 0)
                    self.assertTrue(ring.first_unacked() > first)
                self.assertEqual(ring.next_seq - ring.first_unacked() + ring.dropped, (sectors - 1) * PER_SECTOR + 64)

    def test_memory_grows_with_the_partition_or_with_what_is_in_it(self):
        if not IS_MICROPYTHON:
            self.skipTest("CPython does not tell")
        flashes = [FullFlash(sectors, 0) for sectors in SIZES] + [NorFlash(16)]
        rings, used = [None] * len(flashes), []
        for i, flash in enumerate(flashes):
            for _ in range(2):   # the first time, what the last one left on the stack may still be held
                rings[i] = None
                gc.collect()
                before = gc.mem_alloc()
                rings[i] = self.walked(flash)
                gc.collect()
            used.append(gc.mem_alloc() - before)
        self.assertTrue(0 < max(used) <= 1536, used)   # bytes on a 64-bit port, the read buffer of 256 among them
        self.assertTrue(max(used) - min(used) <= 128, used)

    @staticmethod
    def walked(flash):
        ring = Ring(flash)
        ring.mount()
        for _ in ring.records(0):
            pass
        flash._made = (-1, b"")
        return ring


if __name__ == "__main__":
    unittest.main()
