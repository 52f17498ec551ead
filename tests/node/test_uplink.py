"""The uplink: whatever broker and server do, only an ack frees a record, and sending always goes on."""

import asyncio
import unittest

from node.agent.uplink import AHEAD_WINDOWS
from node.wire import topics
from tests.sim.network import PipeNet, publish_packet
from tests.sim.uplink import BOOT, DEVICE, MQTT, Config, UplinkRig


class TestUplink(UplinkRig, unittest.TestCase):
    def test_state_comes_before_records_and_says_what_the_ring_holds(self):
        self.records(2)
        self.run_until(lambda: len(self.sent()) == 2)
        self.assertEqual(self.broker.published[0][0], topics.state(DEVICE))
        self.assertEqual(self.broker.published[0][2] & 1, 1)   # retained
        self.assertEqual(self.states()[0]["oldest"], [BOOT, 0])
        self.assertEqual(self.net.asked[0], (DEVICE + ".zone", 8883, True))
        self.assertIn(topics.OFFLINE, self.broker.will)

    def test_steps_aside_for_a_check_in_without_counting_a_drop(self):
        self.broker.on_publish = self.ack_each
        self.records(2)
        taken = []

        async def check_in():
            await self.turns.take(lambda: None)
            taken.append(self.net.pipes[0].closed)
            self.records(1)
            await asyncio.sleep(0.05)
            taken.append(len(self.sent()))
            self.turns.give()

        def done():
            if self.ring.first_unacked() == 2 and not taken and not self.turns.wanted():
                self.task = asyncio.create_task(check_in())
            return self.ring.first_unacked() == 3

        self.run_until(done)
        self.assertEqual(taken, [True, 2])   # the uplink was closed, and stayed so until the turn was given back
        self.assertEqual((self.metrics.get("connects"), self.metrics.get("drops")), (2, 0))

    def test_goes_after_servers_that_have_moved_without_counting_a_drop(self):
        self.broker.on_publish = self.ack_each
        self.records(2)

        def done():
            if self.ring.first_unacked() == 2 and not self.net.pipes[0].elsewhere:
                self.net.pipes[0].elsewhere = True   # a check-in was answered at another address
                self.records(1)
                self.uplink.wake()
            return self.ring.first_unacked() == 3 and len(self.net.pipes) == 2

        self.run_until(done)
        self.assertEqual((self.net.pipes[0].closed, self.metrics.get("connects"), self.metrics.get("drops")), (True, 2, 0))

    def test_puback_alone_frees_no_record(self):
        self.records(3)
        self.run_until(lambda: len(self.sent()) >= 6)   # the second time, too
        self.assertEqual(self.ring.first_unacked(), 0)
        self.assertEqual(self.sent()[:6], [b"record %d" % i for i in (0, 1, 2, 0, 1, 2)])

    def test_ack_trims_the_ring_and_is_counted(self):
        self.broker.on_publish = self.ack_each
        self.records(5)
        self.run_until(lambda: self.ring.first_unacked() == 5)
        self.assertEqual(self.metrics.get("acked"), 5)
        self.assertGreater(self.acks, 0)

    def test_buffers_of_records_under_way_are_taken_for_memory_that_is_gone(self):
        self.records(2)
        self.run_until(lambda: len(self.sent()) == 2)
        self.assertFalse(self.uplink.is_quiet())
        self.broker.on_publish = self.ack_each
        self.run_until(lambda: self.ring.first_unacked() == 2 and self.uplink.is_open())
        self.assertTrue(self.uplink.is_quiet())

    def test_session_of_a_device_that_has_been_up_for_long_is_given_the_time_for_its_first_puback(self):
        self.uptime_ms = 3_600_000
        self.records(3)
        self.broker.on_publish = self.ack_each
        self.run_until(lambda: self.ring.first_unacked() == 3)
        self.assertEqual(self.metrics.faults, {})

    def test_window_holds_while_the_broker_confirms_nothing(self):
        self.broker.puback = False
        self.records(9)
        self.run_until(lambda: len(self.sent()) >= 1)
        self.assertLessEqual(len(self.sent()), Config.window)

    def test_silent_ingest_is_not_flooded(self):
        self.records(40)
        self.run_until(lambda: b"record 3" in self.sent())
        self.assertEqual(max(int(one.split()[1]) for one in self.sent()), AHEAD_WINDOWS * Config.window - 1)

    def test_acks_that_stand_still_are_failed_syncs_and_the_one_that_moves_is_none(self):
        self.records(2)
        self.run_until(lambda: self.metrics.get("sync_failure") >= 2)
        self.assertEqual((self.metrics.get("connects"), self.metrics.get("drops")), (1, 0))

    def test_foreign_acks_free_nothing(self):
        def lie(pipe, topic, payload):
            if payload == b"record 0":
                self.ack(pipe, BOOT + 1, 0)
                self.ack(pipe, BOOT, 99)
                pipe.say(publish_packet("t/other/ack", topics.encode_ack(BOOT, 0)))

        self.broker.on_publish = lie
        self.records(1)
        self.run_until(lambda: len(self.sent()) >= 2)
        self.assertEqual(self.ring.first_unacked(), 0)

    def test_malformed_ack_ends_the_session_and_the_next_one_works(self):
        def nonsense_once(pipe, topic, payload):
            if len(self.net.pipes) == 1:
                pipe.say(publish_packet(topics.ack(DEVICE), b"\x09"))
            else:
                self.ack_each(pipe, topic, payload)

        self.broker.on_publish = nonsense_once
        self.records(1)
        self.run_until(lambda: self.ring.first_unacked() == 1)
        self.assertTrue(self.net.pipes[0].closed)
        self.assertEqual(self.metrics.faults, {"uplink:ack.size": 1})
        self.assertEqual(self.states()[-1]["reason"], "uplink:ack.size")

    def test_dropped_connection_is_counted_closed_and_resumed(self):
        def drop_first(pipe, topic, payload):
            if len(self.net.pipes) == 1 and topic == topics.up(DEVICE):
                pipe.hang_up()
            else:
                self.ack_each(pipe, topic, payload)

        self.broker.on_publish = drop_first
        self.records(4)
        self.run_until(lambda: self.ring.first_unacked() == 4)
        self.assertTrue(self.net.pipes[0].closed)
        self.assertEqual((self.metrics.get("connects"), self.metrics.get("drops")), (2, 1))
        self.assertEqual(self.metrics.get("sync_failure"), 0)   # what had connected is a drop

    def test_refusing_broker_is_tried_again(self):
        self.broker.connack = 5
        self.run_until(lambda: len(self.net.pipes) >= 3)
        self.assertGreaterEqual(self.metrics.faults["uplink:link.refused"], 2)
        self.assertTrue(self.net.pipes[0].closed and self.net.pipes[1].closed)
        self.assertEqual((self.metrics.get("connects"), self.metrics.get("drops")), (0, 0))
        self.assertGreaterEqual(self.metrics.get("sync_failure"), 2)

    def test_every_class_of_fault_is_survived(self):
        for fault in (OSError(113), ValueError("certificate"), IndexError(), AssertionError(), TypeError(), EOFError(),
                      MQTT.MQTTException(2)):
            self.net = PipeNet(self.broker, fault)
            self.run_until(lambda: len(self.net.asked) >= 2)
            self.assertIn("uplink:" + type(fault).__name__, self.metrics.faults)

    def test_silent_broker_is_noticed(self):
        self.broker.pong = False
        self.config.keepalive_s = 1
        self.run_until(lambda: self.metrics.get("drops") >= 1)
        self.assertIn(0xC0, self.broker.packets)

    def test_server_that_asks_for_the_schema_with_every_ack_gets_it_once(self):
        def ask(pipe, topic, payload):
            if topic == topics.up(DEVICE):
                self.ack(pipe, BOOT, int(payload.split()[1]), topics.SEND_SCHEMA)

        self.broker.on_publish = ask
        self.records(5)
        self.run_until(lambda: self.ring.first_unacked() == 5)
        self.assertEqual(self.schemas, 1)

    def test_overflow_is_told_before_records_are_sent_again(self):
        def overflow(_pipe, topic, payload):
            if payload == b"record 0" and self.ring.first_unacked() == 0:
                while not self.ring.dropped:
                    self.ring.append(BOOT, self.ring.next_seq, b"record %d " % self.ring.next_seq + bytes(1500), 1)

        self.broker.on_publish = overflow
        self.records(1)
        self.run_until(lambda: len(self.states()) >= 2)
        self.assertEqual(self.states()[0]["oldest"], [BOOT, 0])
        self.assertEqual(self.states()[1]["oldest"], [BOOT, self.ring.first_unacked()])

    def test_record_committed_meanwhile_is_sent_without_waiting(self):
        def commit_one(_pipe, topic, _payload):
            if topic == topics.state(DEVICE):
                self.records(1)
                self.uplink.wake()

        self.broker.on_publish = commit_one
        self.run_until(lambda: self.sent() == [b"record 0"])
        self.assertGreater(self.alive, 0)


if __name__ == "__main__":
    unittest.main()
