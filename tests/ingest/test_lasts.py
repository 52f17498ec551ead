"""The last values of many batches are those of one decoded after the other, whatever lies between them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from host.ingest.decode import decode
from host.ingest.lasts import lasts
from node.errors import FormatError
from node.wire import batch
from tests.fuzz.decoders import repaired, seeds
from tests.ingest.test_decode import SHAPES, batches, column


def plain(raw):
    """What is to come out, by the decoder for one batch; None when it refuses."""
    try:
        decoded = decode(raw)
    except FormatError:
        return None
    places = [int(np.flatnonzero(valid)[-1]) if valid.any() else -1 for valid in decoded.valid]
    return [(place, int(values[place]), int(decoded.uptime_ms[place])) if place >= 0 else None
            for place, values in zip(places, decoded.values, strict=True)]


def told(one):
    return [(place, value, one.uptime_ms(place)) if place >= 0 else None for place, value in zip(one.place, one.value, strict=True)]


@given(st.lists(batches(), min_size=1, max_size=6))
def test_last_values_are_those_of_the_decoder(made):
    raws = [raw for raw, _ in made]
    for raw, one in zip(raws, lasts(raws), strict=True):
        if one is not None:   # the others have a column in classes
            assert told(one) == plain(raw)
            assert one.samples == len(decode(raw).uptime_ms)


def test_usual_signals_are_not_left_to_the_slow_decoder():
    raws = []
    for seed in range(200):
        columns = [column(shape, 60, seed, gaps) for shape in SHAPES for gaps in (0, 0.1)]
        raws.append(batch.encode(1, seed, b"abcd", 0, 0, 0, 1000, columns[seed % 9 : seed % 9 + 3], []))
    found = list(lasts(raws))
    assert [told(one) for one in found if one is not None] == [
        plain(raw) for raw, one in zip(raws, found, strict=True) if one is not None]
    assert sum(one is not None for one in found) > 120


HARM = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)


@given(HARM, st.sampled_from(seeds()), st.sampled_from(seeds()))
def test_a_harmed_batch_neither_fails_nor_harms_the_one_beside_it(harm, seed, other):
    raw = bytearray(seed)
    for at, byte in harm:
        raw[at % len(raw)] = byte
    harmed = repaired(bytes(raw[:-4]))
    first, second = lasts([harmed, other])
    if second is not None:
        assert told(second) == plain(other)
    if first is not None and plain(harmed) is not None:
        assert told(first) == plain(harmed)


def test_none_is_nothing():
    assert list(lasts([])) == []
    assert list(lasts([b"", b"abc"])) == [None, None]
