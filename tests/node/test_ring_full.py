"""Faults of a flash log that is full: records lost other than as it was set, and not counted."""

from host.sim.flash import NorFlash
from node.ring import NEWEST, OLDEST, THIN
from node.wire.sector import SECTOR_BYTES
from tests.node.rings import RingCase, fill, kept, mounted, payload


class FullRingTest(RingCase):
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
