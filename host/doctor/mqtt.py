"""One MQTT 3.1.1 connection, packet by packet, for trying what a broker does.

Decides nothing about a broker: it sends what it is told and keeps what came, in order. A library would hide what is looked for
here: it acknowledges by itself, connects again, and has no way to stall. Blocking, for one thread.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

ACCEPTED = 0
GONE = -1            # in place of CONNACK's code: the connection ended, TLS did not come about, or it is no broker
REFUSED = 0x80       # SUBACK, MQTT 3.1.1, 3.9.3
WAIT_S = 30.0        # for what must come; on an idle machine it is there in milliseconds
LEAVE_S = 5.0         # for a broker that does not end a connection after DISCONNECT, as it should (MQTT 3.1.1, 3.14.4)
KEEPALIVE_S = 60
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14
WINDOW = 500         # QoS 1 publishes under way: their PUBACKs fit the socket's buffers


@dataclass(frozen=True)
class Address:
    """Where a broker listens: `name` is the one in its certificate."""

    host: str
    port: int
    name: str


@dataclass(frozen=True)
class Will:
    """What a broker publishes when a connection ends without a word."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True)
class Message:
    """What a broker delivered."""

    topic: str
    payload: bytes
    retain: bool
    packet: int   # 0 for QoS 0


@dataclass(frozen=True)
class Hello:
    """What a CONNECT says. `user` None sends none."""

    client_id: str
    clean: bool = True
    user: str | None = None
    will: Will | None = None


