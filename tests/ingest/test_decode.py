"""The host's decoder against the device's: same arrays, same refusals, for any input."""

import binascii
import random
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.ingest.decode import decode
from node.errors import FormatError
from node.wire import batch
from node.wire.columns import VALUE_MAX, VALUE_MIN

VALUE = st.one_of(st.integers(VALUE_MIN, VALUE_MAX), st.integers(-3, 3), st.sampled_from([VALUE_MIN, VALUE_MAX]))
SHAPES = ("walk", "noise", "still", "steps", "spikes", "wild")


def column(shape: str, n: int, seed: int, gaps: float) -> list[int | None]:
    chance = random.Random(seed)
    values: list[int | None] = []
    level = chance.randint(-100000, 100000)
    for _ in range(n):
        if shape == "walk":
            level += chance.randint(-5, 5)
        elif shape == "steps" and chance.random() < 0.05:
            level += chance.randint(-9, 9)
        value = {
            "noise": level + chance.randint(-900, 900),
            "spikes": level + (chance.random() < 0.05) * 2000000,
            "wild": chance.randint(VALUE_MIN, VALUE_MAX),
        }.get(shape, level)
        values.append(None if chance.random() < gaps else value)
    return values


@st.composite
def batches(draw: st.DrawFn) -> tuple[bytes, list[list[int | None]]]:
    n = draw(st.integers(1, 40))
    made = draw(st.integers(1, 4))
    columns = []
    for _ in range(made):
        if draw(st.booleans()):
            columns.append(draw(st.lists(st.one_of(st.none(), VALUE), min_size=n, max_size=n)))
        else:
            columns.append(column(draw(st.sampled_from(SHAPES)), n, draw(st.integers(0, 9999)), draw(st.sampled_from([0, 0.1]))))
    indexes = sorted(draw(st.sets(st.integers(0, n - 1), max_size=5)))
    offsets = [(index, draw(st.integers(-999999, 999999).filter(bool))) for index in indexes]
    raw = batch.encode(draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 2**32 - 1)), draw(st.binary(min_size=4, max_size=4)),
                       draw(st.integers(0, 2**53 - 1)), draw(st.integers(0, 2**53 - 1)), draw(st.integers(0, 3)),
                       draw(st.integers(1, 86400000)), columns, offsets)
    return raw, columns


def assert_same(raw: bytes) -> None:
    slow = batch.decode(raw)
    fast = decode(raw)
    assert (fast.boot, fast.seq, fast.schema_hash) == (slow["boot"], slow["seq"], slow["schema"])
    assert (fast.epoch_ms, fast.quality, fast.period_ms) == (slow["epoch_ms"], slow["quality"], slow["period_ms"])
    assert fast.uptime_ms.tolist() == slow["times"]
    rows = [[value if ok else None for value, ok in zip(row.tolist(), mask.tolist(), strict=True)]
            for row, mask in zip(fast.values, fast.valid, strict=True)]
    assert rows == slow["columns"]
    assert not fast.values[~fast.valid].any()


@given(batches())
def test_both_decoders_return_what_was_encoded(made: tuple[bytes, list[list[int | None]]]) -> None:
    raw, columns = made
    assert batch.decode(raw)["columns"] == columns
    assert_same(raw)


@settings(max_examples=300)
@given(batches(), st.integers(0, 10**6), st.integers(1, 255))
def test_damaged_columns_are_refused_by_both_or_by_neither(made: tuple[bytes, object], place: int, flip: int) -> None:
    body = bytearray(made[0][:-4])
    body[place % len(body)] ^= flip
    raw = bytes(body) + binascii.crc32(body).to_bytes(4, "little")   # as a sender with a wrong encoder would
    try:
        batch.decode(raw)
    except FormatError:
        with pytest.raises(FormatError):
            decode(raw)
    else:
        assert_same(raw)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_with_a_valid_crc_are_decoded_or_refused(body: bytes) -> None:
    for head in (b"", b"\x01\x01\x01abcd\x01\x00\x00\x00\x00\x00\x05\x02"):
        raw = head + body + binascii.crc32(head + body).to_bytes(4, "little")
        for decoder in (decode, batch.decode, batch.peek):
            with suppress(FormatError):   # any other exception fails the test
                decoder(raw)


@settings(max_examples=200)
@given(st.binary(max_size=3000))
def test_any_bytes_are_refused_with_a_format_error(raw: bytes) -> None:
    for decoder in (decode, batch.decode, batch.peek, batch.parse_schema_record, batch.record_name):
        with pytest.raises(FormatError):
            decoder(raw)


@given(batches())
def test_damage_on_the_way_is_caught_by_the_crc(made: tuple[bytes, object]) -> None:
    raw = bytearray(made[0])
    raw[len(raw) // 2] ^= 0x20
    with pytest.raises(FormatError, match=r"batch\.crc"):
        decode(bytes(raw))


@pytest.mark.parametrize("bits", ["0011" + "1111", "0011" + "0000"])   # CONSTANT with a bitmap that marks all, or nothing
def test_superfluous_bitmap_is_refused(bits: str) -> None:
    body = bytearray(batch.encode(1, 2, b"abcd", 0, 0, 0, 1000, [[5, 5, 5, None]], [])[:-4])
    body[-3:] = int(f"{bits}{4:06b}1010".ljust(24, "0"), 2).to_bytes(3, "big")
    raw = bytes(body) + binascii.crc32(body).to_bytes(4, "little")
    for decoder in (decode, batch.decode):
        with pytest.raises(FormatError, match=r"batch\.column"):
            decoder(raw)


def test_largest_shape_is_decoded_and_bounded() -> None:
    columns: list[list[int | None]] = [[7] * batch.MAX_SAMPLES for _ in range(batch.MAX_CHANNELS)]
    raw = batch.encode(1, 2, b"abcd", 0, 0, 0, 1000, columns, [])
    decoded = decode(raw)
    assert len(raw) < batch.MAX_RECORD_BYTES
    assert decoded.values.shape == (batch.MAX_CHANNELS, batch.MAX_SAMPLES)
    assert np.all(decoded.values == 7)
    assert decoded.valid.all()


@pytest.mark.slow
def test_decoding_is_fast_enough_for_the_ingest_target() -> None:
    columns = [column("walk", 60, seed, 0) for seed in range(4)]
    raw = batch.encode(1, 2, b"abcd", 0, 0, 0, 10000, columns, [])
    best = min(_seconds(raw) for _ in range(5))
    assert 240 * 50 / best > 250_000   # readings a second; about a million on an idle 2-core server, margin for a busy one


def _seconds(raw: bytes) -> float:
    start = time.perf_counter()
    for _ in range(50):
        decode(raw)
    return time.perf_counter() - start
