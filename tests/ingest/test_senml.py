"""SenML packs are read as RFC 8428 says, or refused with a code; whatever bytes come."""

import json
import struct
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.ingest import senml
from host.ingest.senml import CBOR, JSON, MAX_PACK_BYTES, MAX_RECORDS, Measured, parse
from node.errors import FormatError

VECTORS = Path(__file__).parent.parent.parent.parent / "shared/vectors/senml"
LABELS = {name: number for number, name in senml._LABELS.items()}
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="the RFC's examples are not beside this checkout")


def pack(*records):
    return json.dumps(records).encode()


def cbor(*records):
    return cbor2.dumps([{LABELS.get(label, label): value for label, value in one.items()} for one in records])


def code(raw, kind=JSON):
    with pytest.raises(FormatError) as caught:
        parse(raw, kind)
    return caught.value.code


@needs_vectors
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("kind", [JSON, CBOR])
def test_example_of_the_rfc_resolves_to_something_else(number, kind):
    records = json.loads((VECTORS / f"ex{number}.gen.json").read_text())
    wanted = json.loads((VECTORS / f"ex{number}.gen.resolved.json").read_text())
    found = parse(pack(*records) if kind == JSON else cbor(*records), kind)
    assert [(one.name, one.unit, float(one.value)) for one in found] == [(one["n"], one["u"], one["v"]) for one in wanted]
    if number > 2:   # the examples without times got that of the day on which they were resolved
        assert [float(one.time_s) for one in found] == [one["t"] for one in wanted]
    else:
        assert all(one.is_relative for one in found)


def test_numbers_keep_the_digits_that_were_written():
    assert parse(b'[{"n":"a","v":24.306210,"bt":1320067464.25}]', JSON) == (
        Measured("a", "", Decimal("24.306210"), None, Decimal("1320067464.25")),)


@pytest.mark.parametrize(("item", "meant"), [
    ("fa41b8cccd", "23.1"), ("fb403719999999999a", "23.1"), ("c4822018e7", "23.1"), ("f94dc6", "23.1"), ("3903e7", "-1000"),
])
def test_number_of_cbor_reads_differently_than_its_sender_meant(item, meant):
    (one,) = parse(b"\x81\xa2\x00\x61a\x02" + bytes.fromhex(item), CBOR)
    assert one.value == Decimal(meant)


def test_base_fields_hold_until_they_are_replaced():
    found = parse(pack({"bn": "a:", "bt": 2e9, "bu": "Cel", "bv": 20, "bs": 100, "n": "x", "v": 1.5, "s": 3}, {"n": "y", "v": 2},
                       {"bn": "b:", "bv": 0, "n": "z", "t": -7, "v": 4, "u": "K"}), JSON)
    assert [(one.name, one.unit, one.value, one.total, one.time_s) for one in found] == [
        ("a:x", "Cel", Decimal("21.5"), 103, 2_000_000_000), ("a:y", "Cel", 22, None, 2_000_000_000),
        ("b:z", "K", 4, None, 1_999_999_993)]


def test_small_times_count_from_the_arrival():
    early, late = parse(pack({"n": "a", "v": 1, "t": -2.5}, {"n": "a", "v": 1, "t": 2**28}), JSON)
    assert (early.time_ms(1_000_000), late.time_ms(1_000_000)) == (997_500, 2**28 * 1000)


def test_other_kinds_of_values_are_told_apart():
    found = parse(pack({"bn": "a", "vs": "on"}, {"vb": True}, {"vd": "AQI"}, {"s": 3}), JSON)
    assert [one.value for one in found] == ["on", True, "AQI", None]
    assert [one.has_number for one in found] == [False, True, False, True]
    assert parse(cbor({"n": "a", "vd": b"\x01"}), CBOR)[0].value == b"\x01"


def test_record_of_base_fields_alone_is_no_reading():
    assert [one.name for one in parse(pack({"bn": "a", "bu": "V"}, {"v": 1}), JSON)] == ["a"]


def test_unknown_fields_are_passed_over_unless_they_must_be_understood():
    assert parse(pack({"n": "a", "v": 1, "vendor": {"deep": [1]}}), JSON)
    assert parse(cbor({"n": "a", "v": 1, "vendor": [1], -77: 2}), CBOR)
    assert code(pack({"n": "a", "v": 1, "ct_": "60"})) == "senml.must_understand"
    assert code(cbor({"n": "a", "v": 1, "ct_": "60"}), CBOR) == "senml.must_understand"


