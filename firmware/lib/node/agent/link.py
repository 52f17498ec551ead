"""An MQTT 3.1.1 session as bytes in and bytes out, around the unedited umqtt.simple.

umqtt.simple builds and parses the packets, but it blocks, writes in pieces, never wraps its packet ids and raises IndexError at
a closing peer. Here it talks to an object which is no socket: what it writes is collected and leaves as whole packets, and
the answer it waits for is put before it in advance. The true answers are read, bounded and judged here. Opens nothing,
waits for nothing and keeps no time: uplink.py does.
"""

from node.errors import PeerError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import ModuleType

MAX_PACKET_BYTES = 1024   # from the broker: acks are 10 bytes; more is a mistake or an attack on the heap
LAST_PID = 65535          # packet ids are 1..65535; umqtt counts on and packs 65536 as 0, which closes the session

# States and packets: what is not in the table ends the session.
NEW = "new"               # nothing sent
CONNECTING = "connecting"   # CONNECT is out
OPEN = "open"             # CONNACK came
_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0
_WELCOME = {
    NEW: (),
    CONNECTING: (_CONNACK,),
    OPEN: (_PUBLISH, _PUBACK, _SUBACK, _PINGRESP),
}


class Wire:
    """What umqtt takes for the socket module and for a socket."""

    def __init__(self) -> None:
        self.written = bytearray()
        self._fed = b""

    def feed(self, data: bytes) -> None:
        """What the next reads return."""
        self._fed = data

    def take(self) -> bytes:
        """What was written since the last take."""
        data = bytes(self.written)
        self.written = bytearray()
        return data

    def socket(self) -> "Wire":
        return self

    def getaddrinfo(self, host: str, port: int) -> list[tuple[str]]:
        return [("",)]

    def connect(self, address: str) -> None:
        """umqtt connects: the connection exists already or will soon."""

    def setblocking(self, flag: bool) -> None:
        """umqtt erases timeouts with this on ESP32; there is nothing to erase."""

    def read(self, n: int) -> bytes:
        data, self._fed = self._fed[:n], self._fed[n:]
        return data

    def write(self, data: bytes | bytearray | str, n: int | None = None) -> None:
        raw = data.encode() if isinstance(data, str) else data
        self.written.extend(raw if n is None else raw[:n])


