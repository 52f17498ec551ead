"""How a rollout stands: the rows counted, the rules asked. Reads the database; changes nothing.

The same survey serves the tick (which acts on it), a failure that must halt at once, and the operators' view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import Connection

from ota.rules import bucket, paths
from ota.rules.filters import label_miss
from ota.rules.gate import Evidence, Verdict, Word, judge
from ota.rules.rollout import Event, PolicyError, Step, at_end, check_policy, claims, miss, needed, rank, step
from ota.rules.values import ACTIVE, Counts, Exposure, Release, Rollout
from ota.store import attempts, devices, rollouts
from ota.store import labels as label_rows


@dataclass(frozen=True)
class Survey:
    """A rollout as it stands now.

    Attributes:
        rollout: with population, capacity and limit as counted now.
        step: what a tick should do.
    """

    rollout: Rollout
    counts: Counts
    needed: int
    verdict: Verdict
    step: Step


def survey(connection: Connection, rollout: Rollout, releases: Sequence[Release], now_s: float) -> Survey:
    """Count and judge a rollout. A policy that is invalid asks for a halt: unknown never passes."""
    try:
        check_policy(rollout.policy)
    except PolicyError as error:
        verdict = Verdict(Word.FAIL, f"policy: {error}")
        return Survey(rollout, Counts(), 0, verdict, Step(Event.HALT, verdict.reason))
    found = measured(connection, rollout, releases, now_s)
    fresh = found.rollout
    need = needed(fresh)
    counts = attempts.count(connection, fresh, need)
    if fresh.is_last:
        counts = replace(counts, waiting=attempts.waiting(connection, fresh, found.scope, now_s - fresh.policy.active_s))
    stage, rest = window(connection, fresh)
    soak_s = fresh.policy.soak_s[fresh.stage]
    verdict = judge(fresh.policy, Evidence(counts, need, soak_s, stage, rest, found.rest_devices))
    return Survey(fresh, counts, need, verdict, at_end(fresh, counts, step(fresh, counts, verdict), now_s))


@dataclass(frozen=True)
class Measured:
    """A rollout's part of the fleet.

    Attributes:
        rollout: with population, capacity and limit as counted now.
        scope: (model, counter, cohort) of the devices that it may be offered to.
        rest_devices: active devices that it is for and that run something else.
    """

    rollout: Rollout
    scope: frozenset[tuple[str, int, int]]
    rest_devices: int


def measured(connection: Connection, rollout: Rollout, releases: Sequence[Release], now_s: float) -> Measured:
    """Measure the fleet for a rollout: its population, and from that its stage's capacity and limit.

    Filters and precedence are applied to groups of devices with the same model, version and labels, never to single devices.
    The limit never falls: a device that the stage has reached stays in it.
    """
    since_s, release = now_s - rollout.policy.active_s, rollout.release
    census = devices.census(connection, release.models, since_s)
    labels = label_rows.all_cohorts(connection)   # after the census: what that has counted is never taken away
    before = [each for each in rollouts.in_states(connection, ACTIVE) if rank(each) < rank(rollout)]
    fitting = {
        group: number for group, number in census.items()
        if not miss(rollout, group[0], group[1], labels[group[2]])}
    reach = cache(lambda model, counter: bool(paths.plan(model, counter, release, releases)))   # groups differ by label, mostly

    def is_ours(model: str, counter: int, cohort: int) -> bool:
        return reach(model, counter) and not any(
            claims(each, model, counter, labels[cohort], releases=releases, now_s=now_s) for each in before)

    scope = frozenset(group for group in fitting if is_ours(*group))
    population = sum(fitting[group] for group in scope) + attempts.on_release(connection, rollout)
    pct = rollout.policy.stages[rollout.stage]
    buckets: list[int] = []
    if pct < 100 and population < bucket.EXACT_BELOW:
        buckets = [bucket.bucket(rollout.ident, each) for each in attempts.candidates(connection, rollout, scope, since_s)]
    fresh = replace(rollout, population=population, capacity=bucket.capacity(pct, population),
                    limit=max(rollout.limit, bucket.limit(pct, population, buckets)))
    rest = sum(number for (_, counter, _), number in fitting.items() if counter != release.counter)
    return Measured(fresh, scope, rest)


def baseline(connection: Connection, rollout: Rollout) -> dict[str, Any]:
    """Take the sums at the opening of a stage, to be subtracted later."""
    stage, rest = _exposures(connection, rollout)
    return {name: {"seconds": each.seconds, "events": each.events} for name, each in (("stage", stage), ("rest", rest))}


def window(connection: Connection, rollout: Rollout) -> tuple[Exposure, Exposure]:
    """Tell what the devices on the release and all others went through since the stage opened."""
    row = rollouts.stages(connection, rollout.ident).get(rollout.stage)
    stage, rest = _exposures(connection, rollout)
    if row is None:
        return Exposure(), Exposure()   # a draft
    return _since(stage, row.baseline["stage"]), _since(rest, row.baseline["rest"])


def summary(found: Survey) -> dict[str, Any]:
    """Put a survey into the form that is kept when a stage closes, and shown."""
    fresh, counts = found.rollout, found.counts
    return {
        "eligible": min(fresh.capacity, fresh.population), "needed": found.needed, "offered": fresh.offered,
        "under_way": counts.open, "confirmed": counts.confirmed, "soaked": counts.soaked, "failed": counts.failed,
        "lost": counts.lost, "soaking": counts.soaking, "waiting": counts.waiting, "reason": found.step.reason,
        "gate": {"verdict": found.verdict.word, "reason": found.verdict.reason, "checks": [
            {"name": check.name, "verdict": check.word, "reason": check.reason, "numbers": dict(check.numbers)}
            for check in found.verdict.checks]},
    }


def _since(now: Exposure, before: dict[str, Any]) -> Exposure:
    return Exposure(now.seconds - before["seconds"],
                    {name: value - before["events"].get(name, 0) for name, value in now.events.items()})


def _exposures(connection: Connection, rollout: Rollout) -> tuple[Exposure, Exposure]:
    """The sums of the devices that the rollout is for: on its release, and on everything else."""
    wanted = rollout.policy.filter
    cohorts = [ident for ident, labels in label_rows.all_cohorts(connection).items() if not label_miss(wanted, labels)]
    return devices.exposures(
        connection, wanted.models or rollout.release.models, rollout.release.counter, cohorts, wanted.versions)
