"""Promise 1 against the power supply: the ring is cut at every flash operation, in every way, and again while it recovers.

A failure names its case, for example `mixed:37:garbage:2:half`; `tenfold bench powercut --replay` runs it again.
"""

import pytest

from host.bench import powercut
from host.bench.powercut import WORKLOADS
from node import scan
from node.ring import Ring


def failures(names):
    outcomes = powercut.run_all(names)
    assert None not in outcomes   # each was cut
    return [outcome for outcome in outcomes if outcome.faults]


def test_no_committed_record_is_lost_or_torn_by_a_power_cut():
    cases = [case for case in powercut.cases(exhaustive=False) if case.count(":") == 2]
    assert len(cases) > 300
    assert failures(cases) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_no_committed_record_is_lost_or_torn_by_a_cut_at_every_operation(name):
    cases = [case for case in powercut.cases(exhaustive=True) if case.count(":") == 2 and case.startswith(name)]
    assert len(cases) == 5 * powercut.operations(name)
    assert failures(cases) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_no_committed_record_is_lost_or_torn_when_the_power_fails_again_during_recovery(name):
    cases = [case for case in powercut.cases(exhaustive=False) if case.count(":") == 4 and case.startswith(name)]
    assert len(cases) == 5 * 7 * 5 * len(range(1, powercut.operations(name) + 1, 30))
    assert failures(cases) == []


@pytest.mark.parametrize(("workload", "fault", "break_it"), [
    ("offline", powercut.LOST, lambda patch: patch.setattr("node.scan.scan", forgets)),
    ("offline", powercut.TORN, lambda patch: patch.setattr("node.sectors.Sectors._record", unchecked)),
    ("offline", powercut.MOUNT, lambda patch: patch.setattr("node.scan.scan", fails)),
    ("newest", powercut.LOST, lambda patch: patch.setattr("node.ring.NEWEST", 9)),
    ("thin", powercut.LOST, lambda patch: patch.setattr(Ring, "_refuse", counts_twice)),
    ("wide", powercut.PROGRAM, lambda patch: patch.setattr("node.scan.scan", goes_on)),
])
def test_bench_that_cannot_fail(monkeypatch, workload, fault, break_it):
    """A ring that loses, one that takes torn records for whole, one that does not mount and one that miscounts are found out."""
    cases = [case for case in powercut.cases(exhaustive=False) if case.startswith(workload) and case.count(":") == 2]
    break_it(monkeypatch)
    found = {one for outcome in powercut.run_all(cases) for one in outcome.faults}
    assert fault in found


@pytest.mark.parametrize("case", [
    "", "offline", "offline:1", "offline:0:half", "offline:1:most", "other:1:half", "offline:1:half:1:half:1:half",
])
def test_case_that_is_none_is_told(case):
    with pytest.raises(ValueError, match="expected workload:cut:tear"):
        powercut.run(case)


def test_case_beyond_the_workload_is_no_success():
    assert powercut.run("large:9999:half") is None


def test_cases_that_are_run_together_end_otherwise_than_alone(monkeypatch):
    """A ring that takes torn records for whole, so that some of them have faults."""
    monkeypatch.setattr("node.sectors.Sectors._record", unchecked)
    cases = [case for case in powercut.cases(exhaustive=False) if case.startswith("offline:31:")]
    cases += ["large:9999:half", "wide:3:done"]
    together = powercut.run_all(cases)
    assert together == [powercut.run(case) for case in cases]
    assert {outcome is not None and bool(outcome.faults) for outcome in together} == {True, False}


REAL, REFUSE = scan.scan, Ring._refuse
UNACKED, CLOSED = 6, 8   # what scan() gives at these places


def counts_twice(ring, weight):
    return REFUSE(ring, weight) or REFUSE(ring, weight)


def forgets(log, io):
    found = list(REAL(log, io))
    found[UNACKED] = found[0]
    return found


def goes_on(log, io):
    found = list(REAL(log, io))
    found[CLOSED] = log.head.number < 0   # an empty ring has no sector to go on in
    return found


def fails(log, io):
    found = REAL(log, io)
    if found[0] > 3:
        raise ValueError
    return found


def unchecked(sectors, head, at):
    """As Sectors._record, without the checksum."""
    from node.wire import sector  # noqa: PLC0415
    raw = sectors._read(head.number % sectors.count, at, sector.RECORD_HEAD_BYTES)
    kind, boot, seq, weight, length, _ = sector.parse_record_head(raw, head)
    if kind not in (sector.DATA, sector.ACK) or not 0 < length <= sector.MAX_DATA_BYTES or at + 12 + length > 4096:
        return None
    return at, kind, boot, seq, weight, length
