"""Samples to records to the ring: nothing is made up, nothing grows beyond a record, nothing fails twice."""

import unittest

from host.sim.flash import NorFlash
from node.app.application import Application
from node.app.assembly import assemble
from node.app.batcher import MAX_SKIPPED, Batcher, Journal
from node.errors import FlashError
from node.ring import NEWEST, Ring
from node.wire import batch, schema
from tests.node.common import StillClock, code_of

CHANNELS = schema.build([("temp", "Cel", "0.01"), ("vib", "mm/s", "1")])
ALARM = schema.build([("temp.alarm", "Cel", "0.01"), ("temp.high", "Cel", "0.01")])


class Channel:
    median, ema_pct, deadband, low, hysteresis, edge = 1, 100, 0, None, 0, False

    def __init__(self, high=None):
        self.high = high


class Config:
    groups = [(100, 0, (0, 1))]  # noqa: RUF012

    def __init__(self, high=None):
        self.channels = [Channel(high), Channel()]


class Rows:
    """A source: one row after the other."""

    lead_ms = 0

    def __init__(self, rows):
        self.rows = list(rows)
        self.channels = tuple(range(len(self.rows[0])))

    def start(self):
        pass

    def read(self):
        return self.rows.pop(0)

    def recover(self):
        pass


class Bench(unittest.TestCase):
    told = (CHANNELS,)

    def setUp(self):
        self.ring = Ring(NorFlash(4))
        self.ring.mount()
        self.clock = StillClock()
        self.begin()

    def begin(self):
        self.commits = 0
        self.journal = Journal(self.ring, 7, [(schema.schema_hash(raw), raw) for raw in self.told], self.clock, self._committed)
        self.batcher = Batcher(self.journal, 0, 100, 2)

    def _committed(self):
        self.commits += 1

    def batches(self):
        return [batch.decode(data) for _, _, data in self.ring.records(0) if batch.record_name(data)[0] == batch.BATCH]


class TestBatcher(Bench):
    def test_first_record_of_a_boot_is_its_schema(self):
        self.batcher.add(100, 0, [1, 2])
        self.batcher.flush()
        records = [data for _, _, data in self.ring.records(0)]
        self.assertEqual(batch.parse_schema_record(records[0])[3], CHANNELS)
        self.assertEqual(batch.decode(records[1])["schema"], schema.schema_hash(CHANNELS))
        self.assertEqual((self.journal.first_seq, self.commits, self.ring.tally), (0, 2, 2))

    def test_schema_is_committed_again_when_the_server_lost_it(self):
        self.journal.announce()
        self.journal.announce()
        self.assertEqual([data[0] for _, _, data in self.ring.records(0)], [batch.SCHEMA, batch.SCHEMA])

    def test_what_a_full_ring_refuses_is_told_as_committed(self):
        self.ring = Ring(NorFlash(3), 4, NEWEST)
        self.ring.mount()
        for size in (150, 1):
            while self.ring.append(6, self.ring.next_seq, bytes(size), 1):
                pass
        self.begin()
        refused, waiting = self.ring.dropped, self.ring.next_seq
        self.batcher.add(100, 0, [1, 2])
        self.batcher.flush()   # the schema, then the batch
        self.assertEqual((self.commits, self.journal.first_seq, self.ring.dropped), (0, None, refused + 2))
        self.ring.ack(6, waiting - 1)
        self.batcher.add(200, 0, [1, 2])
        self.batcher.flush()
        self.assertEqual((self.commits, self.journal.first_seq), (2, waiting))

    def test_missing_readings_stay_missing(self):
        for i, row in enumerate(([1, None], [None, None], [3, 4])):
            self.batcher.add(100 * i, 0, row)
        self.batcher.flush()
        self.assertEqual(self.batches()[0]["columns"], [[1, None, 3], [None, None, 4]])
        self.assertEqual(self.ring.tally, 3)

    def test_device_that_cannot_keep_up_commits_each_row_by_itself(self):
        self.batcher.add(100, 0, [1, 1])
        self.batcher.add(500, 0, [2, 2])
        self.batcher.add(600, 0, [3, 3])
        self.batcher.flush()
        only, = self.batches()
        self.assertEqual((only["times"], only["columns"][0]), ([100, 200, 300, 400, 500, 600], [1, None, None, None, 2, 3]))
        self.assertEqual(self.ring.tally, 6)

    def test_long_gap_is_kept_as_a_batch_of_nothing(self):
        self.batcher.add(100, 0, [1, 1])
        self.batcher.add(100 * (MAX_SKIPPED + 3), 0, [2, 2])
        self.batcher.flush()
        self.assertEqual([one["times"] for one in self.batches()], [[100], [100 * (MAX_SKIPPED + 3)]])

    def test_lateness_is_kept_when_it_matters(self):
        for i, late_ms in enumerate((0, 12, 13, 90)):
            self.batcher.add(100 * i, late_ms, [i, i])
        self.batcher.flush()
        self.assertEqual(self.batches()[0]["times"], [0, 100, 213, 390])

    def test_samples_too_many_for_one_record_become_several(self):
        wild = [((i * 2654435761) % (1 << 32)) - (1 << 31) for i in range(1200)]
        for i in range(600):
            self.batcher.add(100 * i, 20 if i % 3 == 0 else 0, [wild[2 * i], wild[2 * i + 1]])
        self.batcher.flush()
        made = self.batches()
        self.assertGreater(len(made), 1)
        self.assertEqual([value for one in made for value in one["columns"][0]], wild[0::2])
        self.assertEqual([ms for one in made for ms in one["times"]], [100 * i + (20 if i % 3 == 0 else 0) for i in range(600)])

    def test_flash_that_refuses_costs_this_batch_only(self):
        self.batcher.add(0, 0, [1, 1])
        append = self.ring.append

        def refuse(*_arguments):
            raise FlashError("ring.worn", "test")

        self.ring.append = refuse
        self.assertEqual(code_of(self, FlashError, self.batcher.flush), "ring.worn")
        self.ring.append = append
        self.batcher.add(100, 0, [2, 2])
        self.batcher.flush()
        self.assertEqual([one["columns"][0] for one in self.batches()], [[2]])


