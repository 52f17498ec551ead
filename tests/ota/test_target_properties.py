"""Filters, precedence, stages and windows over the rules alone: whatever operators and devices do, each device has one release."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ota.rules.bucket import bucket as bucket_of
from ota.rules.bucket import capacity, limit
from ota.rules.rollout import OFFERING, Kind, claims, miss, rank
from ota.rules.values import (
    ACTIVE,
    OPEN,
    Attempt,
    AttemptState,
    Filter,
    Labels,
    Policy,
    Release,
    Report,
    Rollout,
    RolloutState,
    Tags,
)
from ota.rules.windows import is_open
from ota.server.settle import Known, may_offer, offered, rollouts_for, settle

RELEASES = tuple(Release(f"{counter:064x}", f"1.{counter}.0", counter, ("hall",), 0, counter - 1) for counter in (2, 3, 4))
STEP_S = 7_321   # some two hours, so that devices meet windows open and closed
names = st.lists(st.sampled_from("ab"), unique=True, max_size=1).map(tuple)
filters = st.builds(Filter, st.just(()), names, st.builds(Tags, names, names),
                    st.none() | st.integers(1, 3).map(lambda low: (low, 3)))
policies = st.builds(
    Policy, stages=st.sampled_from([(10, 50, 100), (50, 100), (100,)]), soak_s=st.just((0, 0, 0)), filter=filters,
    lease_s=st.just(1e9), windows=st.sampled_from([(), ("mon-sun 00:00-06:00",), ("sat,sun 12:00-24:00", "wed 20:00-03:00")]),
    not_after=st.sampled_from([0, 0, 1_800_050_000]))
labels = st.builds(Labels, st.sampled_from(["", "a", "b"]), st.lists(st.sampled_from("ab"), unique=True).map(sorted).map(tuple),
                   st.sampled_from(["UTC", "Asia/Kathmandu"]))
states = st.sampled_from([RolloutState.RUNNING] * 5 + [RolloutState.PAUSED, RolloutState.HALTED, RolloutState.DONE])
plans_of_some = st.lists(st.tuples(policies, st.integers(0, 2)), min_size=2, max_size=5)   # with the release's place


class Fleet:
    """Devices and rollouts as values, moved as the desk and the tick move their rows."""

    def __init__(self, said: list[Labels], plans: list[tuple[Policy, int]]) -> None:
        self.now_s = 1_800_000_000.0
        self.labels = {f"hall-{index:012x}": each for index, each in enumerate(said)}
        self.runs = dict.fromkeys(self.labels, (1, False))   # counter, on trial
        self.attempts: dict[str, dict[str, Attempt]] = {device: {} for device in self.labels}
        self.rollouts = [
            Rollout(f"r{index}", RELEASES[which], policy, RolloutState.RUNNING, added_s=index)
            for index, (policy, which) in enumerate(plans)]

    def known(self, device: str) -> Known:
        return Known(tuple(self.rollouts), self.attempts[device], {}, RELEASES, self.labels[device])

    def report(self, device: str) -> Report:
        counter, trial = self.runs[device]
        return Report(device, "hall", f"1.{counter}.0", counter, "", trial)

    def belongs(self, rollout: Rollout, device: str) -> bool:
        counter, said = self.runs[device][0], self.labels[device]
        return counter < rollout.release.counter and not miss(rollout, "hall", counter, said) and not any(
            claims(each, "hall", counter, said, releases=RELEASES, now_s=self.now_s)
            for each in self.rollouts if rank(each) < rank(rollout))

    def measure(self) -> None:
        """What a tick writes into each rollout: how many devices are its own, and the stage's share of them."""
        for index, each in enumerate(self.rollouts):
            mine = [device for device in self.labels if each.ident in self.attempts[device] or self.belongs(each, device)]
            on_it = sum(self.runs[device][0] == each.release.counter for device in mine if each.ident in self.attempts[device])
            population = sum(self.belongs(each, device) for device in self.labels) + on_it
            pct = each.policy.stages[each.stage]
            self.rollouts[index] = replace(
                each, population=population, capacity=capacity(pct, population),
                limit=max(each.limit, limit(pct, population, [bucket_of(each.ident, device) for device in mine])))

    def check_in(self, device: str) -> None:
        report, known = self.report(device), self.known(device)
        found = settle(report, known, self.now_s)
        before = dict(self.attempts[device])
        for rollout, attempt in found.changed:
            self.attempts[device][rollout.ident] = attempt
        decision = found.decision
        if decision.kind is not Kind.OFFER:
            return
        rollout = found.rollout
        assert rollout is not None
        self.check(device, rollout, {ident: each for ident, each in before.items() if each.state in OPEN}, found)
        attempt, _ = offered(found, report, self.now_s)
        if decision.takes_place:
            index = self.rollouts.index(rollout)
            self.rollouts[index] = replace(rollout, offered=rollout.offered + 1)
        self.attempts[device][rollout.ident] = attempt

    def check(self, device: str, rollout: Rollout, open_before: dict[str, Attempt], found) -> None:
        """What must hold for every offer."""
        states_of = {each.ident: each.state for each in self.rollouts}
        begun = [ident for ident in open_before if states_of[ident] in OFFERING
                 and found.decision.manifest is not None and self.attempts[device][ident].state in OPEN]
        assert rollout.state in OFFERING
        assert sum(each.decision.kind is Kind.OFFER for each in found.considered if each.rollout.state in ACTIVE) <= 1
        assert rollout.ident == next(each.rollout.ident for each in found.considered if each.decision.kind is Kind.OFFER)
        if begun:
            assert rollout.ident in begun   # what was begun is finished first
            return
        assert is_open(rollout.policy.windows, self.labels[device].zone, self.now_s)
        assert not 0 < rollout.policy.not_after <= self.now_s
        if rollout.ident not in open_before and rollout.ident not in self.attempts[device]:
            assert not miss(rollout, "hall", self.runs[device][0], self.labels[device])
            assert rollout.offered < rollout.capacity
        if rollout.state in ACTIVE:
            assert not any(claims(each, "hall", self.runs[device][0], self.labels[device], releases=RELEASES, now_s=self.now_s)
                           for each in self.rollouts if rank(each) < rank(rollout))
        snapshot = replace(self.known(device), rollouts=rollouts_for("hall", self.rollouts))
        assert may_offer(self.report(device), snapshot, frozenset(self.attempts[device]), self.now_s)   # or nobody would look

    def live(self, device: str) -> None:
        """Install what was offered and confirm it."""
        counter, trial = self.runs[device]
        due = [each for each in self.attempts[device].values() if each.state in OPEN and each.counter > counter]
        if trial:
            self.runs[device] = (counter, False)
        elif due:
            self.runs[device] = (due[-1].counter, True)