@dataclass
class Connection:
    """A connection that is open, or was refused: then `code` is not ACCEPTED.

    Attributes:
        acknowledge: whether messages of QoS 1 are acknowledged as they come; a stalled subscriber does not.
    """

    address: Address
    context: ssl.SSLContext | None
    hello: Hello
    acknowledge: bool = True
    code: int = GONE
    session_present: bool = False
    tls: str = ""
    why: str = ""
    messages: list[Message] = field(default_factory=list)
    acked: set[int] = field(default_factory=set)
    granted: dict[int, list[int]] = field(default_factory=dict)
    _socket: socket.socket | None = None
    _came: bytes = b""
    _packet: int = 0
    _pings: int = 0

    def open(self) -> "Connection":
        """Connect and say hello; what came of it is in `code`, and in `why` when there was no CONNACK."""
        self.code, self._came = GONE, b""
        try:
            plain = socket.create_connection((self.address.host, self.address.port), WAIT_S)
        except OSError as error:
            self.why = str(error)
            return self
        try:
            self._socket = plain if self.context is None else self.context.wrap_socket(plain, server_hostname=self.address.name)
            if isinstance(self._socket, ssl.SSLSocket):
                self.tls = self._socket.version() or ""
            self._socket.sendall(_connect(self.hello))
            self._await_connack()
        except OSError as error:   # ssl.SSLError is one; with TLS 1.3 a refused certificate is told at the first read
            self._ended(str(error))
            plain.close()
        return self

    def __enter__(self) -> "Connection":
        return self.open() if self._socket is None and not self.why else self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether the broker has let it in and has not ended it since."""
        return self.code == ACCEPTED and self._socket is not None

    def subscribe(self, topics: Iterable[str], qos: int = 1) -> list[int]:
        """Subscribe to each by a packet of its own, so that a broker that ends connections for one is seen; gives the codes."""
        codes = []
        for topic in topics:
            number = self._next()
            self._send(SUBSCRIBE << 4 | 2, number.to_bytes(2, "big") + _text(topic) + bytes((qos,)))
            self._await_suback(number)
            codes += self.granted.get(number, [REFUSED])
        return codes

    def publish(self, topic: str, payloads: Iterable[bytes], *, qos: int = 1, retain: bool = False) -> int:
        """Publish in order; gives how many were acknowledged (QoS 0: sent)."""
        sent: list[int] = []
        done = 0
        for payload in payloads:
            number = self._next() if qos else 0
            packet = number.to_bytes(2, "big") if qos else b""
            self._send(PUBLISH << 4 | qos << 1 | retain, _text(topic) + packet + payload)
            sent.append(number)
            if qos and len(sent) == WINDOW:
                done += self._await_acks(sent)
                sent = []
        return done + (self._await_acks(sent) if qos else len(sent))

    def read_until(self, done: Callable[[], bool], limit_s: float = WAIT_S) -> bool:
        """Read packets until `done()` says so; False when it does not within the limit or the connection ended."""
        end = time.monotonic() + limit_s
        while not done():
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                return done()
        return True

    def read_for(self, seconds: float) -> None:
        """Read whatever comes within some seconds."""
        self.read_until(lambda: False, seconds)

    def alive(self) -> bool:
        """Whether the broker still answers a ping."""
        before = self._pings
        self._send(PINGREQ << 4, b"")
        return self.read_until(lambda: self._pings > before)

    def release(self) -> None:
        """Acknowledge all that came so far, and from now on at once: the stalled subscriber works again."""
        self.acknowledge = True
        for message in self.messages:
            self._acknowledge(message.packet)

    def cut(self) -> None:
        """End the connection as a power cut does: the broker must send the will."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Take leave, and wait until the broker has seen it: what it sends here until then is late."""
        if self.is_open:
            self._send(DISCONNECT << 4, b"")
            self.read_until(lambda: self._socket is None, LEAVE_S)
        self.cut()

    def _next(self) -> int:
        self._packet = self._packet % 0xFFFF + 1
        return self._packet

    def _await_suback(self, number: int) -> None:
        self.read_until(lambda: number in self.granted)

    def _await_acks(self, sent: list[int]) -> int:
        wanted = set(sent)
        self.read_until(lambda: wanted <= self.acked)
        done = len(wanted & self.acked)
        self.acked -= wanted
        return done

    def _await_connack(self) -> None:
        self.read_until(lambda: self.code != GONE)
        if self.code == GONE:
            self.why = self.why or "the connection ended in place of a CONNACK"

    def _send(self, head: int, body: bytes) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendall(bytes((head,)) + _length(len(body)) + body)
        except OSError as error:
            self._ended(str(error))

    def _read(self, limit_s: float) -> bool:
        """Read once and take the packets out; False when the connection is over or nothing came in time."""
        if self._socket is None:
            return False
        self._socket.settimeout(limit_s)
        try:
            came = self._socket.recv(1 << 16)
        except TimeoutError:
            return False
        except OSError as error:
            came = b""
            self.why = str(error)
        if not came:
            self._ended(self.why or "ended by the broker")
            return False
        self._came += came
        at = 0
        while (found := _packet(self._came, at)) is not None:
            head, body, at = found
            self._take(head, body)
        self._came = self._came[at:]
        return True

    def _take(self, head: int, body: bytes) -> None:
        kind = head >> 4
        if kind == PUBLISH:
            size = int.from_bytes(body[:2], "big")
            at = 2 + size
            packet = 0
            if head >> 1 & 3:
                packet, at = int.from_bytes(body[at:at + 2], "big"), at + 2
            self.messages.append(Message(body[2:2 + size].decode(errors="replace"), body[at:], bool(head & 1), packet))
            if self.acknowledge:
                self._acknowledge(packet)
        elif kind == PUBACK:
            self.acked.add(int.from_bytes(body[:2], "big"))
        elif kind == SUBACK:
            self.granted[int.from_bytes(body[:2], "big")] = list(body[2:])
        elif kind == PINGRESP:
            self._pings += 1
        elif kind == CONNACK and len(body) == 2:
            self.session_present, self.code = bool(body[0]), body[1]

    def _acknowledge(self, packet: int) -> None:
        if packet:
            self._send(PUBACK << 4, packet.to_bytes(2, "big"))

    def _ended(self, why: str) -> None:
        self.why = why
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _connect(hello: Hello) -> bytes:
    will, user = hello.will, hello.user
    flags = hello.clean << 1 | (user is not None) << 7
    body = _text(hello.client_id)
    if will is not None:
        flags |= 0x04 | 1 << 3 | will.retain << 5
        body += _text(will.topic) + len(will.payload).to_bytes(2, "big") + will.payload
    if user is not None:
        body += _text(user)
    body = b"\x00\x04MQTT\x04" + bytes((flags,)) + KEEPALIVE_S.to_bytes(2, "big") + body
    return bytes((CONNECT << 4,)) + _length(len(body)) + body


def _text(word: str) -> bytes:
    raw = word.encode()
    return len(raw).to_bytes(2, "big") + raw


def _length(size: int) -> bytes:
    """Variable length: 7 bits a byte, lowest first."""
    out = bytearray()
    while True:
        size, low = size >> 7, size & 0x7F
        out.append(low | (0x80 if size else 0))
        if not size:
            return bytes(out)


def _packet(raw: bytes, start: int) -> tuple[int, bytes, int] | None:
    """(head, body, where the next begins); None while it is not whole."""
    size, shift, at = 0, 0, start + 1
    while at < len(raw):
        size |= (raw[at] & 0x7F) << shift
        at += 1
        if not raw[at - 1] & 0x80:
            return (raw[start], raw[at:at + size], at + size) if at + size <= len(raw) else None
        shift += 7
    return None
