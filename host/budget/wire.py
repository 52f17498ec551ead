"""Bytes a day between a device and its servers, as a radio or a tariff counts them: MQTT, HTTP, TLS, TCP and IP.

Computes import math
from counts and sizes only. An upper bound: each data segment is answered by an acknowledging one of its own, where TCP
often saves some. Does not count what a link adds below IP, what is lost and sent again, or an outage's backlog (the same
bytes, later). tests/firmware/test_traffic.py counts a real device's connections and compares.
"""

import math
from dataclasses import dataclass

from node.settings import Config
from node.wire import topics

DAY_S = 86_400
TCP_IP_BYTES = 40     # IPv4 and TCP headers without options (RFC 791, 9293); lwIP as ESP-IDF builds it sends no timestamps
UDP_IP_BYTES = 28
SYN_BYTES = 44        # with the maximum segment size, the one option
MSS_BYTES = 1440      # ESP-IDF, CONFIG_LWIP_TCP_MSS
TLS_RECORD_BYTES = 29  # header 5, explicit nonce 8, tag 16: AES-GCM in TLS 1.2 (RFC 5246 6.2.3.3, RFC 5288)
# A full handshake with mutual TLS 1.2, P-256, the server's chain of two and the device's certificate alone; measured. No port
# resumes sessions.
HANDSHAKE_UP, HANDSHAKE_DOWN = 810, 1275
HANDSHAKE_SEGMENTS = 6   # each way, acknowledgements among them; measured
ALERT_BYTES = 2       # the server's close_notify
PUBACK_BYTES = 4
CONNACK_BYTES, SUBACK_BYTES, PING_BYTES, DISCONNECT_BYTES = 4, 5, 2, 2
CHECKIN_UP, CHECKIN_DOWN = 790, (128, 115)   # request; head and body of an idle answer: measured 738 up, and room for digits
NTP_BYTES = 48        # each way (RFC 5905)
REPORTED = "uplink:NetworkError:uplink.closed"   # a reason as long as they come


@dataclass(frozen=True)
class Flow:
    """One kind of traffic, bytes a day."""

    name: str
    up: float
    down: float

    @property
    def both(self) -> float:
        return self.up + self.down


@dataclass(frozen=True)
class Assumed:
    """What happens in a day that no configuration says.

    Attributes:
        reconnects: broken sessions. boots: starts. updates_a_year: releases fetched whole.
    """

    reconnects: float = 4
    boots: float = 1
    updates_a_year: float = 12


def flows(config: Config, device: str, records_a_day: float, mean_bytes: float, *, tls_sessions: int, bundle_bytes: int,
          assumed: Assumed) -> list[Flow]:
    """What a device sends and receives in a day.

    Args:
        records_a_day, mean_bytes: of the ring's records, each published and acknowledged once.
        tls_sessions: with one, the broker's connection is closed for each check-in, and opened again.
        bundle_bytes: of a release.
    """
    batch = sent(publish_bytes(topics.up(device), mean_bytes)) + got(PUBACK_BYTES) + got(ack_bytes(device))
    checkins = DAY_S / config.checkin_s
    session = connection(config, device) + greeting(device)
    sessions = assumed.reconnects + assumed.boots
    if tls_sessions == 1:
        session += sent(DISCONNECT_BYTES)
        sessions += checkins
    quiet_s = DAY_S / max(records_a_day, 1)
    pings = records_a_day * math.ceil(quiet_s / max(config.keepalive_s // 4, 1) - 1)   # after a quarter without a packet
    checkin = connection(config, device) + check_in()
    bundle = connection(config, device) + got(bundle_bytes)
    ntp = Bytes(NTP_BYTES + UDP_IP_BYTES, NTP_BYTES + UDP_IP_BYTES)
    each = [
        ("batches and their acks", batch, records_a_day), ("keepalive", sent(PING_BYTES) + got(PING_BYTES), pings),
        ("sessions with the broker", session, sessions), ("check-ins", checkin, checkins),
        ("releases", bundle, assumed.updates_a_year / 365.25), ("time", ntp, assumed.boots if config.ntp else 0),
    ]
    return [Flow(name, one.up * times, one.down * times) for name, one, times in each]


@dataclass(frozen=True)
class Bytes:
    """On the wire, both ways."""

    up: float
    down: float

    def __add__(self, other: "Bytes") -> "Bytes":
        return Bytes(self.up + other.up, self.down + other.down)


def sent(content: float) -> Bytes:
    """A message of so many bytes, written at once by the device: TLS records, segments, and the server's TCP acknowledgements."""
    segments = -(-(content + TLS_RECORD_BYTES) // MSS_BYTES)
    return Bytes(content + TLS_RECORD_BYTES + segments * TCP_IP_BYTES, segments * TCP_IP_BYTES)


def got(content: float) -> Bytes:
    """As sent, from the server."""
    there = sent(content)
    return Bytes(there.down, there.up)


def connection(config: Config, device: str) -> Bytes:
    """DNS, TCP and TLS up to the first message, and the end."""
    tcp = Bytes(SYN_BYTES + 3 * TCP_IP_BYTES, SYN_BYTES + 2 * TCP_IP_BYTES)   # SYN, ACK, FIN, ACK; SYN-ACK, ACK, FIN
    headers = HANDSHAKE_SEGMENTS * TCP_IP_BYTES
    return _dns(config, device) + tcp + Bytes(HANDSHAKE_UP + headers, HANDSHAKE_DOWN + headers)


def greeting(device: str) -> Bytes:
    """From CONNECT to the retained state (MQTT 3.1.1, 3.1 to 3.9)."""
    name, will, ack = len(device), len(topics.state(device)), len(topics.ack(device))
    state = topics.encode_state((1 << 24) - 1, "10.10.10", 1000, ((1 << 24) - 1, 1_000_000), REPORTED)
    return (sent(12 + 2 + name + 2 + will + 2 + len(topics.OFFLINE)) + got(CONNACK_BYTES) + sent(7 + ack) + got(SUBACK_BYTES)
            + sent(publish_bytes(topics.state(device), len(state))) + got(PUBACK_BYTES))


def check_in() -> Bytes:
    """Request, answer and the server's goodbye, within a connection."""
    answer = Bytes(0, 0)
    for part in (*CHECKIN_DOWN, ALERT_BYTES):
        answer += got(part)
    return sent(CHECKIN_UP) + answer


def publish_bytes(topic: str, content: float) -> float:
    """A PUBLISH with QoS 1 (MQTT 3.1.1, 3.3)."""
    rest = 2 + len(topic) + 2 + content
    return 1 + (1 if rest < 128 else 2) + rest


def ack_bytes(device: str) -> int:
    """The server's word for a record: a PUBLISH with QoS 0."""
    return 2 + 2 + len(topics.ack(device)) + len(topics.encode_ack(0, 0))


def _dns(config: Config, device: str) -> Bytes:
    """One question and its answer of one address (RFC 1035); none where the address is told."""
    if config.address:
        return Bytes(0, 0)
    question = UDP_IP_BYTES + 12 + len(config.server(device)) + 2 + 4
    return Bytes(question, question + 16)
