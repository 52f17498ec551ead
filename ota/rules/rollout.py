"""How a rollout moves, and which release a device is offered now, and why.

Decides from values only: the rollout, the device's report and attempt, the counts and the time are arguments. Reads no
database, clock or chance and sends nothing; `ota.server` calls it, `ota.store` keeps the rows. An offer that this module
grants still has to win its place in the row of the rollout (`offered < capacity`, state running) when it is written.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from ota.rules import paths
from ota.rules.bucket import bucket
from ota.rules.gate import Verdict, Word
from ota.rules.values import Attempt, AttemptState, Counts, Failures, Policy, Release, Report, Rollout, RolloutState

MAX_STAGES = 16
MAX_STRAGGLERS = 500       # each kind is counted up to 1,000 (store/attempts.py)
MAX_SOAK_S = 90 * 86_400   # a quarter of a year; more is a typing error


class PolicyError(Exception):
    """A rollout's policy is invalid; the message names key, got and expected. Such a rollout is never started."""


class RolloutError(Exception):
    """A command does not fit the rollout's state; the message tells both."""


class Event(StrEnum):
    """What moves a rollout: commands of operators, and what a tick finds."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    HALT = "halt"        # the gate failed
    ADVANCE = "advance"  # the stage has soaked and its gate passed
    FINISH = "finish"    # the same, in the last stage


TRANSITIONS: dict[tuple[RolloutState, Event], RolloutState] = {
    (RolloutState.DRAFT, Event.START): RolloutState.RUNNING,
    (RolloutState.DRAFT, Event.ABORT): RolloutState.ABORTED,
    (RolloutState.RUNNING, Event.ADVANCE): RolloutState.RUNNING,
    (RolloutState.RUNNING, Event.FINISH): RolloutState.DONE,
    (RolloutState.RUNNING, Event.HALT): RolloutState.HALTED,
    (RolloutState.RUNNING, Event.PAUSE): RolloutState.PAUSED,
    (RolloutState.RUNNING, Event.ABORT): RolloutState.ABORTED,
    (RolloutState.PAUSED, Event.HALT): RolloutState.HALTED,
    (RolloutState.PAUSED, Event.RESUME): RolloutState.RUNNING,
    (RolloutState.PAUSED, Event.ABORT): RolloutState.ABORTED,
    (RolloutState.HALTED, Event.RESUME): RolloutState.RUNNING,
    (RolloutState.HALTED, Event.ABORT): RolloutState.ABORTED,
    (RolloutState.DONE, Event.ABORT): RolloutState.ABORTED,   # a release that turns out bad later is withdrawn
}
OFFERING = (RolloutState.RUNNING, RolloutState.DONE)   # in all other states nobody is offered anything


def move(state: RolloutState, event: Event) -> RolloutState:
    """Tell the state that an event leads to.

    Raises:
        RolloutError: nothing leads from this state by this event.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        allowed = ", ".join(sorted(each for here, each in TRANSITIONS if here is state)) or "nothing: it is final"
        raise RolloutError(f"rollout is {state}: got {event}, expected {allowed}") from None


def check_policy(policy: Policy) -> None:
    """Refuse a policy that could not be kept.

    Raises:
        PolicyError: the first fault found.
    """
    stages, soak = policy.stages, policy.soak_s
    rising = all(before < after for before, after in pairwise(stages))
    if not stages or len(stages) > MAX_STAGES or not rising or stages[0] < 0.01 or stages[-1] != 100:
        raise PolicyError(f"stages: got {list(stages)}, expected up to {MAX_STAGES} rising percentages from 0.01, the last 100")
    if len(soak) != len(stages) or not all(0 <= each <= MAX_SOAK_S for each in soak):
        raise PolicyError(f"soak_s: got {list(soak)}, expected {len(stages)} values of 0..{MAX_SOAK_S} s, one a stage")
    bounds: dict[str, tuple[float, float, float]] = {
        "lease_s": (policy.lease_s, 1, MAX_SOAK_S), "min_reports": (policy.min_reports, 1, 100_000),
        "retry_s": (policy.retry_s, 0, MAX_SOAK_S), "quarantine_after": (policy.quarantine_after, 1, 100),
        "active_s": (policy.active_s, 1, MAX_SOAK_S), "max_failure_pct": (policy.max_failure_pct, 0.01, 50),
        "failure_alpha": (policy.failure_alpha, 1e-6, 0.5), "min_confirm_pct": (policy.min_confirm_pct, 0, 100),
        "worse_ratio": (policy.worse_ratio, 1, 100), "spread": (policy.spread, 0, 100),
        "worse_alpha": (policy.worse_alpha, 1e-6, 0.5), "min_events": (policy.min_events, 1, 1_000),
    }
    for key, (got, low, high) in bounds.items():
        if not low <= got <= high:   # also refuses NaN
            raise PolicyError(f"{key}: got {got:g}, expected {low:g}..{high:g}")


class Kind(StrEnum):
    """What a device is told."""

    OFFER = "offer"    # install this manifest
    HOLD = "hold"      # nothing now; this may change
    REFUSE = "refuse"  # nothing, and waiting will not help


