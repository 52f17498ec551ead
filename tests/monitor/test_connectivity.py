"""Releases are judged by these sums: an update must not look like a fault, nor silence like health."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.clock import DAY_MS
from host.monitor.connectivity import Event, Link, by_release
from host.monitor.presence import KINDS

A, B = "hall-0242ac110001", "hall-0242ac110002"


def rows(start, events, to_ms=DAY_MS):
    return {row.release: row for row in by_release(start, events, 0, to_ms)}


def test_quiet_day_online():
    row = rows({A: Link(True, "1.0.0")}, [])["1.0.0"]
    assert (row.devices, row.online, row.drops, row.online_share, row.drops_per_device_day) == (1, 1, 0, 1.0, 0.0)


def test_time_offline_lowers_the_share():
    events = [Event(A, DAY_MS // 4, "drop", "1.0.0"), Event(A, DAY_MS // 2, "connect", "1.0.0")]
    row = rows({A: Link(True, "1.0.0")}, events)["1.0.0"]
    assert (row.drops, row.connects, row.online_share, row.drops_per_device_day) == (1, 1, 0.75, 1.0)


def test_drop_for_an_update_is_not_held_against_the_old_release():
    events = [Event(A, 10, "drop", "1.0.0"), Event(A, 20, "update", "1.1.0"), Event(A, 20, "connect", "1.1.0")]
    found = rows({A: Link(True, "1.0.0")}, events)
    assert (found["1.0.0"].drops, found["1.0.0"].devices) == (0, 0)
    assert (found["1.1.0"].updates, found["1.1.0"].connects, found["1.1.0"].devices, found["1.1.0"].online) == (1, 1, 1, 1)


def test_earlier_drop_still_counts_when_an_update_follows_later():
    events = [
        Event(A, 10, "drop", "1.0.0"), Event(A, 11, "connect", "1.0.0"), Event(A, 20, "drop", "1.0.0"),
        Event(A, 30, "update", "1.1.0"), Event(A, 30, "connect", "1.1.0"),
    ]
    assert rows({A: Link(True, "1.0.0")}, events)["1.0.0"].drops == 1


def test_rollback_counts_as_a_drop_of_the_new_release():
    events = [Event(A, 10, "drop", "1.1.0"), Event(A, 20, "rollback", "1.0.0"), Event(A, 20, "connect", "1.0.0")]
    found = rows({A: Link(True, "1.1.0")}, events)
    assert (found["1.1.0"].drops, found["1.0.0"].rollbacks) == (1, 1)


def test_device_first_heard_within_the_window_is_watched_from_then():
    row = rows({}, [Event(A, DAY_MS // 2, "connect", "1.0.0")])["1.0.0"]
    assert (row.watched_days, row.online_share) == (0.5, 1.0)


def test_nothing_watched_is_unknown_and_not_zero():
    row = rows({}, [Event(A, DAY_MS, "connect", "1.0.0")])["1.0.0"]
    assert (row.online_share, row.drops_per_device_day) == (None, None)


def test_releases_are_kept_apart():
    found = rows({A: Link(True, "1.0.0"), B: Link(False, "1.1.0")}, [Event(A, 5, "drop", "1.0.0")])
    assert (found["1.0.0"].drops, found["1.1.0"].drops, found["1.1.0"].online_share) == (1, 0, 0.0)


@given(st.lists(st.tuples(
    st.sampled_from([A, B]), st.integers(0, DAY_MS), st.sampled_from(KINDS), st.sampled_from(["1.0.0", "1.1.0"]))))
def test_sums_stay_within_what_is_possible(history):
    events = [Event(*one) for one in sorted(history, key=lambda one: one[1])]
    found = rows({A: Link(True, "1.0.0")}, events)
    assert all(row.drops >= 0 and 0 <= row.online_days <= row.watched_days + 1e-9 for row in found.values())
    assert sum(row.watched_days for row in found.values()) <= 2 + 1e-9
    assert sum(row.devices for row in found.values()) == len({A} | {event.device for event in events})
    assert pytest.approx(sum(row.connects for row in found.values())) == sum(event.kind == "connect" for event in events)
