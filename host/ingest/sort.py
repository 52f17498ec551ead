"""What one message is: a record, a state message, or something to keep aside.

Decides from the bytes alone, touching the header of a batch only. The device is the one in the topic, where the broker has
checked it against the certificate; payloads name none. Whether a record is new is not decided here.
"""

from dataclasses import dataclass

from host.monitor.presence import Hello
from host.store.tables import KIND_BATCH, KIND_SCHEMA
from node.errors import FormatError
from node.wire import batch as wire_batch
from node.wire import topics


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a device's ring, batch or schema, by its header.

    Attributes:
        schema: the hash that a batch names, or that of the schema which the record carries.
        payload: exactly as received.
        body: the canonical schema of a schema record; empty for a batch.
    """

    device: str
    boot: int
    seq: int
    kind: int
    schema: bytes
    n_readings: int
    uptime_ms: int
    epoch_ms: int
    quality: int
    payload: bytes
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A state message. `hello` is None when the device is gone; `oldest` is the oldest record it still has.

    Attributes:
        copy: the broker's retained copy or a repetition, not the device speaking now.
        at_ms: when the broker took it, Unix milliseconds; 0 when it does not say. Later ones may have been read before it.
    """

    device: str
    hello: Hello | None
    oldest: tuple[int, int] = (0, 0)
    copy: bool = False
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that has no place: kept in quarantine. `device` is empty when the topic names none."""

    topic: str
    device: str
    reason: str
    payload: bytes


Sorted = Record | Spoken | Reject


def sort(topic: str, payload: bytes, *, copy: bool = False, at_ms: int = 0) -> Sorted:
    """Tell what a message is; never raises on its content.

    Args:
        copy: the broker marked it as retained or as delivered before.
        at_ms: when the broker took it; 0 when it does not say.
    """
    try:
        device, kind = topics.parse(topic)
    except FormatError as error:
        return Reject(topic, "", error.code, payload)
    try:
        if kind == topics.UP:
            return _record(device, payload)
        if kind == topics.STATE:
            return _spoken(device, payload, copy=copy, at_ms=at_ms)
    except FormatError as error:
        return Reject(topic, device, error.code, payload)
    return Reject(topic, device, "topic.kind", payload)


def _record(device: str, payload: bytes) -> Record:
    if payload[:1] == bytes((wire_batch.SCHEMA,)):
        boot, seq, schema_hash, body = wire_batch.parse_schema_record(payload)
        return Record(device, boot, seq, KIND_SCHEMA, schema_hash, 0, 0, 0, 0, payload, body)
    boot, seq, schema_hash, n_readings, uptime_ms, epoch_ms, quality = wire_batch.peek(payload)
    return Record(device, boot, seq, KIND_BATCH, schema_hash, n_readings, uptime_ms, epoch_ms, quality, payload)


def _spoken(device: str, payload: bytes, *, copy: bool, at_ms: int) -> Spoken:
    state = topics.parse_state(payload)
    if not state["on"]:
        return Spoken(device, None, copy=copy, at_ms=at_ms)
    hello = Hello(state["boot"], state["release"], state["counter"], state["reason"])
    return Spoken(device, hello, state["oldest"], copy, at_ms)
