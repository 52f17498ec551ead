"""Whatever bytes come, they are told apart and nothing raises."""

from hypothesis import given
from hypothesis import strategies as st

from host.ingest.sort import Record, Reject, Spoken, sort
from node.wire import batch
from tests.ingest.records import DEVICE, HASH, SCHEMA, batch_of, schema_of, state, up, will


def test_batch_is_named_by_its_header_and_keeps_its_bytes():
    payload = batch_of(3, 7, epoch_ms=1_700_000_000_000, quality=2)
    assert sort(*up(payload)) == Record(
        DEVICE, 3, 7, 1, HASH, 7, 7000, 1_700_000_000_000, 2, payload, span_ms=750)


def test_schema_record_carries_its_body_and_no_readings():
    payload = schema_of(3, 0)
    assert sort(*up(payload)) == Record(DEVICE, 3, 0, 2, HASH, 0, 0, 0, 0, payload, SCHEMA)


def test_state_message_and_will():
    spoken = sort(*state(4, (3, 9)), copy=True)
    assert isinstance(spoken, Spoken)
    assert (spoken.device, spoken.oldest, spoken.hello.boot, spoken.copy) == (DEVICE, (3, 9), 4, True)
    assert sort(*will()).hello is None


def test_damaged_batch_is_rejected_with_its_reason():
    payload = bytearray(batch_of(3, 7))
    payload[5] ^= 0x10
    assert sort(*up(bytes(payload))) == Reject(f"t/{DEVICE}/up", DEVICE, "batch.crc", bytes(payload))


def test_record_of_an_unknown_kind_is_rejected():
    assert sort(*up(b"\x09" + batch_of(3, 7)[1:])).reason in ("batch.crc", "batch.kind")


def test_oversized_record_is_rejected():
    assert sort(*up(b"\x01" * (batch.MAX_RECORD_BYTES + 1))).reason == "batch.size"


def test_foreign_topics_are_rejected_without_a_device():
    for topic in ("t/../up", "t/hall-0242AC110001/up", "t/svc.ingest/up", "", "\x00", "t/" + DEVICE + "/up/x"):
        assert sort(topic, batch_of(1, 1)).device == ""


def test_ack_topic_is_not_for_us():
    assert sort(f"t/{DEVICE}/ack", b"").reason == "topic.kind"


@given(kind=st.sampled_from(["up", "state"]), payload=st.binary(max_size=300))
def test_no_bytes_raise(kind, payload):
    assert isinstance(sort(f"t/{DEVICE}/{kind}", payload), Reject | Spoken | Record)
