"""A body gives back the samples that were put into it, channel by channel; a damaged one says so; rows of before are read."""

import sqlite3
import zlib
from binascii import crc32
from contextlib import closing, suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.store.check import check
from host.store.classes import Classes
from host.store.compact import compact
from host.store.days import ALL_VALID, BITMAP, BODY, Samples, read_body, write_body
from host.store.packing import MAX_COUNT, PackingError, pack
from host.store.parts import Part, parts_of
from tests.store.days_of import NOW, fill, history
from tests.store.test_compact import answers

VALUE = st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-2, 2) | st.none()


@st.composite
def tracks(draw):
    n, made = draw(st.integers(1, 90)), draw(st.integers(1, 4))
    columns = [draw(st.lists(VALUE, min_size=n, max_size=n)) for _ in range(made)]
    times = np.cumsum(draw(st.lists(st.integers(0, 1 << 40), min_size=n, max_size=n)))
    quality = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    valid = np.array([[value is not None for value in column] for column in columns])
    values = np.array([[value or 0 for value in column] for column in columns], np.int64)
    return Samples(times.astype(np.int64), np.array(quality, np.int64), values, valid)


@given(tracks(), st.data())
def test_a_track_comes_back_and_so_does_each_channel_alone(samples, data):
    ids = data.draw(st.lists(st.integers(0, 1 << 31), min_size=len(samples.values), max_size=len(samples.values), unique=True))
    raw = write_body(samples, {one: at for at, one in enumerate(ids)})
    wanted = data.draw(st.none() | st.sets(st.sampled_from(ids)))
    times, quality, found = read_body(raw, wanted)
    assert np.array_equal(times, samples.times)
    assert np.array_equal(quality, samples.quality)
    assert found.keys() == (set(ids) if wanted is None else wanted)
    for one, (values, valid) in found.items():
        assert np.array_equal(values, samples.values[ids.index(one)])
        assert np.array_equal(valid, samples.valid[ids.index(one)])


def walk():
    chance = np.random.default_rng(3)
    valid = chance.random((3, 400)) > 0.1
    values = np.where(valid, np.cumsum(chance.integers(-3, 4, (3, 400)), axis=1), 0)
    return Samples(np.arange(400) * 1000, np.full(400, 3), values, valid)


@given(st.integers(0, 100_000), st.integers(1, 255))
def test_a_flipped_bit_is_found_or_changes_nothing(at, mask):
    """The channel's own first byte has no checksum: it says how the rest is read, and the rest does not fit another way."""
    samples = walk()
    raw = bytearray(write_body(samples, {5: 0, 9: 1, 11: 2}))
    raw[at % len(raw)] ^= mask
    if raw[:4] == BODY:
        with pytest.raises(PackingError):
            read_body(bytes(raw), None)


@given(st.binary(max_size=80))
def test_garbage_behind_a_right_head_is_refused_or_read_in_bounds(body):
    with suppress(PackingError):
        assert len(read_body(BODY + body + crc32(BODY + body).to_bytes(4, "little"), None)[0]) <= MAX_COUNT


def row_of(valid, values):
    """A channel as it was written before bodies."""
    if valid.all():
        return bytes((ALL_VALID,)) + pack(values)
    bitmap = zlib.compress(np.packbits(valid).tobytes(), 9)
    return bytes((BITMAP,)) + len(bitmap).to_bytes(4, "little") + bitmap + pack(values[valid])


def test_rows_of_before_are_read_checked_and_joined(engine):
    """A row for each channel and one for the times: a database of the release before this one."""
    messages = history(days=3)
    fill(engine, *messages[:40])
    before = answers(engine)
    compact(engine, NOW, Classes())
    path = parts_of(engine).path(Part("2026-02", "all"))
    with closing(sqlite3.connect(path)) as file, file:
        for number, series, *key, body in file.execute("SELECT rowid, * FROM day_column").fetchall():
            times, quality, channels = read_body(body, None)
            packed = pack(times)
            told = [(series, len(packed).to_bytes(4, "little") + packed + pack(quality))]
            told += [(one, row_of(valid, values)) for one, (values, valid) in channels.items()]
            file.execute("DELETE FROM day_column WHERE rowid = ?", (number,))
            file.executemany("INSERT INTO day_column VALUES (?, ?, ?, ?, ?)", [(one, *key, old) for one, old in told])
    assert answers(engine) == before
    assert check(engine) == []
    fill(engine, *messages[40:])
    late = answers(engine)
    assert compact(engine, NOW, Classes()).batches > 0
    assert answers(engine) == late