@settings(max_examples=150)
@given(said=st.lists(labels, min_size=2, max_size=12), plans=plans_of_some,
       moves=st.lists(st.tuples(st.integers(0, 99), states, labels), min_size=4, max_size=12))
def test_one_release_at_a_time_within_every_stage_and_window(said, plans, moves) -> None:
    fleet = Fleet(said, plans)
    devices = sorted(fleet.labels)
    for number, state, label in moves:
        fleet.measure()
        for device in devices:
            fleet.check_in(device)
            if number % 3:
                fleet.live(device)
        for each in fleet.rollouts:
            assert each.offered == sum(each.ident in tried for tried in fleet.attempts.values())
            assert each.offered <= max(1, len(devices) * each.policy.stages[each.stage] // 100)
        fleet.labels[devices[number % len(devices)]] = label
        index = number % len(plans)
        moved = fleet.rollouts[index]
        later = min(moved.stage + (number % 5 == 0), len(moved.policy.stages) - 1)
        fleet.rollouts[index] = replace(moved, state=state, stage=later)
        fleet.now_s += STEP_S


@settings(max_examples=150)
@given(said=st.lists(labels, min_size=1, max_size=8), plans=plans_of_some)
def test_rollouts_under_way_share_the_fleet_out(said, plans) -> None:
    fleet = Fleet(said, plans)
    for device in fleet.labels:
        served = [each for each in fleet.rollouts if fleet.belongs(each, device)
                  and claims(each, "hall", 1, fleet.labels[device], releases=RELEASES, now_s=fleet.now_s)]
        assert len(served) <= 1


def test_device_that_began_two_while_one_was_halted_is_told_of_both():
    """The direction is to one, so `explain` must not say that the other goes on as well."""
    fleet = Fleet([Labels()], [(Policy(stages=(100,), soak_s=(0,)), 0)] * 2)
    for index, state in ((1, RolloutState.HALTED), (1, RolloutState.RUNNING)):
        fleet.measure()
        fleet.check_in("hall-000000000000")
        fleet.rollouts[index] = replace(fleet.rollouts[index], state=state)
    assert [each.state for each in fleet.attempts["hall-000000000000"].values()] == [AttemptState.OFFERED] * 2
    found = settle(fleet.report("hall-000000000000"), fleet.known("hall-000000000000"), fleet.now_s)
    assert [(each.rollout.ident, each.decision.kind) for each in found.considered] == [("r1", Kind.OFFER), ("r0", Kind.HOLD)]
