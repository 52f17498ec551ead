"""One process of devices that send batches until they are acknowledged: `python -m host.bench.talking`.

Started by ingest.py and faults.py. Speaks MQTT over mutual TLS by hand, since a library in Python would need more CPU than what is
measured. A device keeps a window of batches under way, frees it by the server's ack alone, and sends again what is not acked when
its connection ends or nothing came for a while: what the firmware does, without the firmware. Batches are encoded once and get
their numbers here.

Reads its job as one line of JSON, says "ready" when all are connected, begins at the next line, says how far it is, and ends with
what it did. What makes trouble (duplicates, reordering, garbage, clock steps) comes from the job's seed.
"""

import binascii
import json
import random
import selectors
import socket
import ssl
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypedDict

from host.bench.workload import CHANNELS, typical
from node.wire import batch, schema, topics
from node.wire.bits import get_varint, put_varint

BOOT = 1
WAYS = 20            # different batches
PERIOD_MS = 10_000
EPOCH_MS = 1_704_067_200_000   # of the boot, 2024-01-01: devices live faster here than their server, and must not reach its now
STEP_MS = 3_600_000  # of a clock that steps
SILENCE_S = 3.0      # without an ack what is under way is sent again
AGAIN_S = 0.3        # between attempts to connect
KEEPALIVE_S = 60
SAY_S = 0.1
LIMIT_S = 10.0       # of one read or write


class Member(TypedDict):
    """One device: its name and where its certificate lies."""

    name: str
    cert: str
    key: str


class Job(TypedDict):
    """What one process does: for some seconds, or until so many records of each device are acked (0: no end of that kind).

    `duplicate_pct` and `garbage_pct` of the messages; `reorder`: what is sent together is sent in any order; `steps`: the clock of
    a device jumps to and fro.
    """

    port: int
    ca_file: str
    members: list[Member]
    window: int
    samples: int
    seconds: float
    warm_s: float
    records: int
    duplicate_pct: float
    garbage_pct: float
    reorder: bool
    steps: bool
    seed: int


class Done(TypedDict):
    """`took_s`: from the first sending to the ack, of what was acked after the warm-up. Counts are of messages, all of them.

    `again`: sent once more, for want of an ack or as one of the `duplicates`. `reordered`: sent at another place than their own.
    """

    took_s: list[float]
    wall_s: float
    readings: int
    acked: int
    sent: int
    again: int
    duplicates: int
    reordered: int
    garbage: int
    connections: int
    cpu_s: float


class Progress(TypedDict):
    """What it says on its way: records acked, records sent and not acked, and when that was (CLOCK_MONOTONIC, one for all)."""

    acked: int
    under_way: int
    at_s: float


def make_records(samples: int, seed: int) -> list[bytes]:
    """The bodies of batches behind their times, one for each of WAYS."""
    hashed = schema.schema_hash(schema.build(list(CHANNELS)))
    tails = []
    for way in range(WAYS):
        columns: list[list[int | None]] = [[*column] for column in typical(seed + way, samples)]
        raw = batch.encode(BOOT, 0, hashed, 0, EPOCH_MS, batch.QUALITY_NTP, PERIOD_MS, columns, [])
        at = 1
        for _ in range(2):   # boot, seq
            _, at = get_varint(raw, at, len(raw))
        at += len(hashed)
        _, at = get_varint(raw, at, len(raw))   # uptime
        tails.append(raw[at + 5:-4])            # behind the epoch, before the CRC
    return tails


