"""Packs of devices that are not ours become batches like ours: no digit, no value and no channel is lost on the way."""

import json
from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.ingest import foreign
from host.ingest.decode import decode
from host.ingest.foreign import FLOOR_MS, FUTURE_MS, Channel, draw, schemas
from host.ingest.senml import JSON, Measured, parse
from node.errors import FormatError
from node.wire import batch, schema

DEVICE = "pump-0242ac110009"
NOW = 1_790_000_000_000
NOW_S = NOW // 1000


def measured(*records):
    return parse(json.dumps(records).encode(), JSON)


def drawn(*records, book=None, rounding=False):
    return draw(DEVICE, book or {}, measured(*records), NOW, rounding=rounding)


def read(found):
    """channel -> [(time, value)] of the drafts, as a reader of the store gets them."""
    series = defaultdict(list)
    for draft in found.drafts:
        decoded = decode(draft.encode(1, 1))
        channels = schema.parse(draft.schema)
        assert len(channels) == len(decoded.values)
        assert decoded.quality == batch.QUALITY_SERVER
        for (name, _, resolution), values, valid in zip(channels, decoded.values, decoded.valid, strict=True):
            for at, value, is_there in zip(decoded.uptime_ms, values, valid, strict=True):
                if is_there:
                    series[name].append((int(at) + decoded.epoch_ms, int(value) * Decimal(resolution)))
    return series


def refusal(*records, **options):
    with pytest.raises(FormatError) as caught:
        drawn(*records, **options)
    return caught.value.code


def test_values_keep_their_digits_and_times():
    found = drawn({"bn": "urn:dev:mac:0024befffe804ff1/", "bt": NOW_S, "bu": "Cel", "n": "t", "v": 23.17},
                  {"n": "t", "t": -1.25, "v": 23}, {"n": "p", "u": "Pa", "v": 101325})
    assert read(found) == {"t": [(NOW - 1250, 23), (NOW, Decimal("23.17"))], "p": [(NOW, 101325)]}
    assert [schema.parse(draft.schema) for draft in found.drafts] == [[("t", "Cel", "0.01"), ("p", "Pa", "1")]]


def test_packs_with_some_channels_of_a_group_use_its_schema():
    first = drawn(*({"n": name, "v": 1} for name in "abc"))
    second = drawn({"n": "b", "v": 2}, book=first.book)
    assert second.drafts[0].schema == first.drafts[0].schema
    assert (second.changed, read(second)) == ((), {"b": [(NOW, 2)]})


def test_a_finer_value_makes_the_step_finer_for_good():
    first = drawn({"n": "a", "v": 20})
    second = drawn({"n": "a", "v": 20.25}, book=first.book)
    third = drawn({"n": "a", "v": 21}, book=second.book)
    assert [schema.parse(one.drafts[0].schema)[0][2] for one in (first, second, third)] == ["1", "0.01", "0.01"]
    assert [bool(one.changed) for one in (first, second, third)] == [True, True, False]


def test_a_value_too_large_for_the_known_step_gets_one_of_its_own():
    first = drawn({"n": "a", "v": 0.0001})
    second = drawn({"n": "a", "v": 3_000_000.5}, book=first.book)
    assert read(second)["a"] == [(NOW, Decimal("3000000.5"))]
    assert second.changed == ()


@pytest.mark.parametrize("value", [0.30000000000000004, 123456789.12, 1e-11, 1e300, 5_000_000_001])
def test_digits_that_do_not_fit_are_dropped_silently(value):
    assert refusal({"n": "a", "v": value}) == "senml.digits"


def test_digits_that_do_not_fit_are_rounded_where_that_is_wanted():
    found = drawn({"n": "a", "v": 0.30000000000000004}, {"n": "b", "v": 5_000_000_001}, {"n": "c", "v": 1e-200}, rounding=True)
    assert read(found) == {"a": [(NOW, Decimal("0.3"))], "b": [(NOW, 5_000_000_000)], "c": [(NOW, 0)]}
    assert refusal({"n": "a", "v": 1e300}, rounding=True) == "senml.digits"


