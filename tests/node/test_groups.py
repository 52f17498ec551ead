"""Channels of several periods: each on its own grid, none starves another, and windows hold what belongs to them."""

import json
import unittest

from host.sim.flash import NorFlash
from node import config, rows
from node.app.application import Application
from node.app.assembly import assemble
from node.app.batcher import Journal
from node.ring import Ring
from node.settings import Config
from node.wire import batch, schema
from tests.node.common import StillClock

UPLINK_MS = 10**6


class Sensors:
    """A source: every channel shows the time, in ms, unless `shown` says otherwise."""

    lead_ms = 0

    def __init__(self, clock, channels):
        self.clock, self.channels = clock, tuple(range(channels))
        self.shown = {}

    def start(self):
        pass

    def read(self):
        return [self.shown.get(channel, self.clock.now) for channel in self.channels]

    def recover(self):
        pass


class Bench(unittest.TestCase):
    """A device at 1000 ms, 60 samples a batch, whose uplink is due every `uplink_ms`; scattered to 0."""

    def begin(self, *channels, uplink_ms=UPLINK_MS, jitter_ms=0, scatter_ms=0):
        site = {"host": "h", "product": "p", "model": "m", "channels": channels}
        self.config = config.parse(json.dumps(site).encode(), Config())
        self.ring = Ring(NorFlash(8))
        self.ring.mount()
        self.clock = StillClock()
        self.sensors = Sensors(self.clock, len(channels))
        self.schemas = [(schema.schema_hash(raw), raw) for raw in rows.schemas(self.config)]
        self.journal = Journal(self.ring, 7, self.schemas, self.clock, lambda: None)
        groups, made = assemble(self.config, [self.sensors], self.journal, 0, lambda period_ms: scatter_ms % period_ms)
        self.groups, self.lates = groups, []
        self.app = Application(groups, made, self.clock, batch_samples=60, on_late=self.lates.append,
                               next_flush_ms=lambda now_ms: (now_ms // uplink_ms + 1) * uplink_ms + jitter_ms)

    def run_to(self, end_ms):
        """Do everything that is due by then, each in time."""
        while self.wake_ms() <= end_ms:
            self.clock.now = max(self.clock.now, self.wake_ms())
            self.app.tick()
        self.clock.now = end_ms

    def wake_ms(self):
        return min([group.wake_ms for group in self.groups])

    def flush(self):
        for group in self.groups:
            group.batcher.flush()

    def batches(self, number):
        """The batches of one group."""
        found = [batch.decode(data) for _, _, data in self.ring.records(0) if batch.record_name(data)[0] == batch.BATCH]
        return [one for one in found if one["schema"] == self.schemas[number][0]]

    def rows(self, number):
        """(times, columns) of one group, its batches joined."""
        times, columns = [], None
        for one in self.batches(number):
            times += one["times"]
            columns = one["columns"] if columns is None else [a + b for a, b in zip(columns, one["columns"])]  # noqa: B905
        return times, columns


class TestGroups(Bench):
    def test_each_group_has_its_own_grid_and_schema(self):
        self.begin({"name": "fast", "period_ms": 500}, {"name": "slow"}, {"name": "shifted", "phase_ms": 250}, {"name": "too"})
        self.run_to(2300)
        self.flush()
        self.assertEqual(self.rows(0), ([500, 1000, 1500, 2000], [[500, 1000, 1500, 2000]]))
        self.assertEqual(self.rows(1), ([1000, 2000], [[1000, 2000], [1000, 2000]]))
        self.assertEqual(self.rows(2), ([250, 1250, 2250], [[250, 1250, 2250]]))
        self.assertEqual([one["period_ms"] for number in range(3) for one in self.batches(number)], [500, 1000, 1000])
        self.assertEqual(set(self.lates), {0})

    def test_boot_begins_with_every_schema_and_its_first_batch_is_told_from_them(self):
        self.begin({"name": "a"}, {"name": "b", "period_ms": 500}, {"name": "c", "stats": 5})
        self.journal.announce()
        told = [batch.parse_schema_record(data) for _, _, data in self.ring.records(0)]
        self.assertEqual([one[3] for one in told], [raw for _, raw in self.schemas])
        self.assertEqual(self.journal.first_seq, 2)
        self.journal.announce()
        self.assertEqual((self.journal.first_seq, self.ring.next_seq), (2, 6))

    def test_devices_are_scattered_in_each_period(self):
        self.begin({"name": "a"}, {"name": "b", "period_ms": 60000, "phase_ms": 100}, {"name": "c", "stats": 60}, scatter_ms=31234)
        self.assertEqual([group.due_ms for group in self.groups], [234, 31334, 234])
        self.run_to(31334)
        self.flush()
        self.assertEqual([self.rows(number)[0][-1] for number in range(3)], [31234, 31334, 31234])

    def test_uplink_takes_all_groups_together(self):
        self.begin({"name": "a", "period_ms": 500}, {"name": "b", "period_ms": 700}, uplink_ms=2000)
        self.run_to(2000)
        self.assertEqual((self.rows(0)[0], self.rows(1)[0]), ([500, 1000, 1500, 2000], [700, 1400]))

    def test_full_group_goes_alone_and_does_not_put_off_the_others(self):
        self.begin({"name": "a", "period_ms": 20}, {"name": "b", "period_ms": 700}, uplink_ms=2000)
        self.run_to(1900)
        self.assertEqual(([len(one["times"]) for one in self.batches(0)], self.batches(1)), ([60], []))
        self.run_to(2000)
        self.assertEqual(self.rows(1)[0], [700, 1400])

    def test_full_group_between_the_uplinks_place_and_its_jitter_keeps_the_others_waiting_no_longer(self):
        self.begin({"name": "a", "period_ms": 35}, {"name": "b", "period_ms": 700}, uplink_ms=2000, jitter_ms=300)
        self.run_to(2310)
        self.assertEqual([len(one["times"]) for one in self.batches(0)], [60, 6])
        self.assertEqual(self.rows(1)[0], [700, 1400, 2100])

    def test_slow_group_does_not_put_off_the_first_uplink(self):
        self.begin({"name": "a", "period_ms": 50000}, {"name": "b"}, uplink_ms=4000)
        self.run_to(4000)
        self.assertEqual(self.rows(1)[0], [1000, 2000, 3000, 4000])

    def test_alarm_of_one_group_takes_the_others_with_it(self):
        self.begin({"name": "a", "high": 3000}, {"name": "b", "period_ms": 700})
        self.run_to(2999)
        self.assertEqual(self.ring.next_seq, 0)
        self.run_to(3000)
        self.assertEqual((self.rows(0)[0], self.rows(1)[0]), ([1000, 2000, 3000], [700, 1400, 2100, 2800]))

    def test_alarms_are_told_in_batches_of_their_own_behind_the_groups(self):
        self.begin({"name": "a", "low": -5}, {"name": "b", "period_ms": 700}, {"name": "c", "high": 3000, "low": 0})
        self.assertEqual([schema.parse(raw)[-1][0] for _, raw in self.schemas], ["c", "b", "a.low", "c.low"])
        self.run_to(2999)
        self.assertEqual([group.alarms() for group in self.groups], [0, 0])
        self.run_to(3000)
        self.assertEqual((self.app.alarms(), self.rows(2)), (1, ([1000], [[1000], [None]])))
        self.assertEqual(self.rows(3), ([1000, 3000], [[1000, 3000], [None, 3000], [None, None]]))
        self.sensors.shown = {2: 2999}
        self.run_to(4000)
        self.assertEqual((self.app.alarms(), self.rows(3)[1]), (0, [[1000, 3000, 2999], [None, 3000, None], [None] * 3]))

    def test_configuration_that_had_room_for_no_further_column_may_have_alarms(self):
        self.begin(*[{"name": f"channel{i}", "high": 1e6, "low": -5, "stats": 10} for i in range(16)])
        self.assertEqual([len(schema.parse(raw)) for _, raw in self.schemas], [64] + [3] * 16)

    def test_delayed_alarm_leaves_when_it_is_one(self):
        self.begin({"name": "a", "high": 2000, "delay": 3})
        self.run_to(3999)
        self.assertEqual(self.ring.next_seq, 0)
        self.run_to(4000)
        self.assertEqual(self.rows(0)[0], [1000, 2000, 3000, 4000])

    def test_blocked_loop_skips_places_of_each_group_and_shifts_none(self):
        self.begin({"name": "a", "period_ms": 500}, {"name": "b"})
        self.run_to(1000)
        self.clock.now = 3600
        self.run_to(4000)
        self.flush()
        times, columns = self.rows(0)
        self.assertEqual(times, [500, 1000, 3600, 2000, 2500, 3000, 3500, 4000])
        self.assertEqual(columns[0], [500, 1000, 3600] + [None] * 4 + [4000])
        times, columns = self.rows(1)
        self.assertEqual((times, columns[0]), ([1000, 3600, 3000, 4000], [1000, 3600, None, 4000]))
        self.assertEqual(max(self.lates), 2100)


class Converting:
    """A sampler whose channel 0 must begin to convert 600 ms before it is read."""

    def __init__(self, clock):
        self.clock = clock
        self.done = []

    def lead_ms(self, places):
        return 600 if 0 in places else 0

    def start(self, places):
        self.done.append(("start", self.clock.now, places))

    def take(self, places):
        self.done.append(("take", self.clock.now, places))
        return [1] * len(places)


class TestConversions(Bench):
    def test_conversion_begins_ahead_and_nobody_waits_for_it(self):
        self.begin({"name": "a"}, {"name": "b", "period_ms": 700})
        sampler = Converting(self.clock)
        groups, _ = assemble(self.config, [self.sensors], self.journal, 0, lambda period_ms: 0)
        self.groups = groups
        self.app = Application(groups, sampler, self.clock, batch_samples=60, next_flush_ms=lambda now_ms: UPLINK_MS,
                               on_late=self.lates.append)
        self.run_to(2000)
        self.assertEqual(sampler.done, [
            ("start", 400, (0,)), ("take", 700, (1,)), ("take", 1000, (0,)), ("take", 1400, (1,)), ("start", 1400, (0,)),
            ("take", 2000, (0,))])


class TestWindows(Bench):
    def test_windows_take_the_place_of_values(self):
        self.begin({"name": "a", "stats": 4})
        self.run_to(8000)
        self.flush()
        self.assertEqual(self.rows(0), ([4000, 8000], [[1000, 5000], [2500, 6500], [4000, 8000], [1118, 1118]]))

    def test_first_window_is_what_is_left_of_its_place(self):
        self.begin({"name": "a", "stats": 4}, scatter_ms=2000)
        self.run_to(6000)
        self.flush()
        self.assertEqual(self.rows(0), ([2000, 6000], [[1000, 3000], [1500, 4500], [2000, 6000], [500, 1118]]))

    def test_windows_of_several_periods_end_together_beside_a_plain_value(self):
        self.begin({"name": "a", "stats": 4}, {"name": "b", "period_ms": 500, "stats": 8}, {"name": "c", "period_ms": 4000})
        self.run_to(4000)
        self.flush()
        self.assertEqual(self.rows(0), ([4000], [[1000], [2500], [4000], [1118], [500], [2250], [4000], [1146], [4000]]))
        self.assertEqual(len(self.lates), 8)   # what is due at one time is taken at once

    def test_window_with_missing_samples_uses_those_there_are(self):
        self.begin({"name": "a", "stats": 4})
        self.run_to(1000)
        self.sensors.shown = {0: None}
        self.run_to(3000)
        self.sensors.shown = {}
        self.run_to(4000)
        self.sensors.shown = {0: None}
        self.run_to(8000)
        self.flush()
        self.assertEqual(self.rows(0), ([4000, 8000], [[1000, None], [2500, None], [4000, None], [1500, None]]))

    def test_window_whose_end_went_by_keeps_its_place_and_the_next_is_clean(self):
        self.begin({"name": "a", "stats": 4})
        self.run_to(2000)
        self.clock.now = 5400
        self.run_to(8000)
        self.flush()
        self.assertEqual(self.rows(0), ([4000, 8000], [[1000, 6000], [2800, 7000], [5400, 8000], [1883, 816]]))

    def test_windows_that_went_by_whole_are_missing(self):
        self.begin({"name": "a", "stats": 2})
        self.run_to(2000)
        self.clock.now = 9500
        self.run_to(10000)
        self.flush()
        times, columns = self.rows(0)
        self.assertEqual((times, columns[1]), ([2000, 4000, 6000, 8000, 10000], [1500, 9500, None, None, 10000]))

    def test_alarm_does_not_wait_for_the_end_of_its_window(self):
        self.begin({"name": "a", "stats": 10, "high": 13000}, {"name": "b", "period_ms": 10000}, {"name": "c"})
        self.run_to(12999)
        self.assertEqual(self.ring.next_seq, 0)
        self.run_to(13000)
        self.assertEqual([one["times"] for one in self.batches(0)], [[10000], [13000]])
        self.assertEqual(self.batches(0)[1]["columns"], [[11000], [12000], [13000], [816], [None]])
        self.assertEqual(len(self.batches(1)), 1)
        self.sensors.shown = {0: 15000}
        self.run_to(20000)
        self.flush()
        self.assertEqual(self.batches(0)[2]["times"], [20000])
        self.assertEqual(self.batches(0)[2]["columns"], [[15000], [15000], [15000], [0], [20000]])

    def test_rows_of_windows_alone_leave_when_the_uplink_is_due(self):
        self.begin({"name": "a", "stats": 10}, uplink_ms=4000)
        self.run_to(9000)
        self.assertEqual(self.ring.next_seq, 0)
        self.run_to(10000)   # the uplink was due twice and found nothing
        self.assertEqual(self.rows(0)[0], [10000])

    def test_score_of_a_window_is_its_highest(self):
        self.begin({"name": "a", "stats": 100, "anomaly": True}, {"name": "b", "period_ms": 100000, "anomaly": True})
        self.sensors.shown = {0: 50, 1: 50}
        self.run_to(150000)
        self.sensors.shown[0] = 57
        self.run_to(151000)
        self.sensors.shown[0] = 50
        self.run_to(200000)
        self.flush()
        self.assertEqual(self.rows(0)[1][4:], [[0, 70], [50, 50], [None, None]])

    def test_score_beside_values_sees_what_the_deadband_holds_back(self):
        self.begin({"name": "a", "anomaly": True, "deadband": 1000})
        self.sensors.shown = {0: 50}
        self.run_to(70000)
        self.sensors.shown = {0: 53}
        self.run_to(71000)
        self.flush()
        values, scores = self.rows(0)[1]
        self.assertEqual((values[0], values[-1], scores[63], scores[64], scores[-1]), (50, None, None, 0, 30))


if __name__ == "__main__":
    unittest.main()
