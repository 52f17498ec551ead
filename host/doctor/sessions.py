"""What a broker keeps for a client: sessions, queues, messages of a batch's size. Probes; how bad it is, codes.py says.

Everything goes to the acks' topics of the test devices, which nobody else hears.
"""

from collections.abc import Iterator

from host.doctor.codes import Finding, judge, lost
from host.doctor.identity import Identity
from host.doctor.mqtt import ACCEPTED, Connection
from host.doctor.rights import GRACE_S, let_in
from node.wire import topics
from node.wire.batch import MAX_RECORD_BYTES

MESSAGES = 5000       # a stalled subscriber's: a minute of 80 devices a second, five times what Mosquitto keeps by itself
OFFLINE = 100
PAYLOAD_BYTES = 150   # a batch of 240 readings
QUIET_S = 3.0         # nothing more comes


def names(one: Identity, other: Identity, listener: Identity, mark: str) -> Iterator[Finding]:
    """Try another's client id: while it is there, and while it is away."""
    with let_in(other) as victim, one.connect(client_id=other.client_id) as thief:
        there = victim.alive()
    tried = f"{one.name} connects with the client id {other.name}"
    let = "let in" if thief.code == ACCEPTED else "refused"
    yield judge("name.client_id", not there, f"{tried}, which is connected",
                f"{let}; the other's connection {'stays' if there else 'is ended'}")

    aim, word = other.topic(topics.ACK), f"tenfold doctor {mark} waiting".encode()
    _new_session(other, aim)
    with let_in(listener) as ingest:
        ingest.publish(aim, [word])
    with one.connect(client_id=other.client_id, clean=False) as thief:
        thief.read_for(GRACE_S)
        read = any(message.payload == word for message in thief.messages)
    yield judge("name.session_read", read, f"{tried}, for whom a message waits", "it got the message" if read else "it got nothing")
    one.connect(client_id=other.client_id, clean=True).close()
    with let_in(other, clean=False) as victim:
        kept = victim.session_present
    yield judge("name.session_deleted", not kept, f"{tried} and asks for a clean session",
                "the other's session is kept" if kept else "the other's session is gone")
    with let_in(other):   # clean: leaves no session behind
        pass


def queue(one: Identity, listener: Identity, mark: str, messages: int = MESSAGES) -> Iterator[Finding]:
    """Stall a subscriber, and send a device's session something while it is away."""
    aim = one.topic(topics.ACK)
    with let_in(listener) as ingest:
        with let_in(one, acknowledge=False) as device:
            device.subscribe([aim])
            acked = ingest.publish(aim, _numbered(mark, messages))
            device.release()
            missing = lost(messages, _drained(device, mark, messages)) - (messages - acked)
        yield judge("queue.drops", missing > 0, f"{messages:,} messages for a subscriber that stalls",
                    f"{acked:,} acknowledged, {max(0, missing):,} of them lost")
        _new_session(one, aim)
        acked = ingest.publish(aim, _numbered(mark, OFFLINE))
        with let_in(one, clean=False) as device:
            missing = lost(OFFLINE, _drained(device, mark, OFFLINE)) - (OFFLINE - acked)
        yield judge("queue.offline", missing > 0, f"{OFFLINE} messages for a session whose client is away",
                    f"{acked} acknowledged, {max(0, missing)} of them lost")
        with let_in(one) as device:   # clean: leaves no session behind
            device.subscribe([aim])
            large = (f"{mark} ".encode() + bytes(MAX_RECORD_BYTES))[:MAX_RECORD_BYTES]
            ingest.publish(aim, [large])
            came = device.read_until(lambda: any(message.payload == large for message in device.messages), QUIET_S)
        yield judge("size.batch", not came, f"a message of {MAX_RECORD_BYTES:,} bytes, the largest record of a ring",
                    "delivered" if came else "did not come")


def _new_session(who: Identity, topic: str) -> None:
    """Leave a session without a client, subscribed to a topic, and nothing in it from before."""
    with let_in(who):
        pass
    with let_in(who, clean=False) as device:
        device.subscribe([topic])


def _numbered(mark: str, count: int) -> Iterator[bytes]:
    return (f"{mark} {number} ".encode().ljust(PAYLOAD_BYTES, b".") for number in range(count))


def _drained(device: Connection, mark: str, count: int) -> set[int]:
    """The numbers that came, when all did or nothing more comes."""
    came: set[int] = set()
    at = 0
    while len(came) < count:
        seen = len(device.messages)
        for message in device.messages[at:]:
            word, _, rest = message.payload.partition(b" ")
            if word == mark.encode():
                came.add(int(rest.split(b" ", 1)[0]))
        at = seen
        if len(came) < count and not _more(device, seen):
            break
    return came


def _more(device: Connection, seen: int) -> bool:
    return device.read_until(lambda: len(device.messages) > seen, QUIET_S)