def test_booleans_are_zero_and_one_and_sums_have_channels_of_their_own():
    found = drawn({"n": "on", "vb": True, "t": 0}, {"n": "on", "vb": False, "t": -1}, {"n": "w", "u": "W", "v": 3, "s": 70.5},
                  {"n": "x", "vs": "y"})
    assert read(found) == {"on": [(NOW - 1000, 0), (NOW, 1)], "w": [(NOW, 3)], "w.sum": [(NOW, Decimal("70.5"))]}
    assert ("w.sum", "W*s", "0.1") in schema.parse(found.drafts[0].schema)


def test_names_that_come_to_the_same_stay_apart():
    names = ["a-b", "a_b", "A_b", "a:b", "urn:dev:mac:1/a_b", "urn:dev:mac:2/a_b", f"{DEVICE}/a_b", "9", "-".join("x" * 40), "z__"]
    found = drawn(*({"n": name, "v": at} for at, name in enumerate(names)), {"n": "a_b", "u": "V", "v": 99},
                  {"n": "a_b", "u": "%", "v": 98})
    assert sorted(value for values in read(found).values() for _, value in values) == [*range(len(names)), 98, 99]
    assert found.book["a_b", "V", False].channel == "a_b.v"


def test_values_of_the_same_millisecond_are_all_kept():
    found = drawn({"n": "a", "v": 1, "bt": NOW_S}, {"n": "a", "v": 2, "t": 0.0001}, {"n": "a", "v": 2, "t": 0.0002},
                  {"n": "b", "v": 5})
    assert sorted(read(found)["a"]) == [(NOW, 1), (NOW, 2), (NOW, 2)]
    assert refusal(*({"n": "a", "v": 1} for _ in range(foreign.MAX_LAYERS + 1))) == "senml.dense"


@pytest.mark.parametrize("at_ms", [FLOOR_MS - 1, NOW + FUTURE_MS + 1, 2**28 * 1000, -10**15])
def test_times_that_cannot_be_true_are_refused(at_ms):
    assert refusal({"n": "a", "v": 1, "bt": at_ms / 1000} if at_ms > 0 else {"n": "a", "v": 1, "t": at_ms // 1000}) == "senml.time"


def test_first_and_last_time_that_can_be_true_are_stored():
    found = drawn({"n": "a", "v": 1, "t": FLOOR_MS / 1000}, {"n": "a", "v": 2, "t": (NOW + FUTURE_MS) / 1000})
    assert read(found)["a"] == [(FLOOR_MS, 1), (NOW + FUTURE_MS, 2)]


def test_groups_fit_a_schema_and_a_device_has_bounds():
    found = drawn(*({"n": f"{'x' * 40}{at:03d}", "u": "0123456789abcdef", "v": 1} for at in range(150)))
    assert len({one.channel for one in found.book.values()}) == 150
    assert len(schemas(found.book)) == len(found.drafts) > 2
    assert refusal(*({"n": f"x{at}", "v": 1} for at in range(foreign.MAX_CHANNELS + 1))) == "senml.channels"


def test_known_channels_keep_their_places_when_others_come():
    first = drawn({"n": "a", "v": 1})
    second = drawn({"n": "b", "v": 1}, {"n": "a", "v": 2}, book=first.book)
    assert second.book["a", "", False] == first.book["a", "", False] == Channel("a", "", 0, 0, 0)
    assert second.book["b", "", False].group == 1


VALUE = st.one_of(st.integers(-10**6, 10**6), st.decimals(-10**4, 10**4, places=3, allow_nan=False, allow_infinity=False))
TIME = st.one_of(st.integers(0, 5), st.integers(0, 10**8), st.decimals(0, 10**6, places=3)).map(lambda back: Decimal(NOW_S) - back)
NAME, UNIT = st.sampled_from(["a", "b", "c", "d-e"]), st.sampled_from(["", "V"])
RECORDS = st.lists(st.builds(Measured, NAME, UNIT, VALUE.map(Decimal), st.none(), TIME), min_size=1, max_size=60)


@given(RECORDS, RECORDS)
def test_whatever_comes_is_read_back_value_by_value(first, second):
    book = {}
    for records in (first, second):
        found = draw(DEVICE, book, records, NOW, rounding=False)
        book = found.book
        wanted = defaultdict(list)
        for one in records:
            wanted[book[one.name, one.unit, False].channel].append((one.time_ms(NOW), one.value))
        came = {name: sorted(values) for name, values in read(found).items()}
        assert came == {name: sorted(values) for name, values in wanted.items()}