class TestApplication(Bench):
    def app(self, rows, high=None, flush_every_ms=10**6):
        self.lates = []
        groups, sampler = assemble(Config(high), [Rows(rows)], self.journal, 0, lambda period_ms: 0)
        return Application(groups, sampler, self.clock, batch_samples=6, next_flush_ms=lambda now: now + flush_every_ms,
                           on_late=self.lates.append)

    def run_ticks(self, app, times):
        for self.clock.now in times:
            app.tick()

    def test_batch_is_committed_when_it_is_full(self):
        self.run_ticks(self.app([[i, i] for i in range(12)]), range(100, 1300, 100))
        self.assertEqual([len(one["times"]) for one in self.batches()], [6, 6])

    def test_batch_is_committed_when_the_uplink_is_due(self):
        self.run_ticks(self.app([[i, i] for i in range(5)], flush_every_ms=200), range(100, 600, 100))
        self.assertEqual([len(one["times"]) for one in self.batches()], [3, 2])

    def test_alarm_does_not_wait_for_the_batch(self):
        self.told = CHANNELS, ALARM
        self.begin()
        self.run_ticks(self.app([[1, 0], [90, 0], [95, 0]], high=80), (100, 200, 300))
        rows, start, alarm = self.batches()
        self.assertEqual(rows["columns"][0], [1, 90])
        self.assertEqual((start["times"], start["columns"]), ([100], [[1], [None]]))
        self.assertEqual((alarm["times"], alarm["columns"]), ([200], [[90], [80]]))

    def test_lateness_is_reported_and_the_grid_stands(self):
        self.run_ticks(self.app([[1, 1]] * 3, flush_every_ms=0), (130, 200, 300))
        self.assertEqual(self.lates, [30, 0, 0])
        self.assertEqual([one["times"] for one in self.batches()], [[130], [200], [300]])

    def test_long_standstill_skips_places(self):
        self.run_ticks(self.app([[1, 1]] * 2, flush_every_ms=0), (100, 200))
        app = self.app([[1, 1]] * 2, flush_every_ms=0)
        self.run_ticks(app, (1030, 1100))
        self.assertEqual(self.batches()[-1]["times"], [1100])


if __name__ == "__main__":
    unittest.main()
