"""A rollout over a simulated fleet, through the server's own rules: who is exposed before a bad release halts, how long it takes.

The rules are the server's (`ota.rules`: bucket, decide, observe, is_overdue, gather, judge, step, shed); the rows, the clock and
the devices are not. A device is simulated from its first check-in in a stage on, event by event; before that it is one of a
number. Check-ins that change nothing are drawn, second by second, as a Poisson number: phases are even over a period, and moved
each time. A device that is put off is told when to come by `shed.Admission`, as a period, and looks for its own place in that.

Not modelled: networks that fail for many at once, devices that fall back after they have confirmed, releases that make devices drop
connections or crash without falling back (the comparisons run, on good devices), and a population that changes within a stage.

Deterministic: a seed gives the same rollout everywhere with the same numpy.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ota.rules import bucket, shed
from ota.rules.attempts import is_overdue, observe
from ota.rules.gate import Evidence, gather, judge
from ota.rules.rollout import Event, Kind, decide, move, needed, step
from ota.rules.values import (
    Attempt,
    AttemptState,
    Counts,
    Exposure,
    Failures,
    Gathered,
    Policy,
    Presence,
    Release,
    Report,
    Rollout,
    RolloutState,
)
from ota.server.settings import OtaSettings
from ota.server.survey import LOOK_S, QUIET

DAY_S = 86_400
TICK_S = 300           # between looks; a server looks more often, and at each failure at once, as is done here too
MODEL = "hall"
OLD = Release("a" * 64, "1.0.0", 1, (MODEL,), 0, 0)
NEW = Release("b" * 64, "1.1.0", 2, (MODEL,), 0, 1)

# The fleet: assumptions, not measurements.
BAD_LINK_SHARE = 0.10      # lose check-ins, load slowly, drop connections twenty times as often
SLEEPER_SHARE = 0.10       # wake every 1 to 5 hours
STORED_SHARE = 0.005       # switched off at first; come back within two months, at a random time
STORED_DAYS = 60
DEATHS_A_YEAR = 0.03       # of the devices fall silent for good
MISSED = 0.3               # of a bad link's check-ins
TRANSIENT = 0.0005         # of first tries fall back although nothing is wrong with the release: a power cut in the trial
LOAD_S = (20.0, 300.0)     # a download, from and to
BAD_LOAD_S = (600.0, 10_800.0)
BOOT_S = 20.0
CRASH_S = 600.0            # from the installation until a device that crashes has fallen back and tells so
RATES = {"app_crashes": 0.01, "resets": 0.02}   # events a device and day
DROPS = (1.0, 20.0)        # connections dropped a device and day: others, bad links
BYTES = 40_000             # sent and received a device and day


class Kinds(IntEnum):
    """What a device is like."""

    ALWAYS_ON = 0
    BAD_LINK = 1
    SLEEPER = 2
    STORED = 3


# What happens next with a device. Plain names: members of an Enum cost more than all else in the loop over three million events.
ASKS = 0       # it checks in, and may be offered the release
BOOTS = 1      # its first check-in on the release, in trial
CONFIRMS = 2
TELLS = 3      # it checks in after it has fallen back
DIES = 4
LOST = 5       # its lease has ended
OFFERED, TRIAL, CONFIRMED = AttemptState.OFFERED, AttemptState.TRIAL, AttemptState.CONFIRMED


class Stage(TypedDict):
    """One stage. `curve`: confirmed devices at each look, from the stage's opening."""

    pct: float
    opened_day: float
    closed_day: float | None
    offered: int
    confirmed: int
    failed: int
    lost: int
    curve: list[int]


class Outcome(TypedDict):
    """How a rollout ended.

    `exposed_pct`: devices that were offered the release, of all. `halted_at_stage`: percentage of the stage, or None.
    `false_alarm`: halted although nothing was wrong with the release. `held_at_stage`: of one before the last in which it still
    stood in the end. `peak_checkins_per_s`, `peak_downloads_per_s`: in the fullest second; downloads count when they begin.
    """

    devices: int
    days: float
    seed: int
    defect_pct: float
    state: str
    reason: str
    exposed_pct: float
    confirmed_pct: float
    halted_at_stage: float | None
    held_at_stage: float | None
    false_alarm: bool
    days_to_halt: float | None
    days_to_done: float | None
    failed: int
    lost: int
    peak_checkins_per_s: int
    peak_downloads_per_s: int
    period_s: int
    stages: list[Stage]


@dataclass(frozen=True)
class Scenario:
    """What is simulated: `defect_pct` of the devices crash on the release, each time."""

    devices: int
    days: float
    seed: int
    defect_pct: float = 0.0
    policy: Policy = field(default_factory=Policy)


