"""Every state and every signal has one answer, and no reconnect is counted twice or not at all."""

import pytest

from host.monitor.presence import KINDS, TABLE, Hello, Presence, Signal, State, hear_gone, hear_on

V1, V2 = Hello(1, "1.0.0", 1), Hello(2, "1.1.0", 2)


def kinds(events):
    return [event.kind for event in events]


def after(*hellos):
    known = Presence()
    for at_ms, hello in enumerate(hellos):
        known, _ = hear_gone(known, at_ms) if hello is None else hear_on(known, hello, at_ms)
    return known


def test_table_answers_every_case():
    assert set(TABLE) == {(state, signal) for state in State for signal in Signal}
    assert {kind for _, events in TABLE.values() for kind in events} == set(KINDS)


def test_nobody_becomes_unknown_again():
    assert State.UNKNOWN not in {state for state, _ in TABLE.values()}


@pytest.mark.parametrize(("before", "hello", "expected"), [
    ([], V1, ["connect"]),
    ([V1, None], V1, ["connect"]),
    ([V1], Hello(1, "1.0.0", 1, "uplink.closed"), ["drop", "connect"]),   # no will: the broker let the new session take over
    ([V1, None], Hello(2, "1.0.0", 1), ["reboot", "connect"]),
    ([V1], Hello(2, "1.0.0", 1), ["drop", "reboot", "connect"]),
    ([V1, None], V2, ["update", "connect"]),
    ([V2, None], V1, ["rollback", "connect"]),
])
def test_connecting(before, hello, expected):
    known, events = hear_on(after(*before), hello, 9)
    assert kinds(events) == expected
    assert (known.state, known.since_ms, known.boot) == (State.ONLINE, 9, hello.boot)


def test_state_told_again_within_a_session_is_no_drop():
    """A device whose acks stand still tells its oldest record anew: an ingest that was away must not count that as a drop."""
    known, events = hear_on(after(V1), V1, 9)
    assert (events, known.since_ms, known.heard_ms) == ((), 0, 9)


def test_will_is_one_drop_however_often_it_is_delivered():
    known, events = hear_gone(after(V1), 5)
    assert kinds(events) == ["drop"]
    known, events = hear_gone(known, 6)
    assert (kinds(events), known.since_ms, known.state) == ([], 5, State.OFFLINE)


def test_drop_is_counted_for_the_release_that_was_running():
    _, events = hear_on(after(V1), V2, 9)
    assert [(event.kind, event.release) for event in events] == [("drop", "1.0.0"), ("update", "1.1.0"), ("connect", "1.1.0")]


def test_retained_copy_is_no_news():
    known = after(V1)
    assert hear_on(known, V1, 9, copy=True) == (known, ())


def test_retained_copy_of_what_was_missed_is_news():
    assert kinds(hear_on(after(V1, None), V1, 9, copy=True)[1]) == ["connect"]
    assert kinds(hear_on(after(V1), V2, 9, copy=True)[1]) == ["drop", "update", "connect"]


def test_will_of_a_device_never_heard_is_no_drop():
    known, events = hear_gone(Presence(), 5)
    assert (known.state, events) == (State.OFFLINE, ())
