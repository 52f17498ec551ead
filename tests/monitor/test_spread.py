"""A rate from few events must not look surer than it is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.monitor.spread import quantile, rate


def test_a_quantile_is_a_value_that_was_measured():
    assert [quantile([5.0, 1.0, 3.0, 2.0], share) for share in (0.5, 0.95, 0.25)] == [2.0, 5.0, 1.0]
    assert quantile([], 0.5) is None


def test_nothing_watched_is_unknown():
    assert rate([]) is None
    assert rate([(0, 0.0)]) is None


@pytest.mark.parametrize(("count", "low", "high"), [   # exact 95 % limits of a Poisson mean (Garwood 1936), to two digits
    (0, 0.0, 3.69), (1, 0.03, 5.57), (5, 1.62, 11.67), (10, 4.80, 18.39), (100, 81.36, 121.63)])
def test_the_interval_of_one_device_is_poissons(count, low, high):
    found = rate([(count, 1.0)])
    assert found[0] == count
    assert found[1] == pytest.approx(low, abs=0.02)
    assert found[2] == pytest.approx(high, abs=0.05)


def test_drops_of_one_bad_device_do_not_pass_for_a_fleets():
    alike, one_bad = rate([(2, 1.0)] * 10), rate([(20, 1.0), *[(0, 1.0)] * 9])
    assert alike[0] == one_bad[0]
    assert one_bad[1] < alike[1]
    assert one_bad[2] > 2 * alike[2]


@given(st.lists(st.tuples(st.integers(0, 1000), st.just(0.0) | st.floats(0.001, 30)), max_size=20))
def test_the_rate_lies_in_its_interval(events):
    found = rate(events)
    if found is not None:
        assert 0 <= found[1] <= found[0] <= found[2]
        assert all(math.isfinite(each) for each in found)
