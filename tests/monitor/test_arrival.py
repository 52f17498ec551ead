"""A batch is late by when its last sample was taken: long batches are not late, kept ones are."""

from host.monitor.arrival import LATE_MS, is_late


def test_a_long_batch_sent_at_once_is_not_late():
    assert not is_late(0, 24 * 3_600_000, 24 * 3_600_000 + 1000)


def test_a_batch_that_was_kept_is_late_from_the_limit_on():
    assert not is_late(1000, 500, 1500 + LATE_MS)
    assert is_late(1000, 500, 1501 + LATE_MS)


def test_a_batch_whose_time_nobody_knows_is_not_called_late():
    assert not is_late(None, 0, 10**13)
