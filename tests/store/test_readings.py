"""Readings at full resolution: each once, in the order of time, in whatever pieces and pages they are read."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.store.channels import Channel
from host.store.readings import Cursor, CursorError, page, readings
from tests.ingest.records import DEVICE, OTHER
from tests.store.filled import FAST, NOW


def listed(parts, device=DEVICE):
    return [(device, int(t_ms), some.channels[which].name, some.channels[which].unit, int(step) * some.channels[which].resolution)
            for some in parts for t_ms, which, step in zip(some.t_ms, some.which, some.steps, strict=True)]


@pytest.mark.parametrize("at_once", [1, 7, 100, 1 << 16])
def test_no_reading_is_lost_doubled_or_out_of_order_however_few_are_held(filled, queries, at_once):
    found = listed(readings(queries, DEVICE, None, 0, 2 * NOW, at_once))
    assert [row[1:3] for row in found] == [row[1:3] for row in filled.of()]
    assert sorted(found) == filled.of()


def test_no_more_is_given_at_once_than_was_asked_for(filled, queries):
    filled.put(DEVICE, FAST, 3_600_000, [[1] * 1000, [2] * 1000, [3] * 1000], period_ms=50)
    parts = list(readings(queries, DEVICE, None, NOW + 3_600_000, 2 * NOW, 100))
    assert [len(some) for some in parts] == [99] * 30 + [30]   # 33 times of three channels each: none is torn


def test_what_cannot_be_overtaken_any_more_is_not_held(filled, queries):
    for at in range(3):   # further apart than the slack
        filled.put(DEVICE, FAST, 3_600_000 + 120_000 * at, [[1] * 100, [2] * 100, [3] * 100], period_ms=50)
    taken = []

    def counted(*given):
        for piece in type(queries).pieces(queries, *given):
            taken.append(piece)
            yield piece

    queries.pieces = counted
    first = next(readings(queries, DEVICE, None, NOW + 3_600_000, 2 * NOW, 300))
    assert (len(first), len(taken)) == (300, 4)


def test_window_and_channels_are_those_asked_for(filled, queries):
    found = listed(readings(queries, DEVICE, ["odd"], NOW + 5_250, NOW + 9_000))
    assert found == filled.of(names=["odd"], from_ms=NOW + 5_250, to_ms=NOW + 9_000)
    assert listed(readings(queries, OTHER, None, 0, 2 * NOW), OTHER) == filled.of(OTHER)
    assert listed(readings(queries, DEVICE, ["none"], 0, 2 * NOW)) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 17, 1000])
def test_pages_put_together_are_the_whole(filled, queries, limit):
    found, cursor = [], None
    for _ in range(1 + len(filled.rows) // limit + 1):
        parts, cursor = page(queries, DEVICE, None, 0, 2 * NOW, limit, cursor and Cursor.parse(str(cursor)))
        assert sum(len(part) for part in parts) <= limit
        found += listed(parts)
        if cursor is None:
            break
    assert cursor is None
    assert sorted(found) == filled.of()
    assert [row[1] for row in found] == sorted(row[1] for row in found)


def test_page_that_ends_exactly_at_the_end_has_no_next(filled, queries):
    parts, cursor = page(queries, DEVICE, None, 0, 2 * NOW, len(filled.of()))
    assert (sum(map(len, parts)), cursor) == (len(filled.of()), None)


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "1-2-3", "x-1", "1-x", "1" * 16 + "-1", "１-1"])
def test_cursor_of_nobody_is_refused(text):
    with pytest.raises(CursorError, match="expected the `next`"):
        Cursor.parse(text)


RESOLUTIONS = st.builds(lambda digits, places: format(Decimal(digits).scaleb(-places), "f"), st.integers(1, 999_999_999),
                        st.integers(0, 9))


@settings(max_examples=200, deadline=None)
@given(RESOLUTIONS, st.integers(-(2**31), 2**31 - 1))
def test_a_value_is_the_float_nearest_to_its_decimal(resolution, step):
    value = Channel("c", "", Decimal(resolution)).scale(np.array([step]))[0]
    assert value == float(step * Decimal(resolution))