@pytest.mark.parametrize(("raw", "wanted"), [
    (b"{", "senml.json"), (b"\xff", "senml.json"), (b"[" * 9000, "senml.json"), (b'[{"n":"a","v":' + b"[" * 9000, "senml.json"),
    (b"{}", "senml.records"), (b"[]", "senml.records"), (b"[1]", "senml.records"), (b" " * (MAX_PACK_BYTES + 1), "senml.size"),
    (b"[" + b"{}," * MAX_RECORDS + b"{}]", "senml.records"),
    (b'[{"n":"a","v":1,"v":2}]', "senml.duplicate"), (b'[{"n":"a","v":NaN}]', "senml.number"),
    (b'[{"n":"a","v":1e999999999}]', "senml.number"), (b'[{"n":"a","v":' + b"9" * 65 + b"}]", "senml.number"),
    (b'[{"n":"a","v":"1"}]', "senml.field"), (b'[{"n":1,"v":1}]', "senml.field"), (b'[{"n":"a","vb":1}]', "senml.field"),
    (b'[{"n":"a","v":true}]', "senml.field"),
    (b'[{"n":"a","v":1,"bver":11}]', "senml.version"), (b'[{"n":"a","v":1,"bver":10},{"n":"a","v":1,"bver":5}]', "senml.version"),
    (b'[{"v":1}]', "senml.name"), (b'[{"n":"-a","v":1}]', "senml.name"), (b'[{"n":"a b","v":1}]', "senml.name"),
    (b'[{"bn":"' + b"a" * 300 + b'","v":1}]', "senml.name"), (b'[{"n":"a","u":"' + b"a" * 17 + b'","v":1}]', "senml.unit"),
    (b'[{"n":"a","u":"\\ud800","v":1}]', "senml.unit"), (b'[{"n":"a"}]', "senml.value"),
    (b'[{"n":"a","v":1,"vb":true}]', "senml.value"),
])
def test_wrong_pack_is_taken(raw, wanted):
    assert code(raw) == wanted


@pytest.mark.parametrize(("raw", "wanted"), [
    ("", "senml.cbor"), ("81", "senml.cbor"), ("9b00ffffffffffffff", "senml.cbor"), ("5b7fffffffffffffff", "senml.cbor"),
    ("bb00ffffffffffffff", "senml.cbor"), ("8180", "senml.records"), ("81a100616100", "senml.cbor"),
    ("81a200616100 6162", "senml.duplicate"),
    ("81a20061610241 61", "senml.field"), ("81a200616102c249010000000000000000", "senml.cbor"),   # a big number
    ("81a200616102d81c80", "senml.cbor"), ("81a200616102d81d00", "senml.cbor"), ("81a200616102c11a514b67b0", "senml.cbor"),
    ("81a200616102c482190fff01", "senml.number"), ("81a200616102f97e00", "senml.number"), ("81a200616102f97c00", "senml.number"),
    ("81818181818181", "senml.cbor"), ("81a200616102ff", "senml.cbor"), ("81a2f5616102", "senml.cbor"),
    ("81a200617f61", "senml.cbor"),
    ("81a20061ff0201", "senml.cbor"), ("9f", "senml.cbor"), ("5f4101ff", "senml.cbor"),
])
def test_cbor_that_asks_for_more_than_a_pack_is_read(raw, wanted):
    assert code(bytes.fromhex(raw), CBOR) == wanted


def test_lengths_may_be_left_open_and_the_pack_may_say_what_it_is():
    record = bytes.fromhex("bf 00 61 61 02 01 ff")
    for raw in (b"\x9f" + record + b"\xff", b"\xd9\xd9\xf7\x81" + record):
        assert parse(raw, CBOR) == (Measured("a", "", Decimal(1), None, Decimal(0)),)


def test_an_integer_a_label_and_a_name_for_the_same_field_are_two_fields():
    assert code(cbor2.dumps([{0: "a", "n": "b", 2: 1}]), CBOR) == "senml.duplicate"


NUMBER = st.one_of(st.integers(-2**60, 2**60), st.floats(allow_nan=False, allow_infinity=False, width=64))
RECORD = st.fixed_dictionaries({"n": st.sampled_from(["a", "b/c", "urn:dev:ow:1"]), "v": NUMBER}, optional={
    "u": st.sampled_from(["", "Cel", "%RH"]), "t": NUMBER, "s": NUMBER, "bt": st.just(1.5e9), "bv": NUMBER, "ut": NUMBER})


@given(st.lists(RECORD, min_size=1, max_size=8))
def test_json_and_cbor_mean_the_same(records):
    assert parse(pack(*records), JSON) == parse(cbor(*records), CBOR)


@given(st.sampled_from([JSON, CBOR]), st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(kind, raw):
    for whole in (raw, b"\x81\xa2\x00\x61a\x02" + raw, b'[{"n":"a","v":' + raw):
        with suppress(FormatError):   # any other exception fails the test
            assert parse(whole, kind)


LEAF = st.one_of(st.none(), st.booleans(), NUMBER, st.text(max_size=5), st.binary(max_size=5))
LABEL = st.sampled_from([*LABELS.values(), "x", "x_"])


@given(st.recursive(LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(LABEL, inner), max_leaves=20))
def test_any_shape_is_read_or_refused(value):
    with suppress(FormatError):
        parse(cbor2.dumps(value), CBOR)


def test_single_floats_are_the_shortest_decimals_that_name_them():
    values = [0.1, 21.7, -273.15, 1e-7, 16777216.0, 1.5]
    raw = b"\x86" + b"".join(b"\xa2\x00\x61a\x02\xfa" + struct.pack(">f", value) for value in values)
    assert [float(one.value) for one in parse(raw, CBOR)] == values
