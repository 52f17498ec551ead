"""What the monitor tells a gate, and what the gate makes of it: from link events to its word, on values."""

import pytest

from host.clock import DAY_MS
from host.monitor.connectivity import Event, Link
from host.monitor.evidence import ROWS_MAX, Seen, link_evidence, word
from ota.rules import gate
from ota.rules.gate import Evidence, judge
from ota.rules.gate import Word as Outcome
from ota.rules.values import Counts, Exposure, Policy, Presence
from tests.monitor.fleets import A, B

OLD, NEW = "1.0.0", "1.1.0"
COUNTERS = {("hall", OLD): 1, ("hall", NEW): 2}


def seen(events, start=None):
    return link_evidence({A: Link(True, OLD)} if start is None else start, [Event(*each) for each in events], 0, DAY_MS)


def test_a_drop_counts_for_the_release_that_dropped_when_the_device_is_back():
    found = seen([(A, 0, "drop", OLD), (A, DAY_MS // 2, "connect", OLD)])
    assert found == {(A, OLD): Seen(43_200.0, 1)}


def test_an_update_is_no_drop_even_when_the_window_ends_between_the_two():
    first = seen([(A, DAY_MS - 1, "drop", OLD)])
    second = seen([(A, 5, "update", NEW), (A, 5, "connect", NEW)], start={A: Link(False, OLD)})
    assert (first[A, OLD].drops, sum(each.drops for each in second.values())) == (0, 0)


def test_a_drop_that_ends_in_the_next_window_is_counted_there_once():
    first = seen([(A, DAY_MS - 1, "drop", OLD)])
    second = seen([(A, 5, "connect", OLD)], start={A: Link(False, OLD)})
    assert (first[A, OLD].drops, second[A, OLD].drops) == (0, 1)


def test_a_roll_back_is_held_against_the_release_that_was_tried():
    found = seen([(A, 10, "drop", NEW), (A, 20, "rollback", OLD), (A, 20, "connect", OLD)], start={A: Link(True, NEW)})
    assert (found[A, NEW].drops, found[A, OLD].drops) == (1, 0)


def test_what_belongs_to_no_group_is_left_out_and_said():
    found = word({(A, OLD): Seen(10.0, 1), (B, OLD): Seen(10.0, 9), (A, "9.9.9"): Seen(5.0, 9)}, {A: ("hall", 3)}, COUNTERS)
    assert found.rows == ({"model": "hall", "counter": 1, "cohort": 3, "online_s": 10, "drops": 1},)
    assert found.left_out == 2


def test_more_groups_than_are_taken_are_left_out_from_the_small_end():
    many = {(f"d{number}", OLD): Seen(float(number), 0) for number in range(ROWS_MAX + 5)}
    found = word(many, {device: ("hall", number + 1) for number, (device, _) in enumerate(many)}, COUNTERS)
    assert (len(found.rows), found.left_out, found.rows[0]["online_s"]) == (ROWS_MAX, 5, ROWS_MAX + 4)


# The gate. Ten devices have soaked on the release, a hundred others run the old one; all that devices say of themselves is well.

POLICY = Policy(stages=(10, 100), soak_s=(3600, 3600), spread=0.0, min_confirm_pct=50)
WELL = {"drops": 0, "app_crashes": 0, "resets": 0, "tx_bytes": 1000, "rx_bytes": 10}


def judged(here, there, *, watched=True):
    """The gate's word by a monitor's sums: (online_s, drops) of the release, and of the rest; None: it told nothing."""
    def exposure(devices, told):
        events = {name: devices * value for name, value in WELL.items()}
        if told is not None:
            events |= {gate.LINK_ONLINE_S: told[0], gate.LINK_DROPS: told[1]}
        return Exposure(devices * 3600.0, events)

    return judge(POLICY, Evidence(
        Counts(confirmed=10, soaked=10), 10, 3600, Presence(10, 10, 100, 100, 0, 110), exposure(10, here), exposure(100, there),
        watched=watched))


def test_gate_passes_when_the_monitor_saw_as_few_drops_as_on_the_rest():
    assert judged((36_000, 2), (360_000, 20)).word is Outcome.PASS


def test_gate_holds_on_drops_that_devices_did_not_count_themselves():
    found = judged((36_000, 12), (360_000, 20))
    assert (found.word, found.reason.split(":")[0]) == (Outcome.UNKNOWN, "links")


@pytest.mark.parametrize(("here", "there"), [
    (None, (360_000, 20)), (None, None), ((36_000, 0), None), ((10_000, 0), (360_000, 20))])
def test_a_silent_monitor_never_passes(here, there):
    found = judged(here, there)
    assert (found.word, found.reason.split(":")[0]) == (Outcome.UNKNOWN, "links")


def test_two_drops_are_an_anecdote():
    assert judged((36_000, 2), (360_000, 0)).word is Outcome.PASS


def test_without_a_monitor_there_is_no_such_check():
    found = judged(None, None, watched=False)
    assert (found.word, "links" in {check.name for check in found.checks}) == (Outcome.PASS, False)


def test_from_events_to_the_gates_word():
    """Ten devices on the new release drop every hour and say nothing of it; the others drop once a day."""
    events, start = [], {}
    for number in range(110):
        device, release = f"hall-{number:012x}", NEW if number < 10 else OLD
        start[device] = Link(True, release)
        for hour in range(0, 24, 1 if release == NEW else 24):
            at_ms = hour * 3_600_000 + number
            events += [Event(device, at_ms, "drop", release), Event(device, at_ms + 1000, "connect", release)]
    events.sort(key=lambda event: event.at_ms)
    told = word(link_evidence(start, events, 0, DAY_MS), dict.fromkeys(start, ("hall", 1)), COUNTERS)
    sums = {row["counter"]: (row["online_s"], row["drops"]) for row in told.rows}
    found = judged(sums[2], sums[1])
    assert (found.word, found.reason) == (
        Outcome.UNKNOWN, "links: 240 in 863760 device-seconds, the rest had 100 in 8639900: more than 2 times as often")