class Records:
    """Record `seq` of any device, the same bytes each time it is asked for."""

    def __init__(self, samples: int, seed: int, *, steps: bool = False) -> None:
        """Prepare them; arguments as the job's."""
        canonical = schema.build(list(CHANNELS))
        self._hash, self._tails, self._steps = schema.schema_hash(canonical), make_records(samples, seed), steps
        self._first = batch.schema_record(BOOT, 0, canonical)
        self._span_ms = samples * PERIOD_MS
        self.readings = samples * len(CHANNELS)

    def record(self, seq: int) -> bytes:
        """Record 0 is the schema's."""
        if not seq:
            return self._first
        out = bytearray((batch.BATCH | batch.QUALITY_NTP << 4,))
        put_varint(out, BOOT)
        put_varint(out, seq)
        out += self._hash
        put_varint(out, seq * self._span_ms)
        epoch_ms = EPOCH_MS + (STEP_MS * (seq // 7 % 3 - 1) if self._steps else 0)
        out += (epoch_ms - 1_577_836_800_000).to_bytes(5, "little")
        out += self._tails[seq % WAYS]
        return bytes(out) + struct.pack("<I", binascii.crc32(out))


@dataclass
class Talker:
    """One device. `sent`: seq and when it was first sent, of what is under way."""

    member: Member
    context: ssl.SSLContext
    job: Job
    records: Records
    chance: random.Random
    done: Done
    acked: int = -1
    next_seq: int = 0
    sent: deque[tuple[int, float]] = field(default_factory=deque)
    peer: ssl.SSLSocket | None = None
    heard_s: float = 0.0
    again_s: float = 0.0
    counting: bool = False
    _came: bytes = b""
    _packet: int = 0

    def connect(self, now_s: float) -> bool:
        """Connect, subscribe, and tell the state; False when there is no broker now."""
        self.again_s = now_s + AGAIN_S
        name = self.member["name"].encode()
        will = _field(topics.state(self.member["name"]).encode()) + _field(topics.OFFLINE)
        hello = b"\x00\x04MQTT\x04\x2e" + struct.pack(">H", KEEPALIVE_S) + _field(name) + will
        try:
            plain = socket.create_connection(("127.0.0.1", self.job["port"]), LIMIT_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = self.context.wrap_socket(plain, server_hostname="localhost")
            peer.sendall(_frame(0x10, hello))
            if peer.recv(4)[3:] != b"\x00":
                raise OSError("refused")
            peer.sendall(_frame(0x82, b"\x00\x01" + _field(topics.ack(self.member["name"]).encode()) + b"\x00"))
        except OSError:
            return False
        self.peer, self._came, self.heard_s = peer, b"", now_s
        self.done["connections"] += 1
        state = topics.encode_state(BOOT, "1.0.0", 1, (BOOT, self.acked + 1), "bench")
        self._publish([(topics.state(self.member["name"]), state)], retain=True)
        self._rewind()
        return True

    @property
    def finished(self) -> bool:
        """Whether all its records are acked."""
        return bool(self.job["records"]) and self.acked >= self.job["records"] - 1

    def fill(self, now_s: float) -> None:
        """Send as much as the window has room for."""
        todo = []
        while len(self.sent) < self.job["window"] and not (self.job["records"] and self.next_seq >= self.job["records"]):
            self.sent.append((self.next_seq, now_s))
            todo.append(self.next_seq)
            self.next_seq += 1
        if todo:
            self._send(todo)

    def nag(self, now_s: float) -> None:
        """After a silence, send again what is not acked."""
        if self.sent and now_s - self.heard_s > SILENCE_S:
            self.heard_s = now_s
            self.done["again"] += len(self.sent)
            self._send([seq for seq, _ in self.sent])

    def receive(self, now_s: float) -> None:
        """Read what came; acks free the window."""
        if self.peer is None:
            return
        try:
            came = self.peer.recv(1 << 16)
            while self.peer.pending():
                came += self.peer.recv(1 << 16)
        except OSError:
            came = b""
        if not came:
            self.hang_up()
            return
        self._came += came
        at = 0
        raw = self._came
        while at + 2 <= len(raw) and at + 2 + raw[at + 1] <= len(raw):   # none that come to a device have 128 bytes
            end = at + 2 + raw[at + 1]
            if raw[at] >> 4 == 3:
                self._ack(raw[end - 10:end], now_s)
            at = end
        self._came = raw[at:]

    def hang_up(self) -> None:
        """End the connection without a word."""
        if self.peer is not None:
            with suppress(OSError):
                self.peer.close()
            self.peer = None

    def _ack(self, payload: bytes, now_s: float) -> None:
        _, seq, _ = topics.parse_ack(payload)
        self.heard_s = now_s
        while self.sent and self.sent[0][0] <= seq:
            number, sent_s = self.sent.popleft()
            self.done["acked"] += 1
            if self.counting and sent_s:
                self.done["took_s"].append(now_s - sent_s)
                self.done["readings"] += self.records.readings if number else 0
        self.acked = max(self.acked, seq)
        self.next_seq = max(self.next_seq, self.acked + 1)

    def _rewind(self) -> None:
        """Everything that is not acked is sent again, in order; when it was first sent is kept."""
        self.done["again"] += len(self.sent)
        if self.sent:
            self._send([seq for seq, _ in self.sent])

    def _send(self, seqs: list[int]) -> None:
        job, chance, topic = self.job, self.chance, topics.up(self.member["name"])
        if job["reorder"]:
            ordered = seqs[:]
            chance.shuffle(seqs)
            self.done["reordered"] += sum(map(int.__ne__, ordered, seqs))
        messages = []
        for seq in seqs:
            payload = self.records.record(seq)
            twice = chance.random() * 100 < job["duplicate_pct"]
            self.done["again"] += twice
            self.done["duplicates"] += twice
            messages += [(topic, payload)] * (1 + twice)
            if chance.random() * 100 < job["garbage_pct"]:
                self.done["garbage"] += 1
                messages.append((topic, _damaged(payload, chance)))
        self._publish(messages)

    def _publish(self, messages: list[tuple[str, bytes]], *, retain: bool = False) -> None:
        out = bytearray()
        for topic, payload in messages:
            self._packet = self._packet % 0xFFFF + 1
            out += _frame(0x32 | retain, _field(topic.encode()) + struct.pack(">H", self._packet) + payload)
        self.done["sent"] += len(messages)
        try:
            if self.peer is not None:
                self.peer.sendall(out)
        except OSError:
            self.hang_up()


def run(job: Job) -> Done:
    """Do a job."""
    done = Done(took_s=[], wall_s=0, readings=0, acked=0, sent=0, again=0, duplicates=0, reordered=0, garbage=0, connections=0,
                cpu_s=0)
    records = Records(job["samples"], job["seed"], steps=job["steps"])
    talkers = []
    for number, member in enumerate(job["members"]):
        context = ssl.create_default_context(cafile=job["ca_file"])
        context.load_cert_chain(member["cert"], member["key"])
        talkers.append(Talker(member, context, job, records, random.Random(job["seed"] * 1000 + number), done))   # noqa: S311
    with selectors.DefaultSelector() as selector:
        for talker in talkers:
            if talker.connect(time.perf_counter()):
                _register(selector, talker)
        _say("ready")
        sys.stdin.readline()
        _talk(job, talkers, selector)
    for talker in talkers:
        talker.hang_up()
    return done


def _talk(job: Job, talkers: list[Talker], selector: selectors.DefaultSelector) -> None:
    done = talkers[0].done
    began = time.perf_counter()
    count_s, cpu_s, say_s = began + job["warm_s"], time.process_time(), began
    end_s = count_s + job["seconds"] if job["seconds"] else float("inf")
    counting = said = False
    while (now_s := time.perf_counter()) < end_s and not all(talker.finished for talker in talkers):
        if not counting and now_s >= count_s:
            counting, count_s, cpu_s = True, now_s, time.process_time()
            for talker in talkers:
                talker.counting = True
        for key, _ in selector.select(SAY_S):
            talker = key.data
            talker.receive(time.perf_counter())
            if talker.peer is not None:
                talker.fill(time.perf_counter())
            if talker.peer is None:
                selector.unregister(key.fileobj)
        if now_s >= say_s:
            say_s = now_s + SAY_S
            for talker in talkers:
                _care(talker, selector, now_s)
            if job["records"] or not said:   # nobody reads on where an end was told
                said = True
                under_way = sum(len(talker.sent) for talker in talkers)
                _say(json.dumps(Progress(acked=done["acked"], under_way=under_way, at_s=time.monotonic())))
    done["wall_s"] = time.perf_counter() - count_s
    done["cpu_s"] = time.process_time() - cpu_s


def _care(talker: Talker, selector: selectors.DefaultSelector, now_s: float) -> None:
    """What no message brings about: connecting again, beginning, sending again."""
    if talker.peer is None:
        if talker.finished or now_s < talker.again_s:
            return
        _forget(selector, talker)
        if talker.connect(now_s):
            _register(selector, talker)
    talker.fill(now_s)
    talker.nag(now_s)
    if talker.peer is None:
        _forget(selector, talker)


def _register(selector: selectors.DefaultSelector, talker: Talker) -> None:
    if talker.peer is not None:
        selector.register(talker.peer, selectors.EVENT_READ, talker)


def _forget(selector: selectors.DefaultSelector, talker: Talker) -> None:
    """Take a connection that ended while it was written to out of the selector."""
    for key in [key for key in selector.get_map().values() if key.data is talker]:
        selector.unregister(key.fileobj)


def _damaged(payload: bytes, chance: random.Random) -> bytes:
    """A record with a byte of it changed, or cut off, or bytes that were never one."""
    way = chance.randrange(3)
    if way == 0:
        at = chance.randrange(len(payload))
        return payload[:at] + bytes((payload[at] ^ 1 << chance.randrange(8),)) + payload[at + 1:]
    return payload[:chance.randrange(len(payload))] if way == 1 else chance.randbytes(chance.randrange(1, 300))


def _field(raw: bytes) -> bytes:
    return struct.pack(">H", len(raw)) + raw


def _frame(head: int, body: bytes) -> bytes:
    size = len(body)
    return bytes((head, size) if size < 128 else (head, size & 0x7F | 0x80, size >> 7)) + body   # below 16,384


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the job that comes on standard input."""
    _say(json.dumps(run(json.loads(sys.stdin.readline()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
