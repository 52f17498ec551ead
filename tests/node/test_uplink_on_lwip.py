"""The uplink and board/net.py on sockets that behave like an ESP32's: no fault of theirs stops sending, hangs the loop or leaks.

The first class shows the traps themselves, with umqtt.simple straight on such a socket: a fake without teeth would prove nothing.
"""

import unittest

from node.wire import topics
from tests.sim import lwip
from tests.sim.network import Broker
from tests.sim.uplink import BOOT, DEVICE, MQTT, UplinkRig

TIMES = 50   # as fast as the clock: deadlines of 20 to 60 s pass in a test


class TestTraps(unittest.TestCase):
    def setUp(self):
        if MQTT is None:
            self.skipTest("umqtt.simple was not fetched: `make umqtt`")
        self.broker = Broker()
        self.stack = lwip.Stack(self.broker)
        MQTT.socket = self.stack
        self.client = MQTT.MQTTClient("x", "host", 1)

    def test_connack_that_never_comes_hangs_bare_umqtt(self):
        self.broker.connack = None
        with self.assertRaises(lwip.Hang):
            self.client.connect()

    def test_puback_that_never_comes_hangs_bare_umqtt_although_a_timeout_was_set(self):
        self.client.connect()
        self.client.sock.settimeout(5)
        self.client.publish("t", b"x", False, 1)   # wait_msg() calls setblocking(True)
        self.broker.puback = False
        with self.assertRaises(lwip.Hang):
            self.client.publish("t", b"x", False, 1)

    def test_timeout_that_nobody_erased_ends_a_read(self):
        self.client.connect()
        self.client.sock.settimeout(5)
        with self.assertRaises(OSError) as caught:
            self.client.sock.read(1)
        self.assertEqual(caught.exception.args[0], lwip.Newlib.ETIMEDOUT)

    def test_unknown_packet_puts_bare_umqtt_out_of_step(self):
        self.client.connect()
        self.client.sock.say(b"\x50\x02\x00\x01" b"\x40\x02\x00\x01")   # PUBREC, which nobody asked for, and the PUBACK
        self.broker.puback = False
        read = [self.client.wait_msg() for _ in range(2)]
        self.assertEqual(read, [0x50, 0x02])   # the second is a length, taken for a packet

    def test_half_a_puback_of_a_closing_peer_is_an_index_error_of_bare_umqtt(self):
        self.client.connect()
        self.client.sock.say(b"\x40\x02\x00")
        self.client.sock.hang_up()
        self.broker.puback = False
        with self.assertRaises(IndexError):
            self.client.publish("t", b"x", False, 1)

    def test_reconnects_of_bare_umqtt_use_up_the_sockets(self):
        for _ in range(lwip.SOCKETS):
            self.client.connect()
        with self.assertRaises(OSError) as caught:
            self.client.connect()
        self.assertEqual(caught.exception.args[0], lwip.Newlib.ENFILE)

    def test_lost_link_takes_writes_until_the_buffer_is_full_and_then_hangs_a_blocking_one(self):
        self.client.connect()
        self.stack.gone = True
        for _ in range(lwip.SEND_BUFFER // 2):
            self.client.ping()
        with self.assertRaises(lwip.Hang):
            self.client.ping()


class TestUplinkOnLwip(UplinkRig, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.broker.on_publish = self.ack_each
        self.stack = lwip.Stack(self.broker)
        self.net = lwip.net(self.stack)
        self.times = TIMES

    def tearDown(self):
        self.assertEqual((len(self.stack.sockets), self.stack.misuse), (0, []))   # after every fault below

    def drained(self):
        return self.ring.first_unacked() == self.ring.next_seq

    def test_records_arrive_over_sockets_that_connect_slowly(self):
        self.times = 1   # nothing takes long here but a busy machine
        self.stack.connect_polls = 5
        self.records(20)
        self.run_until(self.drained)
        self.assertEqual((self.metrics.faults, len(self.stack.made)), ({}, 1))

    def test_each_connection_asks_dns_and_goes_where_it_was_well_when_dns_is_down(self):
        def drop_first(sock, topic, payload):
            if len(self.stack.made) == 1:
                self.stack.dns = None
                sock.hang_up()
            else:
                self.ack_each(sock, topic, payload)

        self.times = 1
        self.broker.on_publish = drop_first
        self.records(2)
        self.run_until(self.drained)
        self.assertEqual(self.stack.asked, [DEVICE + ".zone", "192.0.2.10"] * 2)
        self.assertEqual(self.metrics.faults, {"uplink:uplink.closed": 1})

    def test_short_writes_tear_no_packet(self):
        self.times = 1
        self.stack.piece = 7
        self.records(12)
        self.run_until(self.drained)
        self.assertEqual(self.sent(), [b"record %d" % i for i in range(12)])
        self.assertEqual(self.metrics.faults, {})

    def test_connack_that_never_comes_ends_at_a_deadline(self):
        self.broker.connack = None
        self.run_until(lambda: len(self.stack.made) >= 2)
        self.assertIn("uplink:TimeoutError", self.metrics.faults)
        self.assertEqual(self.metrics.get("connects"), 0)

    def test_connack_that_trickles_in_ends_at_the_same_deadline(self):
        """A timeout for each read would start again with each byte."""
        def trickle(sock, data):
            if data[0] & 0xF0 == 0x10:
                sock.say(b"\x20\x02")
            elif self.broker.connack is None and len(self.stack.made) == 1:
                sock.say(b"\x00")

        self.broker.connack = None
        self.stack.peer = trickle
        self.run_until(lambda: len(self.stack.made) >= 2)
        self.assertIn("uplink:TimeoutError", self.metrics.faults)

    def test_puback_that_never_comes_starts_a_new_session(self):
        """A full broker confirms nothing, and goes on to answer pings: what it did not take must be sent again some day."""
        self.broker.puback = False
        self.broker.on_publish = None
        self.config.keepalive_s = 60
        self.records(5)
        self.run_until(lambda: self.metrics.get("drops"))
        self.assertIn("uplink:uplink.puback", self.metrics.faults)
        self.broker.puback = True
        self.broker.on_publish = self.ack_each
        self.run_until(self.drained)

    def test_puback_of_an_unknown_packet_opens_no_window(self):
        def confirm_another(sock, topic, payload):
            sock.say(b"\x40\x02\x7f\xff")

        self.broker.puback = False
        self.broker.on_publish = confirm_another
        self.records(9)
        self.run_until(lambda: self.metrics.get("drops"))
        self.assertEqual(self.ring.first_unacked(), 0)
        first = self.broker.published[:self.config.window + 1]
        self.assertEqual([topic for topic, _, _ in first].count(topics.up(DEVICE)), self.config.window - 1)   # one is the state

    def test_unknown_packet_ends_the_session_before_anything_is_out_of_step(self):
        def puzzle_once(sock, topic, payload):
            if len(self.stack.made) == 1:
                sock.say(b"\x50\x02\x00\x01")
            else:
                self.ack_each(sock, topic, payload)

        self.broker.on_publish = puzzle_once
        self.records(3)
        self.run_until(self.drained)
        self.assertEqual(self.metrics.faults, {"uplink:link.unexpected": 1})

    def test_hundred_failed_reconnects_of_every_kind_leak_no_socket(self):
        kinds = {
            "refused": lambda: setattr(self.stack, "refuse", True),
            "handshake": lambda: setattr(self.stack, "handshake", ValueError("certificate")),
            "first use": lambda: setattr(self.stack, "fault", OSError(lwip.Newlib.ECONNRESET)),
            "not accepted": lambda: setattr(self.broker, "connack", 5),
        }
        for name, harm in kinds.items():
            with self.subTest(name):
                wanted = len(self.stack.made) + 25

                def enough(harm=harm, wanted=wanted):
                    harm()
                    return len(self.stack.made) >= wanted

                self.run_until(enough)
                self.assertEqual(len(self.stack.sockets), 0)
                self.stack.refuse = False
                self.stack.handshake = self.stack.fault = None
                self.broker.connack = 0
        self.records(1)
        self.run_until(self.drained)

    def test_odd_error_numbers_of_lwip_and_mbedtls_are_survived(self):
        faults = [OSError(-lwip.Newlib.ENOTCONN), OSError(lwip.Newlib.ENOTCONN), OSError(lwip.Newlib.ECONNABORTED),
                  OSError(lwip.Newlib.EHOSTUNREACH), OSError(lwip.EINPROGRESS), OSError(-0x7280, "MBEDTLS_ERR_SSL_CONN_EOF"),
                  OSError(12, "out of memory"), OSError()]

        def fail(sock, topic, payload):
            if faults:
                self.stack.fault = faults.pop()
            else:
                self.ack_each(sock, topic, payload)

        self.broker.on_publish = fail
        self.records(2)
        self.run_until(self.drained)
        self.assertEqual(self.metrics.faults["uplink:OSError"], 8)

    def test_refused_connection_that_looks_like_one_is_no_session(self):
        """lwIP says that the socket may be written, and tells the truth at the write."""
        self.stack.refuse = True
        self.run_until(lambda: len(self.stack.made) >= 3)
        self.assertEqual(self.metrics.get("connects"), 0)

    def test_connection_that_never_comes_ends_at_a_deadline(self):
        self.stack.gone = True
        self.run_until(lambda: len(self.stack.made) >= 2)
        self.assertIn("uplink:TimeoutError", self.metrics.faults)

    def test_half_open_link_is_noticed_and_frees_nothing(self):
        """The radio link is lost without a word: writes go on to succeed."""
        def lose(sock, topic, payload):
            self.ack_each(sock, topic, payload)
            if payload == b"record 3":
                self.stack.gone = True
                self.records(30)

        self.broker.on_publish = lose
        self.config.keepalive_s = 20
        self.records(4)
        self.run_until(lambda: self.metrics.get("drops"))
        self.assertEqual(self.ring.first_unacked(), 4)
        self.stack.gone = False
        self.run_until(self.drained)

    def test_half_open_link_with_a_full_buffer_is_noticed_too(self):
        def lose(sock, topic, payload):
            self.stack.gone = len(self.stack.made) == 1
            if not self.stack.gone:
                self.ack_each(sock, topic, payload)

        self.broker.on_publish = lose
        self.config.window = 32
        for _ in range(6):
            self.ring.append(BOOT, self.ring.next_seq, b"record %d " % self.ring.next_seq + bytes(1500), 1)
        self.run_until(lambda: self.metrics.get("drops"))
        self.stack.gone = False
        self.run_until(self.drained)

    def test_peer_that_closes_is_read_no_further(self):
        def hang_up_once(sock, topic, payload):
            if len(self.stack.made) == 1 and topic == topics.up(DEVICE):
                sock.hang_up()
            else:
                self.ack_each(sock, topic, payload)

        self.broker.on_publish = hang_up_once
        self.records(4)
        self.run_until(self.drained)
        self.assertEqual(self.metrics.faults, {"uplink:uplink.closed": 1})

    def test_half_a_puback_of_a_closing_peer_is_the_end_of_one_session(self):
        def break_off_once(sock, topic, payload):
            if len(self.stack.made) == 1:
                sock.say(b"\x40\x02\x00")
                sock.hang_up()
            else:
                self.ack_each(sock, topic, payload)

        self.broker.on_publish = break_off_once
        self.records(2)
        self.run_until(self.drained)
        self.assertEqual(len(self.stack.made), 2)

    def test_no_socket_is_ever_left_blocking(self):
        self.records(4)
        self.run_until(self.drained)
        self.assertTrue(all(sock._timeout_s == 0 for sock in self.stack.made))


if __name__ == "__main__":
    unittest.main()
