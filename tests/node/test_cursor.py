"""The order of sending: nothing is sent for ever, nothing is left behind, whatever the server acks and whenever the link breaks."""

import unittest

from node.agent.cursor import MAX_STALLS, Cursor
from node.agent.newest import FRESH, Newest
from tests.sim.uplink import BOOT, LIMIT_S, UplinkRig

LIMIT = 4


class Server:
    """Stores what comes; acks how far that is without a gap."""

    def __init__(self):
        self.stored = set()
        self.first_missing = 0

    def take(self, seq):
        self.stored.add(seq)
        while self.first_missing in self.stored:
            self.first_missing += 1


def send(cursor, end, now_ms=0):
    """Send one record; its number, or None."""
    seq = cursor.pick(end)
    if seq is not None:
        cursor.sent(seq, seq, now_ms)
    return seq


def send_all(cursor, end, server=None):
    """What is sent until the cursor has nothing more; with a server, each record is acked at once."""
    sent = []
    while (seq := send(cursor, end)) is not None:
        sent.append(seq)
        if server:
            server.take(seq)
            cursor.acked(server.first_missing, 0)
    return sent


class TestCursor(unittest.TestCase):
    def test_never_further_ahead_of_the_acks_than_the_limit(self):
        self.assertEqual(send_all(Cursor(10, 1000, LIMIT, 100, 0), 1000), [10, 11, 12, 13])

    def test_standing_ack_starts_over_and_the_wait_grows_to_a_bound(self):
        cursor = Cursor(0, 9, LIMIT, 100, 0)
        waits = []
        now = 0
        for _ in range(MAX_STALLS + 3):
            send(cursor, 9, now)
            waits.append(cursor.stall_in_ms(now))
            now += waits[-1]
            self.assertEqual(cursor.stall_in_ms(now), 0)
            cursor.rewind(0, 9, now)
        self.assertEqual(waits[:3], [100, 200, 400])
        self.assertEqual(waits[-1], waits[-2])

    def test_moving_ack_ends_the_waiting(self):
        cursor = Cursor(0, 9, LIMIT, 100, 0)
        send(cursor, 2)
        send(cursor, 2)
        cursor.acked(1, 90)
        self.assertEqual(cursor.stall_in_ms(100), 90)
        cursor.acked(2, 120)
        self.assertIsNone(cursor.stall_in_ms(10**6))

    def test_idle_time_is_no_stall(self):
        cursor = Cursor(0, 9, LIMIT, 100, 0)
        send(cursor, 9, 5000)
        self.assertEqual(cursor.stall_in_ms(5000), 100)

    def test_skipped_sequence_numbers_are_passed_over(self):
        cursor = Cursor(0, 9, LIMIT, 100, 0)
        cursor.sent(0, 2, 0)
        self.assertEqual(cursor.next, 3)


class TestNewest(unittest.TestCase):
    def test_fresh_records_leave_before_the_backlog(self):
        cursor = Newest(0, 100, LIMIT * FRESH, 100, 0)
        self.assertEqual([send(cursor, 100) for _ in range(FRESH + 2)], [92, 93, 94, 95, 96, 97, 98, 99, 0, 1])
        self.assertEqual(send(cursor, 101), 100)   # committed meanwhile

    def test_backlog_is_sent_once_and_its_end_meets_what_was_fresh(self):
        server = Server()
        sent = send_all(Newest(0, 100, LIMIT * FRESH, 100, 0), 100, server)
        self.assertEqual(sorted(sent), list(range(100)))
        self.assertEqual(server.first_missing, 100)

    def test_backlog_does_not_starve_while_fresh_records_never_end(self):
        cursor, server, end = Newest(0, 50, LIMIT * FRESH, 100, 0), Server(), 50
        backlog = 0
        for _ in range(50 * (FRESH + 1)):
            seq = send(cursor, end)
            backlog += seq < 50 - FRESH
            server.take(seq)
            cursor.acked(server.first_missing, 0)
            end += 1   # as fast as the link
        self.assertEqual(backlog, 50 - FRESH)

    def test_stopped_ingest_is_not_flooded_with_fresh_records(self):
        cursor = Newest(0, 100, LIMIT, 100, 0)
        self.assertEqual(send_all(cursor, 100 + 1000), [92, 93, 94, 95, 0, 1, 2, 3])

    def test_short_backlog_is_as_in_the_other_order(self):
        self.assertEqual(send_all(Newest(5, 5 + FRESH, 99, 100, 0), 5 + FRESH), list(range(5, 5 + FRESH)))

    def test_fresh_records_without_an_ack_are_a_stall(self):
        cursor = Newest(0, 100, LIMIT * FRESH, 100, 0)
        send(cursor, 100)
        self.assertEqual(cursor.stall_in_ms(100), 0)

    def test_rotten_backlog_is_passed_over(self):
        cursor = Newest(0, 100, LIMIT * FRESH, 100, 0)
        send_fresh = [send(cursor, 100) for _ in range(FRESH)]
        cursor.sent(cursor.pick(100), send_fresh[0], 0)   # nothing readable before the fresh ones
        cursor.acked(100, 0)   # a state message told the server of the hole
        self.assertEqual(cursor.pick(101), 100)


class TestBoth(unittest.TestCase):
    def test_every_record_is_acked_and_none_is_sent_for_ever_whatever_breaks(self):
        for kind in (Cursor, Newest):
            for seed in range(60):
                with self.subTest(kind=kind.__name__, seed=seed):
                    self.drain(kind, seed)

    def drain(self, kind, seed):
        state = seed + 1

        def chance(n):
            nonlocal state
            state = (state * 1103515245 + 12345) & 0x3FFFFFFF
            return (state >> 12) % n

        server, end, now, sessions, acked = Server(), 40, 0, 0, 0
        sends = {}
        cursor = None
        while acked < end or end < 120:
            now += 10
            if cursor is None or (sessions < 30 and chance(25) == 0):   # disconnected; what was under way is lost
                cursor, sessions = kind(acked, end, 12, 200, now), sessions + 1
            if cursor.stall_in_ms(now) == 0:
                cursor.rewind(acked, end, now)
            seq = send(cursor, end, now)
            if seq is not None:
                self.assertTrue(acked <= seq < end)
                sends[seq] = sends.get(seq, 0) + 1
                if now > 20000 or chance(8):
                    server.take(seq)
            if chance(3):
                acked = server.first_missing
                cursor.acked(acked, now)
            end += end < 120 and chance(4) == 0
            self.assertLess(now, 2_000_000)
        self.assertLess(max(sends.values()), 60)


class TestOnTheWire(UplinkRig, unittest.TestCase):
    def test_newest_first_drains_all_by_the_cumulative_ack(self):
        stored = Server()

        def store(pipe, topic, payload):
            if topic.endswith("/up"):
                stored.take(int(payload.split()[1]))
                if stored.first_missing:
                    self.ack(pipe, BOOT, stored.first_missing - 1)

        self.cursor = Newest
        self.broker.on_publish = store
        self.config.window = 8
        self.config.ack_timeout_s = LIMIT_S   # a machine that stalls would have some sent again
        self.records(60)
        self.run_until(lambda: self.ring.first_unacked() == 60)
        sent = [int(one.split()[1]) for one in self.sent()]
        self.assertEqual(sent[:FRESH], list(range(60 - FRESH, 60)))
        self.assertEqual(sorted(sent), list(range(60)))


if __name__ == "__main__":
    unittest.main()