class Link:
    """One session; a new connection takes a new Link.

    Args:
        mqtt: the module umqtt.simple. Its global `socket` is replaced while it connects.
        will: (topic, message), published retained with QoS 1 by the broker when the session ends unasked.

    Attributes:
        state: NEW, CONNECTING or OPEN.
        subscribed: the broker has granted the subscription.
        in_flight: packet ids of publishes without PUBACK.
        inbox: (topic, message) pairs received; the caller empties it.
    """

    def __init__(self, mqtt: "ModuleType", client_id: str, keepalive_s: int, will: tuple[str, bytes]) -> None:
        self._mqtt = mqtt
        self._wire = Wire()
        self._client = mqtt.MQTTClient(client_id, "", 1, keepalive=keepalive_s)
        self._client.set_callback(self._received)
        self._client.set_last_will(will[0], will[1], True, 1)
        self._rx = b""
        self._sub_pid = 0
        self.state = NEW
        self.subscribed = False
        self.in_flight: set[int] = set()
        self.inbox: list[tuple[str, bytes]] = []

    def connect(self) -> bytes:
        """The CONNECT packet; a clean session, since what matters is kept in the ring."""
        self._mqtt.socket = self._wire   # type: ignore[attr-defined]
        self._wire.feed(b"\x20\x02\x00\x00")
        self._client.connect(True)
        self.state = CONNECTING
        return self._wire.take()

    def subscribe(self, topic: str) -> bytes:
        """A SUBSCRIBE with QoS 0: acks are cumulative, a lost one is repeated."""
        self._sub_pid = self._claim_pid()
        self._wire.feed(b"\x90\x03" + self._sub_pid.to_bytes(2, "big") + b"\x00")
        self._client.subscribe(topic, 0)
        return self._wire.take()

    def publish(self, topic: str, message: bytes, retain: bool = False) -> bytes:
        """A PUBLISH with QoS 1; it is in flight until the broker's PUBACK."""
        pid = self._claim_pid()
        self._wire.feed(b"\x40\x02" + pid.to_bytes(2, "big"))
        self._client.publish(topic, message, retain, 1)
        self.in_flight.add(pid)
        return self._wire.take()

    def ping(self) -> bytes:
        self._client.ping()
        return self._wire.take()

    def disconnect(self) -> bytes:
        """A DISCONNECT: the broker drops the will."""
        return b"\xe0\x00"

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the broker and act on every whole packet.

        Returns:
            What is to be sent in answer.

        Raises:
            PeerError: `link.packet` (malformed or too long), `link.unexpected` (not in this state), `link.refused` (CONNACK or
                SUBACK with an error). The session is over.
        """
        rx = self._rx + data
        while True:
            head, size = _frame(rx)
            if not head or len(rx) < head + size:
                break
            self._packet(rx[:head + size], rx[head:head + size])
            rx = rx[head + size:]
        self._rx = rx
        return self._wire.take()

    def _packet(self, packet: bytes, body: bytes) -> None:
        kind = packet[0] & 0xF0
        if kind not in _WELCOME[self.state]:
            raise PeerError("link.unexpected", "got packet 0x%02x while %s" % (packet[0], self.state))
        if kind == _PUBLISH:
            self._publish_in(packet, body)
        elif len(body) != (0 if kind == _PINGRESP else 3 if kind == _SUBACK else 2):
            raise PeerError("link.packet", "got packet 0x%02x of %d bytes" % (packet[0], len(body)))
        elif kind == _CONNACK:
            if body[1]:
                raise PeerError("link.refused", "CONNACK code %d" % body[1])
            self.state = OPEN
        elif kind == _PUBACK:
            self.in_flight.discard(body[0] << 8 | body[1])
        elif kind == _SUBACK:
            if body[2] & 0x80 or (body[0] << 8 | body[1]) != self._sub_pid:
                raise PeerError("link.refused", "SUBACK code %d" % body[2])
            self.subscribed = True

    def _publish_in(self, packet: bytes, body: bytes) -> None:
        """Have umqtt parse a PUBLISH whose inner lengths are sound; it calls _received and writes any PUBACK."""
        qos = packet[0] >> 1 & 3
        if qos > 1 or len(body) < 2 or (body[0] << 8 | body[1]) + 2 + 2 * qos > len(body):
            raise PeerError("link.packet", "got a malformed PUBLISH")
        self._wire.feed(packet)
        self._client.wait_msg()

    def _received(self, topic: bytes, message: bytes) -> None:
        self.inbox.append((topic.decode(), message))

    def _claim_pid(self) -> int:
        """The packet id that umqtt will use next: 1..65535 and not in flight."""
        client = self._client
        while True:
            if client.pid >= LAST_PID:
                client.pid = 0
            if client.pid + 1 not in self.in_flight:
                return client.pid + 1   # type: ignore[no-any-return]
            client.pid += 1


def _frame(rx: bytes) -> tuple[int, int]:
    """(bytes before the body, bytes of the body) of the packet at the start; (0, 0) while that is not known.

    Raises:
        PeerError: `link.packet`.
    """
    size = 0
    for i in range(1, min(len(rx), 5)):
        size |= (rx[i] & 0x7F) << 7 * (i - 1)
        if size > MAX_PACKET_BYTES:
            raise PeerError("link.packet", "got %d bytes, expected at most %d" % (size, MAX_PACKET_BYTES))
        if not rx[i] & 0x80:
            return i + 1, size
    if len(rx) > 4:
        raise PeerError("link.packet", "got a length of more than four bytes")
    return 0, 0
