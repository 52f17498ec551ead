"""Resuming devices get exactly the bytes they ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.server.ranges import UnsatisfiableError, parse


@pytest.mark.parametrize(("header", "expected"), [
    ("bytes=0-99", (0, 99)), ("bytes=100-", (100, 999)), ("bytes=-100", (900, 999)), ("bytes=0-5000", (0, 999)),
    ("bytes=999-", (999, 999)), ("bytes=-5000", (0, 999)), ("BYTES=1-2", (1, 2)),
    (None, None), ("", None), ("lines=0-9", None), ("bytes=0-1,5-6", None), ("bytes=9-1", None), ("bytes=-", None),
    ("bytes=a-b", None), ("bytes", None), ("bytes=1", None), ("bytes=--5", None), ("bytes=+1-2", None), ("bytes=²-3", None),
    ("bytes=" + "9" * 5000 + "-", None),
])
def test_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse(header, 1000) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0"])
def test_outside_of_the_object(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        parse(header, 1000)


@given(st.text(max_size=30), st.integers(1, 10_000))
def test_no_header_leads_outside(text: str, size: int) -> None:
    try:
        found = parse("bytes=" + text, size)
    except UnsatisfiableError:
        return
    assert found is None or 0 <= found[0] <= found[1] < size
