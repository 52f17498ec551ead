"""A rollout over a simulated fleet, through the server's own rules: who is exposed before a bad release halts, how long it takes.

The rules are the server's (`ota.rules`: bucket, decide, observe, is_overdue, gather, judge, step, shed); the rows (`rollout_rows`),
the clock and the devices (`rollout_fleet`) are not. A device is simulated from its first check-in in a stage on, event by event;
before that it is one of a number. A device that is put off is told when to come by `shed.Admission`, as a period, and looks for its
own place in that.

Not modelled: networks that fail for many at once, devices that fall back after they have confirmed, releases that make devices drop
connections or crash without falling back (the comparisons run, on good devices), and a population that changes within a stage.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from heapq import heapify, heappop, heappush

import numpy as np

from host.sim.rollout_fleet import DAY_S, MODEL, STORED_SHARE, Fleet, Scenario
from host.sim.rollout_outcome import Figures, Outcome
from host.sim.rollout_rows import Rows
from ota.rules import bucket, shed
from ota.rules.attempts import is_overdue, observe
from ota.rules.gate import Evidence, gather, judge
from ota.rules.rollout import Event, Kind, decide, move, needed, step
from ota.rules.values import Attempt, AttemptState, Exposure, Failures, Gathered, Release, Report, Rollout
from ota.server.settings import OtaSettings
from ota.server.survey import LOOK_S

TICK_S = 300           # between looks; a server looks more often, and at each failure at once, as is done here too
BOOT_S = 20.0
CRASH_S = 600.0        # from the installation until a device that crashes has fallen back and tells so
OLD = Release("a" * 64, "1.0.0", 1, (MODEL,), 0, 0)
NEW = Release("b" * 64, "1.1.0", 2, (MODEL,), 0, 1)

# What happens next with a device. Plain names: members of an Enum cost more than all else in the loop over three million events.
ASKS = 0       # it checks in, and may be offered the release
BOOTS = 1      # its first check-in on the release, in trial
CONFIRMS = 2
TELLS = 3      # it checks in after it has fallen back
DIES = 4
LOST = 5       # its lease has ended


class Simulation:
    """The server's side of a rollout, and the events of the devices that it touches."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._end_s = scenario, scenario.days * DAY_S
        pace = {name: OtaSettings.model_fields[name].default for name in ("period_s", "checkins_per_s", "offers_per_s")}
        self._period_s = shed.period(pace["period_s"], round(scenario.devices * (1 - STORED_SHARE)), pace["checkins_per_s"])
        self._admission = shed.admission(pace["offers_per_s"], 0.0)
        self._rollout = Rollout(f"r{scenario.seed:012x}", NEW, scenario.policy)
        self._fleet = Fleet(scenario, self._rollout.ident, self._period_s)
        self._rows, self._figures = Rows(self._fleet), Figures()
        self._does = (self._asks, self._boots, self._confirms, self._tells, self._dies, self._lose)
        self._tick = 0
        self._now: list[tuple[float, int, int]] = []   # events of this tick, (at_s, what, who), a heap
        self._later: defaultdict[int, list[tuple[float, int, int]]] = defaultdict(list)   # by tick
        for who in self._fleet.dying.tolist():
            self._after(self._fleet.death_s[who], DIES, who)
        self._offered = 0                              # as the row of a rollout: ahead of self._rollout, which is read at each look
        self._stage, self._rest = Exposure(), Exposure()
        self._opened = self._gathered = Gathered(0.0, self._stage, self._rest)
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
            heapify(self._now)
            while self._now and self._ended_s is None:
                at_s, what, who = heappop(self._now)
                if at_s < self._fleet.death_s[who] or what >= DIES:
                    self._does[what](at_s, who)
            self._tick += 1
            if self._ended_s is None:
                self._pass_time(TICK_S)
                self._look(self._tick * TICK_S)
                tell(self._tick * TICK_S / DAY_S)
        return self._figures.outcome(self._scenario, self._fleet, self._rows, self._rollout, self._ended_s, self._period_s)

    def _asks(self, now_s: float, who: int) -> None:
        """A check-in that an offer can come of. Whoever was offered it already is under way."""
        rollout, rows, attempt = self._rollout, self._rows, self._rows.attempts.get(who)
        if attempt is None:
            if rows.is_touched[who] or self._offered >= rollout.capacity:
                return
            self._admission, wait_s = self._admission.admit(now_s)
            if wait_s:   # told as a period: the device looks for its own place in it
                told_s = shed.retry_after(wait_s, 0.0)
                again_s = now_s + (self._fleet.phases[who] * told_s - now_s) % told_s + 1
                self._figures.extra_s.append(again_s)
                self._after(again_s, ASKS, who)
                return
        elif attempt.state is not AttemptState.FAILED:
            return
        report = Report(self._fleet.names[who], MODEL, OLD.release, OLD.counter, OLD.manifest, trial=False)
        past = {NEW.manifest: rows.failures[who]} if who in rows.failures else {}
        decision = decide(report, rollout, attempt, failures=past, releases=(OLD, NEW), now_s=now_s)
        if decision.kind is not Kind.OFFER or decision.manifest is None:
            return
        if decision.takes_place:
            self._offered += 1
        rows.put(who, Attempt(report.device, decision.manifest, decision.counter, AttemptState.OFFERED, rollout.stage, now_s,
                              now_s + rollout.policy.lease_s))
        self._figures.downloads_s.append(now_s)
        installed_s = now_s + self._fleet.load_s[who] + BOOT_S
        if who in self._fleet.defective or (who in self._fleet.unlucky and who not in rows.failures):
            self._after(installed_s + CRASH_S, TELLS, who)
        else:
            self._after(installed_s, BOOTS, who)

    def _boots(self, now_s: float, who: int) -> None:
        self._settle(who, self._report(who, trial=True), now_s)
        self._after(now_s + self._period_s * self._fleet.phases[who], CONFIRMS, who)
        self._figures.extra_s.append(now_s)

    def _confirms(self, now_s: float, who: int) -> None:
        self._settle(who, self._report(who, trial=False), now_s)

    def _tells(self, now_s: float, who: int) -> None:
        """A device is back on its old release. It is counted, and the gate is asked, before anything else happens."""
        failures = self._rows.failures
        failures[who] = Failures(failures.get(who, Failures()).count + 1, now_s)
        report = Report(self._fleet.names[who], MODEL, OLD.release, OLD.counter, OLD.manifest, False, NEW.manifest, "crash")
        self._settle(who, report, now_s)
        self._figures.extra_s.append(now_s)
        self._after(now_s + self._rollout.policy.retry_s + self._period_s, ASKS, who)
        self._look(now_s)

    def _dies(self, now_s: float, who: int) -> None:
        attempt = self._rows.attempts.get(who)
        if not self._rows.is_touched[who]:
            self._rows.dead += self._fleet.wakes_s[who] <= now_s
        else:
            until_s = now_s + self._rollout.policy.lease_s if attempt is None else attempt.lease_until_s
            self._after(max(now_s, until_s) + 1, LOST, who)

    def _lose(self, now_s: float, who: int) -> None:
        attempt = self._rows.attempts.get(who) or Attempt(
            self._fleet.names[who], NEW.manifest, NEW.counter, AttemptState.CONFIRMED, 0, 0.0, 0.0,
            float(self._rows.confirmed_s[who]))
        if is_overdue(attempt, self._fleet.death_s[who], self._rollout, now_s):
            self._rows.put(who, attempt._replace(state=AttemptState.LOST, settled_s=now_s, confirmed_s=0.0))

    def _settle(self, who: int, report: Report, now_s: float) -> None:
        self._rows.put(who, observe(self._rows.attempts[who], report, self._rollout, now_s))

    def _report(self, who: int, *, trial: bool) -> Report:
        return Report(self._fleet.names[who], MODEL, NEW.release, NEW.counter, NEW.manifest, trial)

    def _after(self, at_s: float, what: int, who: int) -> None:
        tick = int(at_s // TICK_S)
        if tick <= self._tick:
            heappush(self._now, (at_s, what, who))
        else:
            self._later[tick].append((at_s, what, who))

    def _open(self, stage: int, now_s: float) -> None:
        """Open a stage, as `ota.server.control` does, and find out when its devices check in."""
        fleet, rows, pct = self._fleet, self._rows, self._rollout.policy.stages[stage]
        rows.population = int(((fleet.wakes_s <= now_s) & (fleet.dies_s > now_s - self._rollout.policy.active_s)).sum())
        few = rows.population < bucket.EXACT_BELOW
        ranked = fleet.buckets[fleet.wakes_s <= now_s].tolist() if few else []
        self._rollout = replace(
            self._rollout, stage=stage, stage_since_s=now_s, population=rows.population, offered=self._offered,
            capacity=bucket.capacity(pct, rows.population),
            limit=max(self._rollout.limit, bucket.limit(pct, rows.population, ranked)))
        self._opened = self._gathered = Gathered(now_s, self._stage, self._rest)
        self._figures.opened(pct, now_s)
        who = np.flatnonzero((fleet.buckets < self._rollout.limit) & ~rows.touched & (fleet.dies_s > now_s))
        at_s = fleet.next_checkin_s(who, now_s)
        soon = at_s < self._end_s
        for first_s, each in zip(at_s[soon].tolist(), who[soon].tolist(), strict=True):
            self._after(first_s, ASKS, each)

    def _pass_time(self, seconds: float) -> None:
        """What the devices that are on count in a while."""
        fleet, rows = self._fleet, self._rows
        self._stage = fleet.counted(self._stage, rows.here, rows.bad_links, seconds)
        self._rest = fleet.counted(
            self._rest, rows.population - rows.here - rows.dead, len(fleet.bad_links) - rows.bad_links, seconds)

    def _look(self, now_s: float) -> None:
        """Judge the stage and act on it, as `ota.server.survey` and `control` do."""
        rollout = self._rollout = replace(self._rollout, offered=self._offered)
        policy = rollout.policy
        presence, need = self._rows.presence(policy.lease_s, now_s), needed(rollout)
        looked = gather(policy, self._gathered, self._stage, self._rest, presence.here, now_s)
        counts = self._rows.counts(rollout, need, self._period_s, now_s)
        verdict = judge(policy, Evidence(
            counts, need, policy.soak_s[rollout.stage], presence, _since(self._stage, self._opened.stage),
            _since(self._rest, self._opened.rest), looked.logs))
        if now_s - self._gathered.at_s >= LOOK_S:
            self._gathered = looked
        self._figures.looked(rollout.offered, counts)
        found = step(rollout, counts, verdict)
        state = rollout.state if found.event is None else move(rollout.state, found.event)
        self._rollout = replace(rollout, state=state, reason=found.reason)
        if found.event is not None:
            self._figures.closed(now_s)
        if found.event is Event.ADVANCE:
            self._open(rollout.stage + 1, now_s)
        elif found.event is not None:
            self._ended_s = now_s


def simulate(scenario: Scenario, tell: Callable[[float], None] = lambda days: None) -> Outcome:
    """Simulate one rollout; `tell` hears the days that have passed."""
    return Simulation(scenario).run(tell)


def _since(now: Exposure, before: Exposure) -> Exposure:
    return Exposure(now.seconds - before.seconds,
                    {name: value - before.events.get(name, 0) for name, value in now.events.items()})
