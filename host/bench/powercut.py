"""The ring against its power supply: cut at flash operations, in every way a chip may be left, and again while it recovers.

A case is named `workload:cut:tear[:second cut:tear]`, for example `mixed:37:garbage:2:half`; the name replays it. The cut is during
the operation of that number, counted from the start of the workload, or, for the second, from the mount that follows. After
each cut the ring is mounted and compared with all that it had promised. Decides nothing about real chips: host/sim/flash.py does.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from host.sim.flash import TEARS, NorFlash, PowerCut
from node.ring import NEWEST, OLDEST, THIN, Ring

SECTORS = 4   # the ring wraps several times in a workload
MORE_APPENDS = 12   # between the first cut and the second
LAST_APPENDS = 25   # after the last: the device goes on as if nothing had happened
SECOND_CUTS = (1, 2, 3, 4, 5, 7, 11)   # operations of the recovery and of what follows it
LOST, TORN, MOUNT, COUNT, PROGRAM = "committed_lost", "torn_accepted", "mount_failures", "miscounted", "programmed_twice"
FAULTS = (LOST, TORN, MOUNT, COUNT, PROGRAM)


@dataclass(frozen=True)
class Workload:
    """What the device does between two power cuts.

    Attributes:
        sizes: least and most bytes a record.
        ack_share: how much of what waits is acknowledged, after every fifth append.
        boots: orderly restarts in between.
        overflow: what the ring does when it is full.
        unit: smallest program unit of the flash, bytes.
    """

    name: str
    appends: int
    sizes: tuple[int, int]
    ack_share: float
    boots: int = 1
    overflow: int = OLDEST
    unit: int = 4


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("offline", 60, (150, 420), 0.0),   # the server is away: the ring wraps and drops
        Workload("online", 60, (20, 300), 1.0),   # everything is acknowledged soon
        Workload("mixed", 70, (1, 600), 0.4, 3),
        Workload("large", 14, (1500, 2048), 0.3),
        Workload("newest", 70, (1, 600), 0.06, 3, overflow=NEWEST),   # refuses often, and takes some again
        Workload("thin", 100, (1, 600), 0.1, 3, overflow=THIN),   # leaves out many, and overwrites all the same
        Workload("wide", 50, (1, 600), 0.4, 3, unit=32),
    )
}


@dataclass
class _Told:
    """What the ring has promised so far; kept outside the device, so no cut touches it."""

    data: dict[int, bytes] = field(default_factory=dict)   # records whose append returned
    trying: tuple[int, bytes] | None = None   # the append in progress
    boot: int = 0
    acked: int = -1   # highest seq that the server has acknowledged
    first_unacked: int = 0
    dropped: int = 0
    dropped_weight: int = 0
    unsaved: tuple[int, int] = (0, 0)   # of these, records refused since a sector was opened, and their weight: a cut forgets them

    def weight(self, seqs: Iterable[int]) -> int:
        """A record weighs its length here."""
        return sum(len(self.data[seq]) for seq in seqs)

    def see(self, ring: Ring) -> None:
        """Take note of what the ring counts now."""
        self.first_unacked, self.dropped, self.dropped_weight = ring.first_unacked(), ring.dropped, ring.dropped_weight


@dataclass(frozen=True)
class Outcome:
    """One case: its name and the kinds of fault that it showed, none when all is well."""

    case: str
    faults: tuple[str, ...]


@dataclass
class _Device:
    """A device between two power cuts, and the faults it has shown."""

    workload: Workload
    flash: NorFlash
    told: _Told = field(default_factory=_Told)
    faults: set[str] = field(default_factory=set)

    def copy(self) -> "_Device":
        flash = NorFlash(SECTORS, self.flash.image[:], self.flash.unit)
        flash.violations = self.flash.violations
        return _Device(self.workload, flash, replace(self.told, data=self.told.data.copy()), self.faults.copy())

    def cut(self, number: int, op: int, tear: str) -> bool:
        """Work until the cut, switch on again, and compare; gives whether the work lasted until then."""
        self.flash.cut_power_at(op, tear)
        try:
            _work(self.flash, self.workload, self.told, number, MORE_APPENDS if number else self.workload.appends)
            lasted = False
        except PowerCut:
            lasted = True
        self.flash = self.flash.power_on()
        self.faults |= _check(self.flash, self.workload, self.told)
        return lasted

    def go_on(self) -> None:
        """Work without a cut, and compare once more."""
        _work(self.flash, self.workload, self.told, 99, LAST_APPENDS)
        self.told.trying = None
        self.faults = _check(self.flash.power_on(), self.workload, self.told)


def run(case: str) -> Outcome | None:
    """Run one case.

    Returns:
        None when the workload ends before its first cut: there is nothing more to cut.

    Raises:
        ValueError: no such case.
    """
    return run_all([case])[0]


def run_all(cases: Sequence[str]) -> list[Outcome | None]:
    """Run cases, as `run` does. Neighbours with the same first cut go on from one device: it is the longest part of each."""
    outcomes: list[Outcome | None] = []
    for (workload, first), group in groupby(map(_parsed, cases), lambda one: one[1:3]):
        device = _Device(workload, NorFlash(SECTORS, unit=workload.unit))
        lasted = device.cut(0, *first)
        outcomes += (_after(device, case, second) if lasted else None for case, _, _, second in group)
    return outcomes


def _parsed(case: str) -> tuple[str, Workload, tuple[int, str], list[tuple[int, str]]]:
    workload, (first, *second) = parse(case)
    return case, workload, first, second


def _after(first: _Device, case: str, second: list[tuple[int, str]]) -> Outcome:
    """What comes after a case's first cut."""
    device = first.copy()
    for op, tear in second:
        device.cut(1, op, tear)
    if not device.faults:
        device.go_on()
    return Outcome(case, tuple(fault for fault in FAULTS if fault in device.faults))


