"""A day column gives back what was put into it, or says that it is damaged."""

import lzma
from binascii import crc32
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.store.packing import MAX_COUNT, PackingError, pack, unpack
from host.store.streams import ENDED, StreamError, smallest, whole

SIGNALS = {
    "empty": [], "one": [5], "two": [5, -7], "constant": [3] * 1000,
    "times": list(range(1_700_000_000_000, 1_700_008_640_000, 10_000)),
    "wide": [-(1 << 31), (1 << 31) - 1] * 40, "converter": [17 * n % 4096 * 25 for n in range(5000)],
    "wide_times": [0, 1 << 59, -(1 << 59), 3],
}


@pytest.mark.parametrize("values", SIGNALS.values(), ids=SIGNALS)
def test_signals_come_back(values):
    column = np.array(values, np.int64)
    assert unpack(pack(column)).tolist() == values


@given(st.lists(st.integers(-(1 << 59), 1 << 59), max_size=60))
def test_whatever_is_packed_comes_back(values):
    assert unpack(pack(np.array(values, np.int64))).tolist() == values


def test_a_regular_grid_costs_next_to_nothing():
    assert len(pack(np.array(SIGNALS["times"], np.int64))) < 24


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_bit_is_found(at, mask):
    raw = bytearray(pack(np.cumsum(np.random.default_rng(1).integers(-9, 9, 300))))
    raw[at % len(raw)] ^= mask
    with pytest.raises(PackingError):
        unpack(bytes(raw))


@given(st.binary(max_size=40))
def test_garbage_with_a_right_checksum_is_refused_or_read_in_bounds(body):
    """A damaged head must not ask for endless memory."""
    with suppress(PackingError):
        assert len(unpack(body + crc32(body).to_bytes(4, "little"))) <= MAX_COUNT


def test_more_than_a_day_can_hold_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        pack(np.array([1 << 60]))


def test_a_channel_that_moves_now_and_then_pays_less_than_a_number_to_a_byte():
    """So LZMA does not see whether the channel moved just before."""
    chance = np.random.default_rng(2)
    busy = np.repeat(chance.random(432) < 0.3, 20)
    steps = np.where(busy & (chance.random(8640) < 0.5), chance.choice((-1, 1), 8640), 0)
    plane = (steps << 1 ^ steps >> 63).astype(np.uint8).tobytes()
    assert len(pack(np.cumsum(steps))) < 0.9 * len(smallest(plane)[1])


@pytest.mark.parametrize("values", [list(range(0, 3000, 3)), [0, 1] * 500, [0] * 999 + [1 << 40], [3] * 15 + [-3] * 15])
def test_a_stream_that_was_cut_comes_back(values):
    assert unpack(pack(np.array(values, np.int64))).tolist() == values


def test_streams_with_an_end_marker_are_read():
    """As they were written before: in the columns of a release before this one."""
    raw = bytes(np.random.default_rng(4).integers(0, 5, 500, np.uint8))
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 0, "dict_size": 1 << 16, "preset": 6}]
    assert whole(ENDED, lzma.compress(raw, lzma.FORMAT_RAW, filters=filters), 500) == raw


@given(st.integers(0, 9), st.binary(max_size=60), st.integers(0, 5000))
def test_a_stream_of_garbage_is_refused_or_has_the_length_that_was_told(form, data, size):
    with suppress(StreamError):
        assert len(whole(form, data, size)) == size