class Fleet:
    """The devices, as columns.

    Args:
        ident: of the rollout; fixes the buckets. period_s: between the check-ins of all but sleepers.
    """

    def __init__(self, scenario: Scenario, ident: str, period_s: int) -> None:
        self.chance = chance = np.random.default_rng(scenario.seed)
        count = scenario.devices
        self.names = [f"{MODEL}-{number:012x}" for number in range(count)]
        self.buckets = np.fromiter((bucket.bucket(ident, name) for name in self.names), np.int32, count)
        kinds = chance.random(count)
        edges = np.cumsum([1 - BAD_LINK_SHARE - SLEEPER_SHARE - STORED_SHARE, BAD_LINK_SHARE, SLEEPER_SHARE])
        self.kinds = np.searchsorted(edges, kinds).astype(np.int8)
        self.gap_s = np.full(count, float(period_s))
        self.gap_s[self.kinds == Kinds.SLEEPER] = chance.uniform(3_600, 5 * 3_600, int((self.kinds == Kinds.SLEEPER).sum()))
        self.phase = chance.random(count)
        self.wakes_s = np.where(self.kinds == Kinds.STORED, chance.random(count) * STORED_DAYS * DAY_S, 0.0)
        self.dies_s = chance.exponential(365 * DAY_S / DEATHS_A_YEAR, count)
        self.defective = set(np.flatnonzero(chance.random(count) < scenario.defect_pct / 100).tolist())
        self.unlucky = set(np.flatnonzero(chance.random(count) < TRANSIENT).tolist())
        low, high = (np.where(self.kinds == Kinds.BAD_LINK, bad, good) for good, bad in zip(LOAD_S, BAD_LOAD_S, strict=True))
        self.load_s = (low + chance.random(count) * (high - low)).tolist()
        # What single events read stands in lists and sets: an element of an array takes several times as long.
        self.phases, self.death_s = self.phase.tolist(), self.dies_s.tolist()
        self.bad_links = set(np.flatnonzero(self.kinds == Kinds.BAD_LINK).tolist())
        self.dying = np.flatnonzero(self.dies_s < scenario.days * DAY_S)

    def next_checkin_s(self, who: NDArray[np.int64], now_s: float) -> NDArray[np.float64]:
        """When devices check in next and are heard."""
        gap_s = self.gap_s[who]
        from_s = np.maximum(now_s, self.wakes_s[who])
        missed = np.where(self.kinds[who] == Kinds.BAD_LINK, self.chance.geometric(1 - MISSED, len(who)) - 1, 0)
        found: NDArray[np.float64] = from_s + (self.phase[who] * gap_s - from_s) % gap_s + missed * gap_s
        return found


