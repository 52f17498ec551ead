"""How a rollout stands: the rows counted, the rules asked. Reads the database; changes nothing.

The same survey serves the tick (which acts on it), a failure that must halt at once, and the operators' view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from ota.rules import bucket, paths
from ota.rules.gate import Evidence, Verdict, Word, judge
from ota.rules.rollout import Event, PolicyError, Step, check_policy, needed, step
from ota.rules.values import Counts, Exposure, Release, Rollout
from ota.store import attempts, devices, rollouts


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
    fresh, rest_devices = measured(connection, rollout, releases, now_s)
    need = needed(fresh)
    counts = attempts.count(connection, fresh, need)
    if fresh.is_last:
        counts = replace(counts, waiting=_waiting(connection, fresh, releases, now_s))
    stage, rest = window(connection, fresh)
    soak_s = fresh.policy.soak_s[fresh.stage]
    verdict = judge(fresh.policy, Evidence(counts, need, soak_s, stage, rest, rest_devices))
    return Survey(fresh, counts, need, verdict, step(fresh, counts, verdict))


def measured(connection: Connection, rollout: Rollout, releases: Sequence[Release], now_s: float) -> tuple[Rollout, int]:
    """Measure the fleet for a rollout: its population, and from that its stage's capacity and limit.

    The limit never falls: a device that the stage has reached stays in it.

    Returns:
        The rollout with these, and the number of active devices of its models that run something else.
    """
    since_s, release = now_s - rollout.policy.active_s, rollout.release
    census = devices.census(connection, release.models, since_s)
    behind = sum(number for (model, counter), number in census.items() if _can_reach(model, counter, release, releases))
    rest_devices = sum(number for (_, counter), number in census.items() if counter != release.counter)
    population = behind + attempts.on_release(connection, rollout)
    pct = rollout.policy.stages[rollout.stage]
    buckets: list[int] = []
    if pct < 100 and population < bucket.EXACT_BELOW:
        buckets = [
            bucket.bucket(rollout.ident, device)
            for device, model, counter, has_attempt in attempts.candidates(connection, rollout, since_s)
            if has_attempt or _can_reach(model, counter, release, releases)
        ]
    fresh = replace(rollout, population=population, capacity=bucket.capacity(pct, population),
                    limit=max(rollout.limit, bucket.limit(pct, population, buckets)))
    return fresh, rest_devices


def baseline(connection: Connection, rollout: Rollout) -> dict[str, Any]:
    """Take the sums at the opening of a stage, to be subtracted later."""
    stage, rest = devices.exposures(connection, rollout.release.models, rollout.release.counter)
    return {name: {"seconds": each.seconds, "events": each.events} for name, each in (("stage", stage), ("rest", rest))}


def window(connection: Connection, rollout: Rollout) -> tuple[Exposure, Exposure]:
    """Tell what the devices on the release and all others went through since the stage opened."""
    row = rollouts.stages(connection, rollout.ident).get(rollout.stage)
    stage, rest = devices.exposures(connection, rollout.release.models, rollout.release.counter)
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


def _waiting(connection: Connection, rollout: Rollout, releases: Sequence[Release], now_s: float) -> int:
    found = attempts.waiting(connection, rollout, now_s - rollout.policy.active_s)
    if len(found) >= attempts.COUNTED:
        return len(found)   # there may be more; enough not to finish
    return sum(_can_reach(model, counter, rollout.release, releases) for model, counter in found)


def _can_reach(model: str, counter: int, release: Release, releases: Sequence[Release]) -> bool:
    return bool(paths.plan(model, counter, release, releases))