class Reason(StrEnum):
    """Why; shown to operators by `explain` and to the device in its answer."""

    NO_ROLLOUT = "no rollout for this model is under way"
    CURRENT = "the device runs the rollout's release"
    NEWER = "the device runs something newer than the rollout's release"
    NOT_RUNNING = "the rollout is not running"
    NOT_IN_STAGE = "the device's bucket is not in this stage yet"
    STAGE_FULL = "the stage has offered the release to as many devices as it may"
    IN_TRIAL = "the device is trying a release; nothing new until it has confirmed or fallen back"
    CONFIG_TRIAL = "the device is trying a configuration; nothing new until it has kept it or gone back"
    TELLS_FAILURE = "the device has just come back from a release; nothing new before it has heard our answer"
    RETRY_LATER = "the device came back from the release; it is offered again later"
    QUARANTINED = "the device came back from the release too often; an operator must look"
    NO_PATH = "no published release leads from the device's version to the rollout's release"
    SEQUENCE = "the device's direction sequence has ended; a new root must start it over"
    SHED = "the server is busy; the device asks again soon"
    OFFERED = "offered"
    CONTINUED = "offered before, still under way"
    STEP = "offered a stepping stone on the way to the rollout's release"


@dataclass(frozen=True)
class Decision:
    """What one device is told, and why.

    Attributes:
        manifest: the step to install, only with an OFFER.
        takes_place: the offer uses up one of the stage's places; False when the device has one already.
    """

    kind: Kind
    reason: Reason
    manifest: str | None = None
    counter: int = 0
    takes_place: bool = False


def concerns(rollout: Rollout, report: Report) -> bool:
    """Tell, without its attempt, whether a device may be offered something: the cheap test that an idle check-in ends at."""
    return (
        rollout.state in OFFERING
        and report.model in rollout.release.models
        and report.counter < rollout.release.counter
        and bucket(rollout.ident, report.device) < rollout.limit
    )


def decide(
    report: Report,
    rollout: Rollout,
    attempt: Attempt | None,
    *,
    failures: Mapping[str, Failures],
    releases: Iterable[Release],
    now_s: float,
) -> Decision:
    """Offer, hold or refuse a rollout's release to one device.

    Args:
        attempt: the device's attempt in it, with this report already observed; None before the first offer.
        failures: how often the device has come back, by manifest.
        releases: all that are published; the planner uses their stepping stones.
        now_s: Unix seconds.
    """
    if report.model not in rollout.release.models:
        return Decision(Kind.HOLD, Reason.NO_ROLLOUT)
    if report.counter >= rollout.release.counter:
        same = report.counter == rollout.release.counter
        return Decision(Kind.HOLD, Reason.CURRENT if same else Reason.NEWER)
    if rollout.state not in OFFERING:
        return Decision(Kind.HOLD, Reason.NOT_RUNNING)
    if report.trial:
        return Decision(Kind.HOLD, Reason.IN_TRIAL)
    if report.config_trial:   # one change at a time: else nobody can say which of them did harm
        return Decision(Kind.HOLD, Reason.CONFIG_TRIAL)
    if report.failed_manifest:
        return Decision(Kind.HOLD, Reason.TELLS_FAILURE)
    if attempt is None:
        if bucket(rollout.ident, report.device) >= rollout.limit:
            return Decision(Kind.HOLD, Reason.NOT_IN_STAGE)
        if rollout.offered >= rollout.capacity:
            return Decision(Kind.HOLD, Reason.STAGE_FULL)
    path = paths.plan(report.model, report.counter, rollout.release, releases)
    if not path:
        return Decision(Kind.REFUSE, Reason.NO_PATH)
    step = path[0]
    past = failures.get(step.manifest, Failures())
    if past.count >= rollout.policy.quarantine_after:
        return Decision(Kind.REFUSE, Reason.QUARANTINED)
    if past.count and now_s < past.last_s + rollout.policy.retry_s:
        return Decision(Kind.HOLD, Reason.RETRY_LATER)
    under_way = attempt is not None and attempt.state is AttemptState.OFFERED and attempt.manifest == step.manifest
    reason = Reason.CONTINUED if under_way else Reason.STEP if len(path) > 1 else Reason.OFFERED
    return Decision(Kind.OFFER, reason, step.manifest, step.counter, takes_place=attempt is None)


@dataclass(frozen=True)
class Step:
    """What a tick does with a running rollout; `event` None means: stay, for `reason`."""

    event: Event | None
    reason: str


def needed(rollout: Rollout) -> int:
    """Tell how many healthy devices a stage needs: `min_reports`, or all of a smaller stage; never none."""
    return max(1, min(rollout.policy.min_reports, rollout.capacity, rollout.population))


def stragglers(rollout: Rollout) -> int:
    """Tell how many devices may still be on their way when a rollout is done: in a large fleet somebody always wakes or joins.

    No more than might come back by the policy; and fewer than the store counts them to.
    """
    return min(MAX_STRAGGLERS, math.floor(rollout.population * rollout.policy.max_failure_pct / 100))


def step(rollout: Rollout, counts: Counts, verdict: Verdict) -> Step:
    """Advance, halt or keep a running rollout. Everything that is not known to be good keeps it where it is."""
    if verdict.word is Word.FAIL:
        return Step(Event.HALT, verdict.reason)
    if rollout.population == 0:
        return Step(None, "no device of the model has been heard lately")
    need = needed(rollout)
    if counts.soaked < need:
        return Step(None, f"{counts.soaked} of {need} devices have soaked, {counts.confirmed} confirmed, {counts.open} under way")
    if verdict.word is not Word.PASS:
        return Step(None, verdict.reason)
    if not rollout.is_last:
        return Step(Event.ADVANCE, verdict.reason)
    if counts.open + counts.waiting + counts.soaking > stragglers(rollout):
        return Step(None, f"{counts.waiting} devices wait for it, {counts.open} are under way, {counts.soaking} are soaking")
    return Step(Event.FINISH, verdict.reason)
