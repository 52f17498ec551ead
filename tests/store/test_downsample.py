"""A spike of one sample must survive any zoom."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from host.store import downsample
from host.store.downsample import Extremes


def test_short_series_is_given_whole_and_in_time_order():
    extremes = Extremes(0, 10, 10)
    extremes.add(np.array([5, 6]), np.array([1.0, 2.0]))
    extremes.add(np.array([1]), np.array([3.0]))
    assert extremes.result() == ([1, 5, 6], [3.0, 1.0, 2.0])


def test_nothing_added_is_an_empty_series():
    assert Extremes(0, 10, 10).result() == ([], [])


def test_constant_series_keeps_one_point_of_each_bucket():
    extremes = Extremes(0, 99, 20)
    extremes.add(np.arange(100), np.ones(100))
    times, values = extremes.result()
    assert (len(times), set(values)) == (20, {1.0})


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=400), st.integers(2, 50), st.integers(1, 60), st.integers(0, 2**32 - 1),
)
def test_extremes_of_every_bucket_are_kept(values, max_points, chunk, seed):
    """Whatever the pieces and their order: folding early gives what folding once would."""
    times = np.sort(np.random.default_rng(seed).integers(0, 10_000, len(values)))
    data = np.array(values, np.float64)
    extremes = Extremes(0, 9_999, max_points)
    folding, downsample.CHUNK_POINTS = downsample.CHUNK_POINTS, 16
    try:
        for start in range(0, len(values), chunk):
            extremes.add(times[start:start + chunk], data[start:start + chunk])
        kept_times, kept_values = extremes.result()
    finally:
        downsample.CHUNK_POINTS = folding
    assert len(kept_times) <= max(max_points, 2)
    assert kept_times == sorted(kept_times)
    assert set(zip(kept_times, kept_values, strict=True)) <= set(zip(times.tolist(), values, strict=True))
    buckets = max(1, max_points // 2)
    for bucket in range(buckets):
        inside = [value for time, value in zip(times, values, strict=True) if time * buckets // 10_000 == bucket]
        kept = [value for time, value in zip(kept_times, kept_values, strict=True) if time * buckets // 10_000 == bucket]
        assert not inside or (min(kept), max(kept)) == (min(inside), max(inside))
