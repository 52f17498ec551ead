"""Faults of the flash log: lost, torn, reordered or uncounted records. Power cuts at every operation are in tests/power."""

import unittest

from host.sim.flash import DONE, GARBAGE, HALF, SKIPPED, NorFlash, PowerCut
from node.errors import CallerError, FlashError
from node.ring import ACK_EVERY, NEWEST, OLDEST, THIN, Ring
from node.wire.sector import SECTOR_BYTES


def mounted(flash, overflow=OLDEST):
    ring = Ring(flash, 4, overflow)
    ring.mount()
    return ring


def data_of(ring, seq):
    for _, found, data in ring.records(seq):
        return data if found == seq else None
    return None


def payload(seq, size=150):
    return bytes([(seq * 7 + i) & 0xFF for i in range(size)])


def fill(ring, count, size=150, boot=1, weight=240):
    for _ in range(count):
        ring.append(boot, ring.next_seq, payload(ring.next_seq, size), weight)


def kept(ring):
    return [(boot, seq) for boot, seq, _ in ring.records(ring.first_unacked())]


class RingTest(unittest.TestCase):
    def setUp(self):
        self.flash = NorFlash(4)
        self.ring = mounted(self.flash)

    def reboot(self):
        self.flash = self.flash.power_on()
        self.ring = mounted(self.flash)
        return self.ring

    def test_reading_one_by_one_starts_from_the_sectors_head_each_time(self):
        for seq in range(50):
            self.ring.append(1, seq, b"record", 1)
        for seq in range(50):
            before = self.flash.reads
            self.assertEqual(next(self.ring.records(seq))[1], seq)
        self.assertTrue(self.flash.reads - before <= 4, self.flash.reads - before)

    def test_acknowledging_one_by_one_starts_from_the_sectors_head_each_time(self):
        """A backlog of small records would take longer to be let go of than to be sent."""
        for seq in range(100):
            self.ring.append(1, seq, b"record", 1)
        for seq in range(100):
            before = self.flash.reads
            self.assertEqual(self.ring.ack(1, seq), 1)
            self.assertTrue(self.flash.reads - before <= 12, f"{self.flash.reads - before} reads for record {seq}")

    def test_opening_a_sector_reads_the_whole_log(self):
        """Of an acknowledged one, all that was kept before the newest record."""
        flash = NorFlash(64)
        ring = mounted(flash)
        worst = 0
        for _ in range(1500):
            before = flash.reads
            fill(ring, 1)
            worst = max(worst, flash.reads - before)
            ring.ack(1, ring.next_seq - 1)
        self.assertTrue(worst <= 12, worst)

    def test_erased_partition_is_an_empty_ring_and_mount_writes_nothing(self):
        self.assertEqual((self.ring.next_seq, self.ring.last(), self.ring.acked), (0, None, None))
        self.assertEqual(self.ring.oldest(7), (7, 0))
        self.assertEqual((self.ring.used_bytes, self.ring.foreign, self.flash.ops), (0, 0, 0))
        self.assertEqual(list(self.ring.records(0)), [])

    def test_record_survives_a_reboot_byte_for_byte(self):
        fill(self.ring, 3)
        ring = self.reboot()
        self.assertEqual(list(ring.records(0)), [(1, seq, payload(seq)) for seq in range(3)])
        self.assertEqual((ring.next_seq, ring.last(), ring.oldest()), (3, (1, 2), (1, 0)))
        self.assertEqual(data_of(ring, 1), payload(1))
        self.assertIsNone(data_of(ring, 3))

    def test_append_is_one_program_operation_once_a_sector_is_open(self):
        fill(self.ring, 1)
        ops = self.flash.ops
        fill(self.ring, 1)
        self.assertEqual(self.flash.ops, ops + 1)
        self.assertEqual(self.flash.violations, 0)

    def test_sequence_numbers_go_on_after_everything_is_acknowledged(self):
        fill(self.ring, 5)
        self.assertEqual(self.ring.ack(1, 4), 5)
        self.ring.close()
        ring = self.reboot()
        self.assertEqual((ring.next_seq, ring.first_unacked(), ring.acked, ring.used_bytes), (5, 5, (1, 4), 0))
        self.assertEqual(ring.oldest(2), (2, 5))

    def test_acknowledgement_survives_but_for_less_than_one_ack_record(self):
        fill(self.ring, 60)
        for seq in range(50):
            self.ring.ack(1, seq)
        ring = self.reboot()
        self.assertTrue(50 - ACK_EVERY < ring.first_unacked() <= 50)

    def test_old_repeated_and_future_acknowledgements_change_nothing(self):
        fill(self.ring, 5)
        self.assertEqual(self.ring.ack(1, 2), 3)
        for boot, seq in ((1, 2), (1, 0), (1, 5), (1, 4000000000)):
            self.assertEqual(self.ring.ack(boot, seq), 0)
        self.assertEqual(self.ring.first_unacked(), 3)

    def test_acknowledgement_of_another_rings_life_frees_nothing(self):
        fill(self.ring, 5, boot=9)
        self.assertEqual(self.ring.ack(3, 4), 0)
        self.assertEqual(self.ring.first_unacked(), 0)

    def test_full_ring_drops_the_oldest_and_counts_them(self):
        fill(self.ring, 200)
        self.assertTrue(self.ring.dropped > 100)
        self.assertEqual(self.ring.first_unacked(), self.ring.dropped)
        self.assertEqual(self.ring.dropped_weight, self.ring.dropped * 240)
        self.assertEqual(kept(self.ring), [(1, seq) for seq in range(self.ring.dropped, 200)])
        before = (self.ring.dropped, self.ring.dropped_weight, self.ring.tally)
        ring = self.reboot()
        self.assertEqual((ring.dropped, ring.dropped_weight, ring.tally), before)

    def test_ring_set_to_keep_the_oldest_overwrites_one(self):
        ring = mounted(self.flash, NEWEST)
        fill(ring, 200)
        self.assertEqual((ring.first_unacked(), ring.next_seq + ring.dropped), (0, 200))
        self.assertEqual(ring.dropped_weight, ring.dropped * 240)
        self.assertEqual(kept(ring), [(1, seq) for seq in range(ring.next_seq)])
        self.assertTrue(ring.next_seq >= 50, ring.next_seq)
        ops = self.flash.ops
        self.assertFalse(ring.append(2, ring.next_seq, payload(0), 7))   # another boot's too
        self.assertEqual(self.flash.ops, ops)   # what is refused wears nothing
        again = mounted(self.flash.power_on(), NEWEST)
        self.assertEqual((kept(again), again.tally), (kept(ring), ring.tally))

    def test_ring_that_refused_takes_records_again_once_the_oldest_sector_is_acknowledged(self):
        ring = mounted(self.flash, NEWEST)
        fill(ring, 200)
        full, refused = ring.next_seq, ring.dropped
        ring.ack(1, 5)
        self.assertFalse(ring.append(1, full, payload(full), 1))
        ring.ack(1, 30)
        self.assertTrue(ring.append(1, full, payload(full), 1))
        self.assertEqual((ring.next_seq, ring.first_unacked(), ring.dropped), (full + 1, 31, refused + 1))
        again = mounted(self.flash.power_on(), NEWEST)
        self.assertEqual((again.dropped, again.dropped_weight), (ring.dropped, ring.dropped_weight))

    def test_ring_that_refused_waits_for_records_that_rotted(self):
        ring = mounted(self.flash, NEWEST)
        fill(ring, 200)
        for seq in range(ring.next_seq):
            at = self.flash.image.find(payload(seq))
            if at < SECTOR_BYTES:
                self.flash.image[at] ^= 1
        self.assertTrue(ring.append(1, ring.next_seq, payload(ring.next_seq), 1))

    def test_sector_that_refuses_writes_makes_a_ring_overwrite_what_it_was_to_keep(self):
        ring = mounted(self.flash, NEWEST)
        fill(ring, 60)
        self.flash.deaf.update(range(4))
        self.assertFalse(ring.append(1, 60, payload(60, 2048), 1))
        self.assertEqual((len(kept(ring)), ring.first_unacked()), (60, 0))

    def test_ring_that_thins_out_loses_the_outages_beginning_or_its_end(self):
        flash = NorFlash(17)
        ring = mounted(flash, THIN)
        kept_at = []
        offered = 0
        while not ring.first_unacked():
            if ring.append(1, ring.next_seq, payload(ring.next_seq), 1):
                kept_at.append(offered)
            offered += 1
        depth = 16 * SECTOR_BYTES // 164   # records
        gaps = [kept_at[i + 1] - kept_at[i] for i in range(len(kept_at) - 1)]
        self.assertTrue(0.45 * depth <= gaps.count(1) <= 0.55 * depth, gaps.count(1))   # nothing is left out before half is used
        self.assertEqual([gap for gap in (1, 2, 4, 8, 16, 32, 64) if gap not in gaps], [])
        self.assertEqual((gaps, max(gaps)), (sorted(gaps), 64))
        self.assertTrue(offered > 3.5 * depth, offered / depth)   # before the oldest goes

    def test_ring_that_thinned_out_goes_on_thinning_when_there_is_room_again(self):
        ring = mounted(self.flash, THIN)
        fill(ring, 100)
        self.assertTrue(0 < ring.next_seq < 100)
        ring.ack(1, ring.next_seq - 1)
        before = ring.dropped
        fill(ring, 20)
        self.assertEqual(ring.dropped, before)
        again = mounted(self.flash.power_on(), THIN)
        self.assertEqual((again.tally + again.dropped_weight, again.next_seq + again.dropped), (120 * 240, 120))

    def test_thinning_out_refuses_a_schema(self):
        ring = mounted(self.flash, THIN)
        fill(ring, 100)
        before = ring.next_seq
        fill(ring, 5, weight=0)
        self.assertEqual(ring.next_seq, before + 5)

    def test_acknowledged_records_are_overwritten_without_being_called_dropped(self):
        for _ in range(300):
            fill(self.ring, 1)
            self.ring.ack(1, self.ring.next_seq - 1)
        self.assertEqual((self.ring.dropped, self.ring.dropped_weight), (0, 0))

    def test_partly_acknowledged_sector_counts_only_the_rest_as_dropped(self):
        fill(self.ring, 30)
        self.ring.ack(1, 9)
        while self.ring.first_unacked() == 10:
            fill(self.ring, 1)
        self.assertEqual(self.ring.dropped, self.ring.first_unacked() - 10)
        self.assertEqual(self.ring.dropped_weight, self.ring.dropped * 240)

    def test_tally_is_exact_after_sectors_are_reused(self):
        for weight in range(400):
            self.ring.append(1, weight, payload(weight, 100), weight)
            if weight % 97 == 0:
                self.reboot()
        self.assertEqual(self.ring.tally, sum(range(400)))
        self.assertEqual(self.reboot().tally, sum(range(400)))

    def test_some_sectors_wear_faster(self):
        for overflow in (OLDEST, THIN):
            flash = NorFlash(7)
            for boot in range(1, 12):   # also over boots, whatever is acknowledged
                ring = mounted(flash, overflow)
                fill(ring, 311, boot=boot)
                ring.ack(boot, ring.next_seq - boot * 5)
            self.assertTrue(min(flash.wear) >= 7, flash.wear)
            self.assertTrue(max(flash.wear) - min(flash.wear) <= 1, flash.wear)

    def test_boot_numbers_far_apart_or_falling_are_kept(self):
        for boot in (1, 2, 400, 70000, 5, 4000000000):
            fill(self.ring, 1, boot=boot)
        self.flash = NorFlash(9)
        self.ring = mounted(self.flash)
        for boot in (1, 2, 400, 70000, 5, 4000000000):
            fill(self.ring, 1, boot=boot)
        self.assertEqual([boot for boot, _, _ in self.reboot().records(0)], [1, 2, 400, 70000, 5, 4000000000])
        self.assertEqual(self.ring.last(), (4000000000, 5))

    def test_largest_record_fits_and_a_larger_one_is_refused(self):
        fill(self.ring, 5, size=2048)
        self.assertEqual(data_of(self.reboot(), 4), payload(4, 2048))
        for data in (b"", bytes(2049)):
            with self.assertRaises(CallerError):
                self.ring.append(1, 5, data, 1)

    def test_wrong_sequence_number_is_refused(self):
        with self.assertRaises(CallerError) as caught:
            self.ring.append(1, 1, b"x", 1)
        self.assertEqual(caught.exception.code, "ring.seq")

    def test_too_small_partition_is_refused(self):
        with self.assertRaises(CallerError) as caught:
            Ring(NorFlash(2))
        self.assertEqual(caught.exception.code, "ring.geometry")

    def test_appending_and_acknowledging_do_not_disturb_a_reader(self):
        fill(self.ring, 20)
        seen = []
        for _, seq, data in self.ring.records(0):
            self.assertEqual(data, payload(seq))
            seen.append(seq)
            if seq < 150:
                fill(self.ring, 2)
                self.ring.ack(1, seq)
        self.assertEqual(seen, sorted(set(seen)))
        self.assertEqual(seen[-1], self.ring.next_seq - 1)

    def test_reader_overtaken_by_the_writer_goes_on_at_the_oldest_kept(self):
        fill(self.ring, 20)
        reader = self.ring.records(0)
        next(reader)
        fill(self.ring, 300)
        _, seq, data = next(reader)
        self.assertTrue(seq >= self.ring.first_unacked())
        self.assertEqual(data, payload(seq))

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

    def test_used_bytes_follow_what_waits(self):
        fill(self.ring, 10)
        full = self.ring.used_bytes
        self.assertTrue(1500 <= full <= self.ring.capacity_bytes)
        self.ring.ack(1, 4)
        self.assertTrue(0 < self.ring.used_bytes < full)
        self.ring.ack(1, 9)
        self.assertEqual(self.ring.used_bytes, 0)

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

    def test_flash_programmed_stays_within_the_target(self):
        flash = NorFlash(64)
        ring = mounted(flash)
        for _ in range(500):
            fill(ring, 1, size=155)
            ring.ack(1, ring.next_seq - 1)
        self.assertTrue(flash.programmed_bytes <= 1.15 * 500 * 155, flash.programmed_bytes / (500 * 155))


if __name__ == "__main__":
    unittest.main()
