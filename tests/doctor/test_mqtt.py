"""Packets that are cut anywhere, and bytes that are none."""

import pytest

from host.doctor import mqtt
from host.doctor.codes import lost

from .brokers import listening


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384])
def test_a_packet_is_taken_before_it_is_whole(size):
    raw = bytes((0x30,)) + mqtt._length(size) + bytes(size)
    assert all(mqtt._packet(raw[:end], 0) is None for end in {0, 1, len(raw) - 1} if end < len(raw))
    assert mqtt._packet(raw + b"more", 0) == (0x30, bytes(size), len(raw))


def test_a_hello_lacks_its_will_or_its_name():
    assert mqtt._connect(mqtt.Hello("id")) == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id"
    told = mqtt._connect(mqtt.Hello("id", clean=False, user="me", will=mqtt.Will("t", b"gone", retain=True)))
    assert told == b"\x10\x1b\x00\x04MQTT\x04\xac\x00\x3c\x00\x02id\x00\x01t\x00\x04gone\x00\x02me"


@pytest.mark.parametrize(("answer", "code"), [
    (b"\x20\x02\x01\x00", mqtt.ACCEPTED), (b"\x20\x02\x00\x05", 5), (b"", mqtt.GONE), (b"HTTP/1.0 400", mqtt.GONE),
])
def test_what_is_no_connack_is_taken_for_one(answer, code):
    with listening(answer) as port, mqtt.Connection(mqtt.Address("127.0.0.1", port, "localhost"), None, mqtt.Hello("id")) as client:
        assert client.code == code
        assert client.session_present == (code == mqtt.ACCEPTED)


def test_repetitions_are_counted_as_arrivals():
    assert lost(5, [0, 1, 1, 1, 4, 9]) == 2
    assert lost(2, [0, 1]) == 0
