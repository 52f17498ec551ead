"""How a rollout stands: the rows counted, the rules asked. Reads the database; changes nothing.

The same survey serves the tick (which acts on it), a failure that must halt at once, and the operators' view.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import Connection

from ota.rules import bucket, paths
from ota.rules.filters import label_miss
from ota.rules.gate import Evidence, Verdict, Word, gather, judge
from ota.rules.rollout import Event, PolicyError, Step, at_end, check_policy, claims, miss, needed, rank, step
from ota.rules.values import ACTIVE, Counts, Exposure, Gathered, Presence, Release, Rollout
from ota.store import attempts, devices, rollouts, watch
from ota.store import labels as label_rows

LOOK_S = 300.0    # what comparisons know is kept at least so often; shorter looks would only compare who happened to check in
QUIET = 0.25      # of a lease: devices silent for longer are missing, and not lost yet


@dataclass(frozen=True)
class Survey:
    """A rollout as it stands now.

    Attributes:
        rollout: with population, capacity and limit as counted now.
        step: what a tick should do.
        before, gathered: what the comparisons knew at the look that was kept last, and know now; None in a draft.
    """

    rollout: Rollout
    counts: Counts
    needed: int
    verdict: Verdict
    step: Step
    before: Gathered | None = None
    gathered: Gathered | None = None


def survey(connection: Connection, rollout: Rollout, releases: Sequence[Release], now_s: float) -> Survey:
    """Count and judge a rollout. A policy that is invalid asks for a halt: unknown never passes."""
    try:
        check_policy(rollout.policy)
    except PolicyError as error:
        verdict = Verdict(Word.FAIL, f"policy: {error}")
        return Survey(rollout, Counts(), 0, verdict, Step(Event.HALT, verdict.reason))
    found = measured(connection, rollout, releases, now_s)
    fresh, policy = found.rollout, found.rollout.policy
    need = needed(fresh)
    counts = attempts.count(connection, fresh, need)
    if fresh.is_last:   # those not heard for a lease would be lost by now, had it touched them
        counts = replace(counts, waiting=attempts.waiting(
            connection, fresh, found.scope, now_s - min(policy.active_s, policy.lease_s)))
    # A lost device's last word is mostly from its old version. All of them are taken away: too little silence is the safe side.
    presence = replace(found.presence, rest_silent=max(0, found.presence.rest_silent - counts.lost))
    evidence = Evidence(counts, need, policy.soak_s[fresh.stage], presence, Exposure(), Exposure())
    row = rollouts.stages(connection, fresh.ident).get(fresh.stage)
    before = gathered = None
    if row is not None:   # a draft has no stage yet
        stage, rest = _exposures(connection, fresh)
        before = _kept(row.gathered or row.baseline | {"at_s": row.opened_s, "logs": {}})
        gathered = gather(policy, before, stage, rest, presence.here, now_s)
        evidence = replace(evidence, stage=_since(stage, row.baseline["stage"]), rest=_since(rest, row.baseline["rest"]),
                           logs=gathered.logs, watched=watch.until_s(connection) is not None)
    verdict = judge(policy, evidence)
    return Survey(fresh, counts, need, verdict, at_end(fresh, counts, step(fresh, counts, verdict), now_s), before, gathered)


@dataclass(frozen=True)
class Measured:
    """A rollout's part of the fleet.

    Attributes:
        rollout: with population, capacity and limit as counted now.
        scope: (model, counter, cohort) of the devices that it may be offered to.
        presence: who of the devices that it is for is heard.
    """

    rollout: Rollout
    scope: frozenset[tuple[str, int, int]]
    presence: Presence


def measured(connection: Connection, rollout: Rollout, releases: Sequence[Release], now_s: float) -> Measured:
    """Measure the fleet for a rollout: its population, and from that its stage's capacity and limit.

    Filters and precedence are applied to groups of devices with the same model, version and labels, never to single devices.
    The limit never falls: a device that the stage has reached stays in it.
    """
    policy, release = rollout.policy, rollout.release
    since_s = now_s - policy.active_s
    opened = [row.opened_s for row in rollouts.stages(connection, rollout.ident).values()]
    began_s = max(rollout.excused_s, min(opened, default=now_s))
    census = devices.census(connection, release.models, (
        since_s, now_s - QUIET * policy.lease_s, began_s, max(began_s, now_s - policy.lease_s)))
    labels = label_rows.all_cohorts(connection)   # after the census: what that has counted is never taken away
    first = [each for each in rollouts.in_states(connection, ACTIVE) if rank(each) < rank(rollout)]
    fitting = {group: heard for group, heard in census.items() if not miss(rollout, group[0], group[1], labels[group[2]])}
    reach = cache(lambda model, counter: bool(paths.plan(model, counter, release, releases)))   # groups differ by label, mostly

    def is_ours(model: str, counter: int, cohort: int) -> bool:
        return reach(model, counter) and not any(
            claims(each, model, counter, labels[cohort], releases=releases, now_s=now_s) for each in first)

    scope = frozenset(group for group in fitting if is_ours(*group))
    here, here_heard, here_since, _ = _sums(fitting, lambda counter: counter == release.counter)
    rest, rest_heard, rest_since, rest_lease = _sums(fitting, lambda counter: counter != release.counter)
    presence = Presence(here, min(here, here_heard), rest, min(rest, rest_heard), rest_since - rest_lease, here_since + rest_since)
    population = sum(fitting[group][0] for group in scope) + attempts.on_release(connection, rollout)
    pct = policy.stages[rollout.stage]
    buckets: list[int] = []
    if pct < 100 and population < bucket.EXACT_BELOW:
        buckets = [bucket.bucket(rollout.ident, each) for each in attempts.candidates(connection, rollout, scope, since_s)]
    fresh = replace(rollout, population=population, capacity=bucket.capacity(pct, population),
                    limit=max(rollout.limit, bucket.limit(pct, population, buckets)))
    return Measured(fresh, scope, presence)


def must_keep(found: Survey, now_s: float) -> bool:
    """Tell whether what the comparisons know is due to be written."""
    return found.before is not None and found.gathered is not found.before and now_s - found.before.at_s >= LOOK_S


def keep(connection: Connection, found: Survey) -> None:
    """Write what the comparisons know, inside the writing transaction that the survey was made in."""
    if found.gathered is not None and found.gathered is not found.before:
        rollouts.keep_gathered(connection, found.rollout, asdict(found.gathered))


def baseline(connection: Connection, rollout: Rollout) -> dict[str, Any]:
    """Take the sums at the opening of a stage, to be subtracted later."""
    stage, rest = _exposures(connection, rollout)
    return {"stage": asdict(stage), "rest": asdict(rest)}


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


def _sums(census: Mapping[tuple[str, int, int], tuple[int, ...]], wanted: Callable[[int], bool]) -> tuple[int, ...]:
    groups = [heard for (_, counter, _), heard in census.items() if wanted(counter)]
    return tuple(map(sum, zip(*groups, strict=True))) or (0, 0, 0, 0)


def _kept(row: dict[str, Any]) -> Gathered:
    return Gathered(row["at_s"], Exposure(**row["stage"]), Exposure(**row["rest"]),
                    {name: tuple(logs) for name, logs in row["logs"].items()})


def _since(now: Exposure, before: dict[str, Any]) -> Exposure:
    return Exposure(now.seconds - before["seconds"],
                    {name: value - before["events"].get(name, 0) for name, value in now.events.items()})


def _exposures(connection: Connection, rollout: Rollout) -> tuple[Exposure, Exposure]:
    """The sums of the devices that the rollout is for: on its release, and on everything else."""
    wanted = rollout.policy.filter
    cohorts = [ident for ident, labels in label_rows.all_cohorts(connection).items() if not label_miss(wanted, labels)]
    return devices.exposures(
        connection, wanted.models or rollout.release.models, rollout.release.counter, cohorts, wanted.versions)