def parse(case: str) -> tuple[Workload, list[tuple[int, str]]]:
    """Return the workload and the cuts of a case's name.

    Raises:
        ValueError: no such case; the message tells what was expected.
    """
    name, *words = case.split(":")
    pairs = list(zip(words[::2], words[1::2], strict=False))
    if name not in WORKLOADS or not words or len(words) % 2 or len(pairs) > 2 or any(
            not op.isdecimal() or int(op) < 1 or tear not in TEARS for op, tear in pairs):
        raise ValueError(f"got {case!r}, expected workload:cut:tear[:cut:tear] of {', '.join(WORKLOADS)} and {', '.join(TEARS)}")
    return WORKLOADS[name], [(int(op), tear) for op, tear in pairs]


def operations(name: str) -> int:
    """How many operations a workload takes when nothing is cut."""
    flash = NorFlash(SECTORS, unit=WORKLOADS[name].unit)
    _work(flash, WORKLOADS[name], _Told(), 0, WORKLOADS[name].appends)
    return flash.ops


def cases(exhaustive: bool) -> Iterator[str]:
    """Names of the cases of a tier: every operation in every way, and each cut again; or every third and every thirtieth."""
    for name in WORKLOADS:
        for op in range(1, operations(name) + 1):
            for tear in TEARS:
                if exhaustive or op % 3 == 1:
                    yield f"{name}:{op}:{tear}"
                if exhaustive or op % 30 == 1:
                    yield from (f"{name}:{op}:{tear}:{second}:{again}" for second in SECOND_CUTS for again in TEARS)


def _start(flash: NorFlash, workload: Workload) -> Ring:
    ring = Ring(flash, workload.unit, workload.overflow)
    ring.mount()
    return ring


def _work(flash: NorFlash, workload: Workload, told: _Told, seed: int, appends: int) -> None:
    """Append and acknowledge until done or cut."""
    chance = random.Random(seed)   # noqa: S311  repeatable
    ring = _start(flash, workload)
    told.boot += 1
    told.unsaved = (0, 0)
    for i in range(appends):
        seq, erases = ring.next_seq, flash.erases
        data = chance.randbytes(chance.randint(*workload.sizes))
        told.trying = (seq, data)
        told.see(ring)
        if ring.append(told.boot, seq, data, len(data)):
            told.data[seq] = data
        else:
            told.unsaved = told.unsaved[0] + 1, told.unsaved[1] + len(data)
        if flash.erases > erases:
            told.unsaved = (0, 0)
        told.trying = None
        told.see(ring)
        if i % 5 == 4 and workload.ack_share:
            waiting = [(boot, kept) for boot, kept, _ in ring.records(ring.first_unacked())]
            boot, upto = waiting[int((len(waiting) - 1) * workload.ack_share)]
            told.acked = max(told.acked, upto)
            ring.ack(boot, upto)
        if workload.boots > 1 and i % (appends // workload.boots + 1) == 0:
            ring.close()
            ring = _start(flash, workload)
            told.boot += 1
            told.unsaved = (0, 0)


def _check(flash: NorFlash, workload: Workload, told: _Told) -> set[str]:
    """Mount after a cut and compare with everything that was promised."""
    try:
        ring = _start(flash, workload)
    except Exception:   # whatever it is, the device would not come up
        return {MOUNT}
    faults = set()
    if told.trying is not None and ring.next_seq == told.trying[0] + 1:   # finished in the moment of the cut: allowed, whole
        told.data[told.trying[0]] = told.trying[1]
    told.trying = None
    lost, weight = ring.dropped - told.dropped, ring.dropped_weight - told.dropped_weight   # overwritten by a full ring
    if lost < 0:   # no sector was opened that says what was refused
        lost, weight = lost + told.unsaved[0], weight + told.unsaved[1]
    first = told.first_unacked + lost if lost else max(told.first_unacked, told.acked + 1)
    kept = list(ring.records(ring.first_unacked()))
    if ring.next_seq != len(told.data) or lost < 0 or ring.first_unacked() > first or \
            (workload.overflow == NEWEST and ring.first_unacked() > told.acked + 1) or \
            [seq for _, seq, _ in kept] != list(range(ring.first_unacked(), ring.next_seq)):
        faults.add(LOST)
    if any(told.data.get(seq) != data for _, seq, data in kept):
        faults.add(TORN)
    if not faults:
        gone = range(told.first_unacked, told.first_unacked + lost)
        if ring.tally != told.weight(told.data) or weight != told.weight(gone):
            faults.add(COUNT)
    if flash.violations:
        faults.add(PROGRAM)
    told.see(ring)
    return faults
