"""The host's decoder against the device's: same arrays, same refusals, for any input."""

import json
import random
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.ingest.decode import decode
from node.errors import FormatError
from node.wire import batch
from node.wire.columns import VALUE_MAX, VALUE_MIN
from tests.fuzz.decoders import both, fast, repaired, seeds, slow

TraceFunction = Callable[[FrameType, str, Any], Any]
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


@given(batches())
def test_both_decoders_return_what_was_encoded(made: tuple[bytes, list[list[int | None]]]) -> None:
    raw, columns = made
    found = both(raw)
    assert isinstance(found, dict)
    assert found["columns"] == columns


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid batch changed behind its sender's back, with a checksum that fits: as a wrong encoder would send it."""
    body = bytearray(draw(batches())[0][:-4])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body) - 1))
        how = draw(st.sampled_from(("flip", "byte", "cut", "add", "end")))
        if how == "flip":
            body[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "byte":
            body[at] = draw(st.integers(0, 255))
        elif how == "cut" and len(body) > 9:
            del body[at:at + 1 + draw(st.integers(0, 3))]
        elif how == "add":
            body[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif how == "end":   # many ones, many zeros: codes without an end, and counts of them
            body[at:] = draw(st.sampled_from((b"\xff", b"\0", b"\xaa"))) * draw(st.integers(1, 200))
    return repaired(bytes(body) or b"\1")


@settings(max_examples=600)
@given(damaged())
def test_damaged_batch_is_read_differently_by_the_two_decoders(raw: bytes) -> None:
    both(raw)


def code_of(bits: str) -> tuple[object, object]:
    """What the two say to one column of 40 samples in these bits."""
    head = batch.encode(1, 2, b"abcd", 0, 0, 0, 1000, [[5] * 40], [])[:-4]   # ends in the column: 3 bits of coding, 6 and 3 of base
    raw = repaired(head[:-2] + int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big"))
    return slow(raw), fast(raw)


LEVEL_0, RUNS_0 = "011" + "000000", "100" + "000000"


@pytest.mark.parametrize(("bits", "code"), [
    (LEVEL_0 + "0000" + "0" * 30, "bits.short"),
    (LEVEL_0 + "0000" + "0" * 30 + "1" * 33, "bits.unary"),   # too long before it is cut off
    (LEVEL_0 + "0000" + "1" * 25 + "0" * 30, "bits.unary"),
    (LEVEL_0 + "0000" + "1" * 24 + "0" * 40, "bits.short"),   # an excess that is not there
    (LEVEL_0 + "1111" + "0" * 41, "bits.short"),
    (RUNS_0 + "101000", "batch.column"),   # 40 steps in 39 places
    (RUNS_0 + "000010" + "0000" + "1" * 20 + "0" + "1" * 20 + "0" + "0000" + "00", "batch.column"),   # runs of 20 and 20
    ("110" + "000000" + "001" + "000" * 33, "batch.column"),   # no complete code
    ("110" + "000000" + "001" + "001" + "0" * 30, "bits.short"),
    ("111" + "00001" + "10" + "000", "batch.column"),   # multiples of 1
    ("101" + "000000" + "100010", "batch.column"),   # 34 bits a value
    ("001" + "100010" + "0" * 34, "batch.column"),
    ("001" + "100001" + "1" * 33, "batch.range"),
])
def test_refusal_has_another_code_on_the_host(bits: str, code: str) -> None:
    assert code_of(bits) == (code, code)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_with_a_valid_crc_are_decoded_or_refused(body: bytes) -> None:
    for head in (b"", b"\x01\x01\x01abcd\x01\x00\x00\x00\x00\x00\x05\x02"):
        both(repaired(head + body))
        with suppress(FormatError):   # any other exception fails the test
            batch.peek(repaired(head + body))


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
    body[-3:] = int(f"{bits}{4:06b}010".ljust(24, "0"), 2).to_bytes(3, "big")
    assert both(repaired(bytes(body))) == "batch.column"


def test_largest_shape_is_decoded_and_bounded() -> None:
    columns: list[list[int | None]] = [[7] * batch.MAX_SAMPLES for _ in range(batch.MAX_CHANNELS)]
    raw = batch.encode(1, 2, b"abcd", 0, 0, 0, 1000, columns, [])
    decoded = decode(raw)
    assert len(raw) < batch.MAX_RECORD_BYTES
    assert decoded.values.shape == (batch.MAX_CHANNELS, batch.MAX_SAMPLES)
    assert np.all(decoded.values == 7)
    assert decoded.valid.all()


OURS = {"node", "ingest"}
DECODERS = {"fast": decode, "slow": batch.decode}
READINGS = batch.MAX_CHANNELS * batch.MAX_SAMPLES
# Bytes a reading of the largest shape: the host's arrays take 9, a Python list's places and integers 40.
PEAK_BYTES = {"fast": 12, "slow": 64}


def heavy() -> list[bytes]:
    """Small records that ask for as much as a header can: 64 columns of 4096 samples, in what is cheapest in bits."""
    n = batch.MAX_SAMPLES
    still: list[list[int | None]] = [[7] * n for _ in range(batch.MAX_CHANNELS)]
    raw = batch.encode(1, 2, b"abcd", 0, 0, 0, 1000, still, [])
    rare = [[1000 + (i > 4000) * 300_000 * column for i in range(n)] for column in range(batch.MAX_CHANNELS)]
    none: list[list[int | None]] = [[None] * n for _ in range(batch.MAX_CHANNELS)]
    cut = repaired(raw[:-8])
    return [raw, batch.encode(1, 2, b"abcd", 0, 0, 0, 1000, rare, []), batch.encode(1, 2, b"abcd", 0, 0, 0, 1000, none, []), cut,
            repaired(raw[:30] + b"\xaa" * 2000), repaired(raw[:30] + b"\0" * 2000), repaired(raw[:30] + b"\xff" * 2000)]


@pytest.mark.parametrize("name", DECODERS)
def test_record_of_two_kilobytes_fills_the_memory(name: str) -> None:
    for raw in heavy():
        tracemalloc.start()
        try:
            with suppress(FormatError):
                DECODERS[name](raw)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= PEAK_BYTES[name] * READINGS, (len(raw), peak / READINGS)


def steps(decoder: Callable[[bytes], object], raw: bytes) -> int:
    """Lines of our code that a decoder runs through: a measure of time that no other process changes."""
    count = 0

    def trace(frame: FrameType, event: str, _arg: object) -> TraceFunction | None:
        nonlocal count
        if not OURS & set(Path(frame.f_code.co_filename).parts):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(FormatError):
            decoder(raw)
    finally:
        sys.settrace(before)
    return count


def told(raw: bytes) -> tuple[int, int]:
    """How many readings and columns a header asks for; none when it is refused."""
    try:
        samples, made = batch.read_header(raw)[7]
    except FormatError:
        return 0, 0
    return samples * made, made


@pytest.mark.parametrize("raw", [*seeds(), *heavy()[3:]], ids=lambda raw: f"{len(raw)}-{raw[-4:].hex()}")
def test_decoding_takes_more_than_linear_time(raw: bytes) -> None:
    readings, made = told(raw)
    for name, decoder in DECODERS.items():
        a_reading, a_column = (2, 400) if name == "fast" else (60, 400)
        assert steps(decoder, raw) <= a_reading * readings + a_column * made + 40 * len(raw) + 600, name


@settings(max_examples=50)
@given(damaged())
def test_decoding_of_damage_takes_more_than_linear_time(raw: bytes) -> None:
    test_decoding_takes_more_than_linear_time(raw)


def test_a_batch_costs_the_ingest_more_than_json_does() -> None:
    columns = [column("walk", 60, seed, 0) for seed in range(4)]
    raw = batch.encode(1, 2, b"abcd", 0, 0, 0, 10000, columns, [])
    texts = [json.dumps({"channel": f"c{number}", "time_ms": 10000 * row, "value": value})
             for number, values in enumerate(columns) for row, value in enumerate(values)]
    # 0.5 times as much, busy
    assert _cpu_s(lambda: decode(raw)) < 2 * _cpu_s(lambda: [json.loads(text) for text in texts])


def _cpu_s(call: Callable[[], object]) -> float:
    """The least of five turns: of this process alone, whatever else the machine does."""
    def turn() -> float:
        start = time.process_time()
        for _ in range(20):
            call()
        return time.process_time() - start
    return min(turn() for _ in range(5))
