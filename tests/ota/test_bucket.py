"""Stages are what they say they are, in small fleets and in large ones."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.rules.bucket import BUCKETS, EXACT_BELOW, UNBOUNDED, bucket, capacity, limit

PERCENT = st.floats(0.01, 99.99)


def test_bucket_is_the_documented_hash() -> None:
    digest = hashlib.sha256(b"r1hall-0242ac110001").digest()
    assert bucket("r1", "hall-0242ac110001") == int.from_bytes(digest[:4], "big") % 10_000


def test_another_rollout_shuffles_the_devices() -> None:
    devices = [f"hall-{index:012x}" for index in range(200)]
    assert [bucket("r1", each) for each in devices] != [bucket("r2", each) for each in devices]


@pytest.mark.parametrize(("pct", "population", "expected"), [
    (1, 24, 1), (5, 24, 1), (10, 24, 2), (50, 24, 12), (1, 1_000_000, 10_000), (1, 0, 1), (29, 100, 29)])
def test_capacity_is_the_share_rounded_down_and_at_least_the_canary(pct: float, population: int, expected: int) -> None:
    assert capacity(pct, population) == expected


def test_the_last_stage_takes_those_who_join_later() -> None:
    assert capacity(100, 24) == UNBOUNDED
    assert limit(100, 24, []) == BUCKETS


@given(PERCENT, st.lists(st.integers(0, BUCKETS - 1), min_size=1, max_size=300, unique=True))
def test_a_small_fleets_stage_holds_exactly_its_capacity(pct: float, buckets: list[int]) -> None:
    inside = [each for each in buckets if each < limit(pct, len(buckets), buckets)]
    assert len(inside) == min(capacity(pct, len(buckets)), len(buckets))


@given(PERCENT, PERCENT, st.lists(st.integers(0, BUCKETS - 1), min_size=1, max_size=100))
def test_later_stages_contain_earlier_ones(first: float, second: float, buckets: list[int]) -> None:
    low, high = sorted((first, second))
    assert limit(low, len(buckets), buckets) <= limit(high, len(buckets), buckets)


def test_a_large_fleet_is_not_scanned() -> None:
    def no_scan() -> list[int]:
        raise AssertionError("buckets were read")

    assert limit(5, EXACT_BELOW, (each for each in [1] if no_scan())) == 500