class Simulation:
    """The server's side of a rollout, kept in memory, and the events of the devices that it touches."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._end_s = scenario, scenario.days * DAY_S
        pace = {name: OtaSettings.model_fields[name].default for name in ("period_s", "checkins_per_s", "offers_per_s")}
        self._period_s = shed.period(pace["period_s"], round(scenario.devices * (1 - STORED_SHARE)), pace["checkins_per_s"])
        offers = pace["offers_per_s"]
        self._admission = shed.Admission(shed.Tokens(offers, max(1.0, offers), max(1.0, offers), 0.0), 0.0)
        self._rollout = Rollout(f"r{scenario.seed:012x}", NEW, scenario.policy)
        self._fleet = Fleet(scenario, self._rollout.ident, self._period_s)
        self._attempts: dict[int, Attempt] = {}       # all but those that have confirmed
        self._failures: dict[int, Failures] = {}
        self._confirmed_s = np.full(scenario.devices, np.inf)
        self._is_touched = bytearray(scenario.devices)
        self._touched = np.frombuffer(self._is_touched, bool)   # the same bytes
        self._number = dict.fromkeys(AttemptState, 0)
        self._dead = 0                                # of those that were never touched
        self._bad_links, self._all_bad_links = 0, len(self._fleet.bad_links)   # that run the release; in all
        self._does = (self._asks, self._boots, self._confirms, self._tells, self._dies, self._lose)
        self._tick = 0
        self._now: list[tuple[float, int, int]] = []                       # events of this tick (at_s, what, who), a heap
        self._later: defaultdict[int, list[tuple[float, int, int]]] = defaultdict(list)   # by tick
        for who in self._fleet.dying.tolist():
            self._after(self._fleet.death_s[who], DIES, who)
        self._offered = 0                             # as the row of a rollout: ahead of self._rollout, which is read at each look
        self._extra_s: list[float] = []               # check-ins beside a device's own clock
        self._downloads_s: list[float] = []
        self._stage, self._rest = Exposure(), Exposure()
        self._opened = self._gathered = Gathered(0.0, self._stage, self._rest)
        self._stages: list[Stage] = []
        self._population = int((self._fleet.wakes_s == 0).sum())
        self._ended_s: float | None = None

    def run(self, tell: Callable[[float], None]) -> Outcome:
        """Until the rollout is done, halted, or the days are over.

        Args:
            tell: called with the days that have passed.
        """
        self._rollout = replace(self._rollout, state=move(self._rollout.state, Event.START))
        self._open(0, 0.0)
        while self._tick * TICK_S < self._end_s and self._ended_s is None:
            self._now += self._later.pop(self._tick, [])
            heapq.heapify(self._now)
            while self._now and self._ended_s is None:
                at_s, what, who = heapq.heappop(self._now)
                if at_s < self._fleet.death_s[who] or what >= DIES:
                    self._does[what](at_s, who)
            self._tick += 1
            if self._ended_s is None:
                self._pass_time(TICK_S)
                self._look(self._tick * TICK_S)
                tell(self._tick * TICK_S / DAY_S)
        return self._outcome()

    def _asks(self, now_s: float, who: int) -> None:
        """A check-in that an offer can come of. Whoever was offered it already is under way."""
        rollout, attempt = self._rollout, self._attempts.get(who)
        if attempt is None:
            if self._is_touched[who] or self._offered >= rollout.capacity:
                return
            self._admission, wait_s = self._admission.admit(now_s)
            if wait_s:   # told as a period: the device looks for its own place in it
                told_s = shed.retry_after(wait_s, 0.0)
                again_s = now_s + (self._fleet.phases[who] * told_s - now_s) % told_s + 1
                self._extra_s.append(again_s)
                self._after(again_s, ASKS, who)
                return
        elif attempt.state is not AttemptState.FAILED:
            return
        report = Report(self._fleet.names[who], MODEL, OLD.release, OLD.counter, OLD.manifest, trial=False)
        past = {NEW.manifest: self._failures[who]} if who in self._failures else {}
        decision = decide(report, rollout, attempt, failures=past, releases=(OLD, NEW), now_s=now_s)
        if decision.kind is not Kind.OFFER or decision.manifest is None:
            return
        if decision.takes_place:
            self._offered += 1
        self._put(who, Attempt(report.device, decision.manifest, decision.counter, OFFERED, rollout.stage, now_s,
                               now_s + rollout.policy.lease_s))
        self._downloads_s.append(now_s)
        installed_s = now_s + self._fleet.load_s[who] + BOOT_S
        if who in self._fleet.defective or (who in self._fleet.unlucky and who not in self._failures):
            self._after(installed_s + CRASH_S, TELLS, who)
        else:
            self._after(installed_s, BOOTS, who)

    def _boots(self, now_s: float, who: int) -> None:
        self._settle(who, self._report(who, trial=True), now_s)
        self._after(now_s + self._period_s * self._fleet.phases[who], CONFIRMS, who)
        self._extra_s.append(now_s)

    def _confirms(self, now_s: float, who: int) -> None:
        self._settle(who, self._report(who, trial=False), now_s)

    def _tells(self, now_s: float, who: int) -> None:
        """A device is back on its old release. It is counted, and the gate is asked, before anything else happens."""
        self._failures[who] = Failures(self._failures.get(who, Failures()).count + 1, now_s)
        report = Report(self._fleet.names[who], MODEL, OLD.release, OLD.counter, OLD.manifest, False, NEW.manifest, "crash")
        self._settle(who, report, now_s)
        self._extra_s.append(now_s)
        self._after(now_s + self._rollout.policy.retry_s + self._period_s, ASKS, who)
        self._look(now_s)

    def _dies(self, now_s: float, who: int) -> None:
        attempt = self._attempts.get(who)
        if not self._is_touched[who]:
            self._dead += self._fleet.wakes_s[who] <= now_s
        else:
            until_s = now_s + self._rollout.policy.lease_s if attempt is None else attempt.lease_until_s
            self._after(max(now_s, until_s) + 1, LOST, who)

    def _lose(self, now_s: float, who: int) -> None:
        attempt = self._attempts.get(who) or Attempt(
            self._fleet.names[who], NEW.manifest, NEW.counter, CONFIRMED, 0, 0.0, 0.0, float(self._confirmed_s[who]))
        if is_overdue(attempt, self._fleet.death_s[who], self._rollout, now_s):
            self._put(who, replace(attempt, state=AttemptState.LOST, settled_s=now_s, confirmed_s=0.0))

    def _settle(self, who: int, report: Report, now_s: float) -> None:
        self._put(who, observe(self._attempts[who], report, self._rollout, now_s))

    def _put(self, who: int, attempt: Attempt) -> None:
        """Keep an attempt, and the numbers by state."""
        before, state = self._attempts.pop(who, None), attempt.state
        was = before.state if before is not None else CONFIRMED if self._is_touched[who] else None
        if was is not None:
            self._number[was] -= 1
        self._number[state] += 1
        if who in self._fleet.bad_links:
            self._bad_links += (state is TRIAL or state is CONFIRMED) - (was is TRIAL or was is CONFIRMED)
        self._is_touched[who] = 1
        if state is CONFIRMED:
            self._confirmed_s[who] = attempt.confirmed_s
        else:
            self._attempts[who] = attempt
            if was is CONFIRMED:
                self._confirmed_s[who] = np.inf

    def _report(self, who: int, *, trial: bool) -> Report:
        return Report(self._fleet.names[who], MODEL, NEW.release, NEW.counter, NEW.manifest, trial)

    def _after(self, at_s: float, what: int, who: int) -> None:
        tick = int(at_s // TICK_S)
        if tick <= self._tick:
            heapq.heappush(self._now, (at_s, what, who))
        else:
            self._later[tick].append((at_s, what, who))

    def _open(self, stage: int, now_s: float) -> None:
        """Open a stage, as `ota.server.control` does, and find out when its devices check in."""
        fleet, pct = self._fleet, self._rollout.policy.stages[stage]
        self._population = int(((fleet.wakes_s <= now_s) & (fleet.dies_s > now_s - self._rollout.policy.active_s)).sum())
        few = self._population < bucket.EXACT_BELOW
        ranked = fleet.buckets[fleet.wakes_s <= now_s].tolist() if few else []
        self._rollout = replace(
            self._rollout, stage=stage, stage_since_s=now_s, population=self._population, offered=self._offered,
            capacity=bucket.capacity(pct, self._population),
            limit=max(self._rollout.limit, bucket.limit(pct, self._population, ranked)))
        self._opened = self._gathered = Gathered(now_s, self._stage, self._rest)
        self._stages.append(Stage(pct=pct, opened_day=round(now_s / DAY_S, 3), closed_day=None, offered=0, confirmed=0, failed=0,
                                  lost=0, curve=[]))
        who = np.flatnonzero((fleet.buckets < self._rollout.limit) & ~self._touched & (fleet.dies_s > now_s))
        at_s = fleet.next_checkin_s(who, now_s)
        soon = at_s < self._end_s
        for first_s, each in zip(at_s[soon].tolist(), who[soon].tolist(), strict=True):
            self._after(first_s, ASKS, each)

    def _pass_time(self, seconds: float) -> None:
        """What the devices that are on count in a while; nobody's report is late here."""
        here = self._number[TRIAL] + self._number[CONFIRMED]
        self._stage = self._counted(self._stage, here, self._bad_links, seconds)
        self._rest = self._counted(self._rest, self._population - here - self._dead, self._all_bad_links - self._bad_links, seconds)

    def _counted(self, before: Exposure, devices: int, bad_links: int, seconds: float) -> Exposure:
        devices, bad_links, days = max(0, devices), max(0, bad_links), seconds / DAY_S
        means = {name: rate * devices * days for name, rate in RATES.items()}
        means["drops"] = (DROPS[0] * max(0, devices - bad_links) + DROPS[1] * bad_links) * days
        events = {name: before.events.get(name, 0) + int(self._fleet.chance.poisson(mean)) for name, mean in means.items()}
        events["tx_bytes"] = before.events.get("tx_bytes", 0) + round(BYTES * devices * days)
        return Exposure(before.seconds + devices * seconds, events)

    def _look(self, now_s: float) -> None:
        """Judge the stage and act on it, as `ota.server.survey` and `control` do."""
        rollout = self._rollout = replace(self._rollout, offered=self._offered)
        policy = rollout.policy
        presence, need = self._presence(now_s), needed(self._rollout)
        looked = gather(policy, self._gathered, self._stage, self._rest, presence.here, now_s)
        counts = self._counts(now_s, need)
        verdict = judge(policy, Evidence(
            counts, need, policy.soak_s[rollout.stage], presence, _since(self._stage, self._opened.stage),
            _since(self._rest, self._opened.rest), looked.logs))
        if now_s - self._gathered.at_s >= LOOK_S:
            self._gathered = looked
        self._note(counts)
        found = step(rollout, counts, verdict)
        state = rollout.state if found.event is None else move(rollout.state, found.event)
        self._rollout = replace(rollout, state=state, reason=found.reason)
        if found.event is not None:
            self._stages[-1]["closed_day"] = round(now_s / DAY_S, 3)
        if found.event is Event.ADVANCE:
            self._open(rollout.stage + 1, now_s)
        elif found.event is not None:
            self._ended_s = now_s

    def _counts(self, now_s: float, need: int) -> Counts:
        """As `ota.store.attempts.count`; a device is heard at latest one period after its soak."""
        rollout, number = self._rollout, self._number
        soak_s = rollout.policy.soak_s[rollout.stage]
        confirmed = number[CONFIRMED]
        soaked = soaking = waiting = 0
        if now_s >= rollout.stage_since_s + soak_s:
            soaked = int(np.count_nonzero(self._confirmed_s <= now_s - soak_s - self._period_s))
        if rollout.is_last:
            soaking = confirmed - min(confirmed, soaked)
            if not soaking:
                fleet = self._fleet
                waiting = int((~self._touched & (fleet.wakes_s <= now_s) & (fleet.dies_s > now_s - rollout.policy.lease_s)).sum())
        return Counts(
            open=number[OFFERED] + number[TRIAL], confirmed=confirmed,
            soaked=soaked if rollout.is_last else min(need, soaked), failed=number[AttemptState.FAILED],
            lost=number[AttemptState.LOST], soaking=soaking, waiting=waiting)

    def _presence(self, now_s: float) -> Presence:
        """As `ota.server.survey.measured`; only those that have died are silent."""
        policy, dying = self._rollout.policy, self._fleet.dying
        dies_s, touched = self._fleet.dies_s[dying], self._touched[dying]
        missing = dies_s <= now_s - QUIET * policy.lease_s
        here = self._number[TRIAL] + self._number[CONFIRMED] + self._number[AttemptState.LOST]
        rest = max(0, self._population - here)
        return Presence(
            here=here, here_heard=here - int((missing & touched).sum()), rest=rest,
            rest_heard=max(0, rest - int((missing & ~touched).sum())),
            rest_silent=int(((dies_s <= now_s - policy.lease_s) & ~touched).sum()), fleet=self._population)

    def _note(self, counts: Counts) -> None:
        stage = self._stages[-1]
        stage["offered"], stage["confirmed"] = self._rollout.offered, counts.confirmed
        stage["failed"], stage["lost"] = counts.failed, counts.lost
        stage["curve"].append(counts.confirmed)

    def _outcome(self) -> Outcome:
        scenario, rollout, number = self._scenario, self._rollout, self._number
        halted = rollout.state is RolloutState.HALTED
        pct = rollout.policy.stages[rollout.stage]
        day = None if self._ended_s is None else round(self._ended_s / DAY_S, 3)
        return Outcome(
            devices=scenario.devices, days=scenario.days, seed=scenario.seed, defect_pct=scenario.defect_pct, state=rollout.state,
            reason=rollout.reason, exposed_pct=round(100 * rollout.offered / scenario.devices, 4),
            confirmed_pct=round(100 * number[CONFIRMED] / scenario.devices, 3),
            halted_at_stage=pct if halted else None,
            held_at_stage=pct if rollout.state is RolloutState.RUNNING and not rollout.is_last else None,
            false_alarm=halted and not scenario.defect_pct, days_to_halt=day if halted else None,
            days_to_done=day if rollout.state is RolloutState.DONE else None, failed=number[AttemptState.FAILED],
            lost=number[AttemptState.LOST], peak_checkins_per_s=self._peak_checkins(),
            peak_downloads_per_s=_peak(self._downloads_s), period_s=self._period_s, stages=self._stages)

    def _peak_checkins(self) -> int:
        """Of every second of all days: the devices' own clocks, and what came beside them."""
        seconds = int(self._end_s) + 1
        mean = float((1 / self._fleet.gap_s).sum())
        arrivals = self._fleet.chance.poisson(mean, seconds)
        extra = np.asarray(self._extra_s, np.int64)
        return int((arrivals + np.bincount(extra[extra < seconds], minlength=seconds)).max())


def simulate(scenario: Scenario, tell: Callable[[float], None] = lambda days: None) -> Outcome:
    """Simulate one rollout; `tell` hears the days that have passed."""
    return Simulation(scenario).run(tell)


def _since(now: Exposure, before: Exposure) -> Exposure:
    return Exposure(now.seconds - before.seconds,
                    {name: value - before.events.get(name, 0) for name, value in now.events.items()})


def _peak(times_s: list[float]) -> int:
    return int(np.bincount(np.asarray(times_s, np.int64)).max()) if times_s else 0
