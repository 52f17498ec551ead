"""What one message is: a record, a state message, a pack of a foreign device, or something to keep aside.

Decides from the bytes alone, touching the header of a batch only. The device is the one in the topic, where the broker has
checked it against the certificate; payloads name none. Whether a record is new is not decided here.
"""

from dataclasses import dataclass

from host.ingest import senml
from host.monitor.presence import Hello
from host.store.tables import KIND_BATCH, KIND_SCHEMA
from node.errors import FormatError
from node.wire import batch as wire_batch
from node.wire import topics
from node.wire.identity import is_device_id


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a device's ring, batch or schema, by its header.

    Attributes:
        schema: the hash that a batch names, or that of the schema which the record carries.
        span_ms: from a batch's first sample to its last, by its grid.
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
    span_ms: int = 0


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


@dataclass(frozen=True, slots=True)
class Pack:
    """A SenML pack of a device that is not ours.

    Attributes:
        copy: as of a state message.
        arrived_ms: what its relative times count from, Unix milliseconds; 0: now.
    """

    topic: str
    device: str
    payload: bytes
    measured: tuple[senml.Measured, ...]
    copy: bool = False
    arrived_ms: int = 0


Sorted = Record | Spoken | Pack | Reject


def sort(topic: str, payload: bytes, *, copy: bool = False, at_ms: int = 0) -> Sorted:
    """Tell what a message is; never raises on its content.

    Args:
        copy: the broker marked it as retained or as delivered before.
        at_ms: when the broker took it; 0 when it does not say.
    """
    if topic.startswith("s/"):
        return _pack(topic, payload, copy=copy, at_ms=at_ms)
    try:
        device, kind = topics.parse(topic)
    except FormatError as error:
        return Reject(topic, "", error.code, payload)
    try:
        if kind == topics.UP:
            return record_of(device, payload)
        if kind == topics.STATE:
            return _spoken(device, payload, copy=copy, at_ms=at_ms)
    except FormatError as error:
        return Reject(topic, device, error.code, payload)
    return Reject(topic, device, "topic.kind", payload)


def senml_topic(device: str, kind: str) -> str:
    """The topic of a foreign device's packs; kind is senml.JSON or senml.CBOR."""
    return f"s/{device}/{kind}"


def record_of(device: str, payload: bytes) -> Record:
    """Tell a record by its header.

    Raises:
        FormatError: `batch.*`, `schema.*` or `bits.*`.
    """
    if payload[:1] == bytes((wire_batch.SCHEMA,)):
        boot, seq, schema_hash, body = wire_batch.parse_schema_record(payload)
        return Record(device, boot, seq, KIND_SCHEMA, schema_hash, 0, 0, 0, 0, payload, body)
    boot, seq, schema_hash, uptime_ms, epoch_ms, quality, period_ms, (n, _), n_readings, _, _ = wire_batch.read_header(payload)
    return Record(device, boot, seq, KIND_BATCH, schema_hash, n_readings, uptime_ms, epoch_ms, quality, payload,
                  span_ms=(n - 1) * period_ms)


def _pack(topic: str, payload: bytes, *, copy: bool, at_ms: int) -> Pack | Reject:
    parts = topic.split("/")
    if len(parts) != 3 or parts[2] not in (senml.JSON, senml.CBOR) or not is_device_id(parts[1]):
        return Reject(topic, "", "topic.name", payload)
    try:
        return Pack(topic, parts[1], payload, senml.parse(payload, parts[2]), copy, at_ms)
    except FormatError as error:
        return Reject(topic, parts[1], error.code, payload)


def _spoken(device: str, payload: bytes, *, copy: bool, at_ms: int) -> Spoken:
    state = topics.parse_state(payload)
    if not state["on"]:
        return Spoken(device, None, copy=copy, at_ms=at_ms)
    hello = Hello(state["boot"], state["release"], state["counter"], state["reason"])
    return Spoken(device, hello, state["oldest"], copy, at_ms)
