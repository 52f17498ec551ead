"""Faults of the flash log: lost, reordered or miscounted records. Power cuts at every operation are in tests/power."""

from host.sim.flash import NorFlash
from node.errors import CallerError
from node.ring import ACK_EVERY, Ring
from tests.node.rings import RingCase, data_of, fill, mounted, payload


class RingTest(RingCase):
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

    def test_used_bytes_follow_what_waits(self):
        fill(self.ring, 10)
        full = self.ring.used_bytes
        self.assertTrue(1500 <= full <= self.ring.capacity_bytes)
        self.ring.ack(1, 4)
        self.assertTrue(0 < self.ring.used_bytes < full)
        self.ring.ack(1, 9)
        self.assertEqual(self.ring.used_bytes, 0)

    def test_flash_programmed_stays_within_the_target(self):
        flash = NorFlash(64)
        ring = mounted(flash)
        for _ in range(500):
            fill(ring, 1, size=155)
            ring.ack(1, ring.next_seq - 1)
        self.assertTrue(flash.programmed_bytes <= 1.15 * 500 * 155, flash.programmed_bytes / (500 * 155))
