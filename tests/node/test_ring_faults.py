"""Faults of the flash under the log: torn, rotten, foreign and worn sectors cost more than themselves."""

from host.sim.flash import DONE, GARBAGE, HALF, SKIPPED, NorFlash, PowerCut
from node.errors import FlashError
from node.ring import Ring
from node.wire.sector import SECTOR_BYTES
from tests.node.rings import RingCase, data_of, fill, kept, mounted, payload


class RingFaultsTest(RingCase):
    def test_rotten_record_is_skipped_counted_and_does_not_hide_the_others(self):
        fill(self.ring, 10)
        at = self.flash.image.find(payload(4))
        self.flash.image[at + 40] ^= 0x10
        ring = self.reboot()
        self.assertEqual([seq for _, seq in kept(ring)], [0, 1, 2, 3, 5, 6, 7, 8, 9])
        self.assertEqual(ring.skipped, 1)
        self.assertIsNone(data_of(ring, 4))

    def test_one_rotten_bit_costs_more_than_its_record_or_its_sector(self):
        fill(self.ring, 60)
        self.ring.ack(1, 20)
        self.ring.close()
        image, oldest, sectors = bytes(self.flash.image), self.ring.oldest()[1], {}
        for seq in range(oldest, 60):
            sectors.setdefault(image.find(payload(seq)) // SECTOR_BYTES, set()).add(seq)
        for at in range(0, len(image), 61):
            self.flash.image[at] ^= 1 << at % 8
            found = {seq for _, seq in kept(self.reboot()) if seq >= oldest}
            lost = set(range(oldest, 60)) - found
            if at % SECTOR_BYTES < 48:
                self.assertTrue(lost in (set(), sectors.get(at // SECTOR_BYTES)), (at, lost))
            else:
                self.assertTrue(len(lost) <= 1, (at, lost))
                self.assertTrue(self.ring.append(1, self.ring.next_seq, b"more", 1))
            self.flash.image[:] = image

    def test_rotten_record_head_does_not_hide_the_others(self):
        fill(self.ring, 10)
        at = self.flash.image.find(payload(4))
        self.flash.image[at - 12] ^= 0x10
        ring = self.reboot()
        self.assertEqual([seq for _, seq in kept(ring)], [0, 1, 2, 3, 5, 6, 7, 8, 9])

    def test_rotten_oldest_record_moves_the_oldest_on(self):
        fill(self.ring, 5)
        at = self.flash.image.find(payload(0))
        self.flash.image[at] ^= 1
        ring = self.reboot()
        self.assertEqual(ring.oldest(), (1, 1))
        self.assertEqual(ring.ack(1, 4), 5)

    def test_acknowledgement_of_a_record_that_rotted_since_is_taken(self):
        fill(self.ring, 5)
        for seq in (2, 4):
            self.flash.image[self.flash.image.find(payload(seq))] ^= 1
            self.assertTrue(self.ring.ack(1, seq) > 0)
        self.assertEqual((self.ring.first_unacked(), kept(self.ring)), (5, []))

    def test_number_of_an_acknowledged_record_is_not_used_again_when_it_rots(self):
        fill(self.ring, 5)
        self.ring.ack(1, 4)
        self.ring.close()
        self.flash.image[self.flash.image.find(payload(4))] ^= 1
        self.assertEqual(self.reboot().next_seq, 5)

    def test_copy_of_a_sector_in_another_place_is_foreign(self):
        fill(self.ring, 30)
        self.flash.image[3 * SECTOR_BYTES:] = self.flash.image[:SECTOR_BYTES]
        ring = self.reboot()
        self.assertEqual((ring.foreign, len(kept(ring))), (1, 30))

    def test_records_that_an_erase_left_over_do_not_return(self):
        self.flash = NorFlash(4)
        self.flash.stale.update(range(4))
        self.ring = mounted(self.flash)
        for _ in range(20):
            fill(self.ring, 37, size=140)
            ring = self.reboot()
            self.flash.stale.update(range(4))
            self.assertEqual([seq for _, seq in kept(ring)], list(range(ring.first_unacked(), ring.next_seq)))
            for _, seq, data in ring.records(ring.first_unacked()):
                self.assertEqual(data, payload(seq, 140))

    def test_rotten_sector_header_loses_that_sector_only(self):
        fill(self.ring, 70)
        lost = [seq for seq in range(70) if SECTOR_BYTES <= self.flash.image.find(payload(seq)) < 2 * SECTOR_BYTES]
        self.flash.image[SECTOR_BYTES + 9] ^= 4
        ring = self.reboot()
        self.assertEqual(ring.foreign, 1)
        self.assertEqual([seq for _, seq in kept(ring)], [seq for seq in range(ring.first_unacked(), 70) if seq not in lost])

    def test_foreign_partition_is_counted_and_taken_only_by_an_append(self):
        flash = NorFlash(4, bytearray(b"littlefs" * (4 * SECTOR_BYTES // 8)))
        ring = mounted(flash)
        self.assertEqual((ring.foreign, ring.next_seq, flash.ops), (4, 0, 0))
        fill(ring, 100)
        self.assertEqual(mounted(flash.power_on()).next_seq, 100)

    def test_torn_record_was_never_there_and_its_number_is_used_again(self):
        fill(self.ring, 3)
        for tear in (HALF, GARBAGE, SKIPPED):
            self.flash.cut_power_at(1, tear)
            with self.assertRaises(PowerCut):
                fill(self.ring, 1)
            self.reboot()
            self.assertEqual((self.ring.next_seq, self.ring.tally), (3, 720))
        fill(self.ring, 1)
        self.assertEqual([seq for _, seq in kept(self.reboot())], [0, 1, 2, 3])
        self.assertEqual(self.flash.violations, 0)

    def test_record_completed_in_the_moment_of_the_cut_counts(self):
        fill(self.ring, 3)
        self.flash.cut_power_at(1, DONE)
        with self.assertRaises(PowerCut):
            fill(self.ring, 1)
        self.assertEqual((self.reboot().next_seq, self.ring.tally), (4, 960))

    def test_sector_that_refuses_writes_is_passed_over(self):
        for kind in ("refusing", "deaf"):
            self.flash = NorFlash(8)
            self.ring = mounted(self.flash)
            fill(self.ring, 1)
            getattr(self.flash, kind).update((0, 2))
            fill(self.ring, 40)
            self.assertEqual(self.flash.wear[:5], [1, 1, 1, 1, 0])
            self.assertEqual(len(kept(self.ring)), 41)
            self.assertEqual(len(kept(self.reboot())), 41)

    def test_flash_that_refuses_everywhere_is_called_worn_and_keeps_what_it_has(self):
        self.flash = NorFlash(8)
        self.ring = mounted(self.flash)
        fill(self.ring, 150)
        self.flash.deaf.update(range(8))
        kept_before = len(kept(self.ring))
        for _ in range(10):
            with self.assertRaises(FlashError) as caught:
                fill(self.ring, 1)
            self.assertEqual(caught.exception.code, "ring.worn")
        self.assertEqual(self.ring.next_seq, 150)
        self.assertTrue(len(kept(self.ring)) >= kept_before * 3 // 7)
        self.assertEqual([seq for _, seq in kept(self.ring)], list(range(self.ring.first_unacked(), 150)))

    def test_program_unit_is_written_in_part_or_twice(self):
        for unit in (1, 4, 16, 32):
            self.flash = NorFlash(6, None, unit)
            for power_cut in range(3):
                ring = Ring(self.flash, unit)
                ring.mount()
                for size in (1, 19, 20, 21, 77, 300, 2048):
                    fill(ring, 10, size=size)
                    ring.ack(1, ring.next_seq - 3)
                self.flash.cut_power_at(1 + power_cut, HALF)
                with self.assertRaises(PowerCut):
                    fill(ring, 10, size=2000)
                self.flash = self.flash.power_on()
            self.assertEqual(self.flash.violations, 0)
            again = Ring(self.flash, unit)
            again.mount()
            self.assertEqual(kept(again), [(1, seq) for seq in range(again.first_unacked(), again.next_seq)])
            self.assertTrue(len(kept(again)) >= 2)
