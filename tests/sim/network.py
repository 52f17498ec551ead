"""Connections in memory behind the Net port: a broker and an HTTP server whose manners the test decides. Both runtimes."""

import asyncio
import time


class RealClock:
    """The Clock port on the machine's own time, from 0; ticks in ms."""

    def __init__(self):
        self._start = self._now()
        self.epoch_ms = 0
        self.quality = 0
        self.learned = []

    @staticmethod
    def _now():
        return time.ticks_ms() if hasattr(time, "ticks_ms") else int(time.monotonic() * 1000)

    def ticks_ms(self):
        return self._now() - self._start

    def unix_ms(self):
        return 0

    def learn(self, unix_ms, quality):
        self.learned.append((unix_ms, quality))
        return True


class Zeros:
    """The Random port without chance: every wait is the shortest."""

    def urandom(self, n):
        return bytes(n)


class Pipe:
    """The Stream port in memory. `peer(data)` gets what the device writes and answers through say()."""

    def __init__(self, peer=None):
        self.peer = peer
        self.closed = False
        self.hung_up = self.elsewhere = False
        self.writes = []
        self._data = b""
        self._more = asyncio.Event()

    def say(self, data):
        self._data += data
        self._more.set()

    def hang_up(self):
        self.hung_up = True
        self._more.set()

    async def read(self, n):
        while not self._data and not self.hung_up:
            self._more.clear()
            await self._more.wait()
        data, self._data = self._data[:n], self._data[n:]
        return data

    def write(self, data):
        if self.closed or self.hung_up:
            raise OSError(104)
        self.writes.append(bytes(data))
        if self.peer:
            self.peer(self, bytes(data))

    async def drain(self):
        await asyncio.sleep(0)

    def moved(self):
        return self.elsewhere

    def close(self):
        self.closed = True


class PipeNet:
    """The Net port: each connection is a new Pipe to `peer`."""

    def __init__(self, peer=None, fault=None):
        self.peer = peer
        self.fault = fault
        self.pipes = []
        self.asked = []

    async def open(self, host, port, mutual):
        self.asked.append((host, port, mutual))
        if self.fault:
            raise self.fault
        self.pipes.append(Pipe(self.peer))
        return self.pipes[-1]


class Broker:
    """A polite MQTT broker in memory.

    Attributes:
        published: (topic, payload, flags) in the order they came.
        puback, pong: whether it answers publishes and pings. connack, suback: the codes it answers with; connack None: not at all.
        on_publish: called with (pipe, topic, payload), e.g. to send an ack.
    """

    def __init__(self, on_publish=None):
        self.published = []
        self.packets = []
        self.puback = self.pong = True
        self.connack = self.suback = 0
        self.on_publish = on_publish
        self.will = None
        self._rest = {}   # connection -> bytes of a packet that is not whole yet

    def __call__(self, pipe, data):
        data = self._rest.pop(id(pipe), b"") + data
        while data:
            size, at = 0, 1
            while at < len(data):
                size |= (data[at] & 0x7F) << 7 * (at - 1)
                at += 1
                if not data[at - 1] & 0x80:
                    break
            if len(data) < at + size or data[at - 1] & 0x80:
                self._rest[id(pipe)] = data
                return
            self._packet(pipe, data[0], data[at:at + size])
            data = data[at + size:]

    def _packet(self, pipe, head, body):
        self.packets.append(head)
        kind = head & 0xF0
        if kind == 0x10:
            self.will = body
            if self.connack is not None:
                pipe.say(bytes((0x20, 2, 0, self.connack)))
        elif kind == 0x80:
            pipe.say(b"\x90\x03" + body[:2] + bytes((self.suback,)))
        elif kind == 0xC0 and self.pong:
            pipe.say(b"\xd0\x00")
        elif kind == 0x30:
            size = body[0] << 8 | body[1]
            topic, pid, payload = body[2:2 + size].decode(), body[2 + size:4 + size], body[4 + size:]
            self.published.append((topic, payload, head & 0x0F))
            if self.puback:
                pipe.say(b"\x40\x02" + pid)
            if self.on_publish:
                self.on_publish(pipe, topic, payload)


def publish_packet(topic, payload):
    """A QoS 0 PUBLISH as a broker sends it."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + payload
    return b"\x30" + bytes((len(body),)) + body
