"""The MQTT session around the unedited umqtt.simple: split packets, broken brokers, packet ids that wrap."""

import unittest

from node.agent.link import CONNECTING, LAST_PID, MAX_PACKET_BYTES, OPEN, Link
from node.errors import PeerError
from tests.node.common import code_of
from tests.sim import umqtt
from tests.sim.network import publish_packet

MQTT = umqtt.load()
DEVICE = "hall-0242ac110001"
TOPIC = "t/" + DEVICE + "/up"


class TestLink(unittest.TestCase):
    def setUp(self):
        if MQTT is None:
            self.skipTest("umqtt.simple was not fetched: `make umqtt`")
        self.link = Link(MQTT, DEVICE, 60, ("t/" + DEVICE + "/state", b'{"on":0}'))

    def open(self):
        self.link.connect()
        self.link.feed(b"\x20\x02\x00\x00")
        return self.link

    def test_connect_is_one_packet_with_the_will(self):
        packet = self.link.connect()
        self.assertEqual((packet[0], packet[1] + 2), (0x10, len(packet)))
        self.assertEqual(packet[2:8], b"\x00\x04MQTT")
        self.assertEqual(packet[9], 0b00101110)   # retained will with QoS 1, clean session
        self.assertIn(b'{"on":0}', packet)
        self.assertEqual(self.link.state, CONNECTING)

    def test_acceptance_may_come_in_pieces(self):
        self.link.connect()
        for byte in b"\x20\x02\x00":
            self.link.feed(bytes((byte,)))
            self.assertEqual(self.link.state, CONNECTING)
        self.link.feed(b"\x00")
        self.assertEqual(self.link.state, OPEN)

    def test_refused_connection_is_the_brokers_fault(self):
        self.link.connect()
        self.assertEqual(code_of(self, PeerError, self.link.feed, b"\x20\x02\x00\x05"), "link.refused")

    def test_refused_subscription_is_the_brokers_fault(self):
        self.open().subscribe("t/x/ack")
        self.assertEqual(code_of(self, PeerError, self.link.feed, b"\x90\x03\x00\x01\x80"), "link.refused")
        self.assertFalse(self.link.subscribed)

    def test_publish_is_one_write_and_in_flight_until_the_true_puback(self):
        packet = self.open().publish(TOPIC, b"abc")
        self.assertEqual(packet, b"\x32" + bytes((len(packet) - 2,)) + b"\x00\x16" + TOPIC.encode() + b"\x00\x01abc")
        self.assertEqual(self.link.in_flight, {1})
        self.link.feed(b"\x40\x02\x00\x07")   # of nobody's
        self.assertEqual(self.link.in_flight, {1})
        self.link.feed(b"\x40\x02\x00\x01")
        self.assertEqual(self.link.in_flight, set())

    def test_packet_ids_wrap_and_skip_those_in_flight(self):
        self.open().publish(TOPIC, b"stays")
        self.link._client.pid = LAST_PID - 1
        self.link.publish(TOPIC, b"last")
        self.link.publish(TOPIC, b"first again")
        self.assertEqual(self.link.in_flight, {1, LAST_PID, 2})

    def test_large_record_is_whole(self):
        packet = self.open().publish(TOPIC, bytes(2048))
        self.assertEqual(len(packet), 3 + 2 + len(TOPIC) + 2 + 2048)

    def test_message_is_delivered_and_what_follows_is_not_lost(self):
        self.open()
        data = publish_packet("t/x/ack", b"one") + b"\xd0\x00" + publish_packet("t/x/ack", b"two")
        for at in range(0, len(data), 3):
            self.link.feed(data[at:at + 3])
        self.assertEqual(self.link.inbox, [("t/x/ack", b"one"), ("t/x/ack", b"two")])

    def test_qos_1_message_is_answered(self):
        self.open()
        answer = self.link.feed(b"\x32\x08\x00\x01a\x00\x09xyz")
        self.assertEqual((answer, self.link.inbox), (b"\x40\x02\x00\x09", [("a", b"xyz")]))

    def test_packets_that_do_not_belong_end_the_session(self):
        for packet in (b"\x40\x02\x00\x01", b"\x30\x03\x00\x01a"):
            link = Link(MQTT, DEVICE, 60, ("t", b"w"))
            link.connect()
            self.assertEqual(code_of(self, PeerError, link.feed, packet), "link.unexpected")
        self.open()
        for packet in (b"\x20\x02\x00\x00", b"\x10\x00", b"\xe0\x00", b"\x00\x00"):
            self.assertEqual(code_of(self, PeerError, self.link.feed, packet), "link.unexpected")
            self.link._rx = b""

    def test_malformed_packets_end_the_session(self):
        self.open()
        for packet in (b"\x40\x01\x00", b"\x40\x03\x00\x01\x00", b"\xd0\x01\x00", b"\x90\x02\x00\x01", b"\x30\x01\x00",
                       b"\x30\x03\x00\x09a", b"\x34\x05\x00\x01a\x00\x01", b"\x32\x04\x00\x01a\x00"):
            self.assertEqual(code_of(self, PeerError, self.link.feed, packet), "link.packet")
            self.link._rx = b""

    def test_broker_cannot_fill_the_heap(self):
        self.open()
        self.assertEqual(code_of(self, PeerError, self.link.feed, b"\x30\xff\xff\x03"), "link.packet")
        self.link._rx = b""
        self.assertEqual(code_of(self, PeerError, self.link.feed, b"\x30\x80\x80\x80\x80\x01"), "link.packet")
        self.assertGreaterEqual(MAX_PACKET_BYTES, 64)


if __name__ == "__main__":
    unittest.main()
