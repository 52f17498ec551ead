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

from ota.rules import filters, paths, windows
from ota.rules.bucket import bucket
from ota.rules.gate import Verdict, Word
from ota.rules.values import (
    ACTIVE,
    Attempt,
    AttemptState,
    Counts,
    Failures,
    Labels,
    Policy,
    Release,
    Report,
    Rollout,
    RolloutState,
)

MAX_STAGES = 16
MAX_STRAGGLERS = 500       # each kind is counted up to 1,000 (store/attempts.py)
MAX_SOAK_S = 90 * 86_400   # a quarter of a year; more is a typing error
MAX_TIME_S = 2**33         # of the year 2242; more is a typing error (milliseconds), and beyond what calendars compute


class PolicyError(Exception):
    """A rollout's policy is invalid; the message names key, got and expected. Such a rollout is never started."""


class RolloutError(Exception):
    """A command does not fit the rollout's state; the message tells both."""


class Event(StrEnum):
    """What moves a rollout: commands of operators, and what a tick finds."""

    START = "start"
    PLAN = "plan"        # told to start, but not before its start_at
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    HALT = "halt"        # the gate failed
    ADVANCE = "advance"  # the stage has soaked and its gate passed
    FINISH = "finish"    # the same, in the last stage


TRANSITIONS: dict[tuple[RolloutState, Event], RolloutState] = {
    (RolloutState.DRAFT, Event.START): RolloutState.RUNNING,
    (RolloutState.DRAFT, Event.PLAN): RolloutState.PLANNED,
    (RolloutState.DRAFT, Event.ABORT): RolloutState.ABORTED,
    (RolloutState.PLANNED, Event.START): RolloutState.RUNNING,   # by its time, or by an operator before
    (RolloutState.PLANNED, Event.ABORT): RolloutState.ABORTED,
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
NO_LABELS = Labels()
# Codes by which a device tells that bytes on their way to it were altered: their hash is not the one that a signed direction or
# manifest names. That is the word of neither release nor device. (A flash that keeps bytes badly tells `download.readback`.)
ALTERED = ("manifest.hash", "download.hash")


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
    _check_targets(policy)


def _check_targets(policy: Policy) -> None:
    try:
        filters.check(policy.filter)
        windows.check(policy.windows)
    except ValueError as error:
        raise PolicyError(str(error)) from None
    for key, at_s in (("start_at", policy.start_at), ("not_after", policy.not_after)):
        if not 0 <= at_s <= MAX_TIME_S:
            raise PolicyError(f"{key}: got {at_s:g}, expected Unix seconds, or 0 for none")
    if policy.not_after and policy.not_after <= policy.start_at:
        raise PolicyError(f"not_after: got {policy.not_after:.0f}, expected a time after start_at {policy.start_at:.0f}")


class Kind(StrEnum):
    """What a device is told."""

    OFFER = "offer"    # install this manifest
    HOLD = "hold"      # nothing now; this may change
    REFUSE = "refuse"  # nothing, and waiting will not help


class Reason(StrEnum):
    """Why; shown to operators by `explain` and to the device in its answer."""

    NO_ROLLOUT = "no rollout for this model is under way"
    FILTERED = "the rollout is for other devices"
    OUTRANKED = "the device belongs to another rollout, which goes first"
    CURRENT = "the device runs the rollout's release"
    NEWER = "the device runs something newer than the rollout's release"
    NOT_RUNNING = "the rollout is not running"
    NOT_IN_STAGE = "the device's bucket is not in this stage yet"
    STAGE_FULL = "the stage has offered the release to as many devices as it may"
    OVER = "the rollout's time is over; nothing new is offered"
    WINDOW = "no maintenance window is open where the device stands"
    ZONE = "the server does not know the time zone of the device's site"
    IN_TRIAL = "the device is trying a release; nothing new until it has confirmed or fallen back"
    CONFIG_TRIAL = "the device is trying a configuration; nothing new until it has kept it or gone back"
    TELLS_FAILURE = "the device has just come back from a release; nothing new before it has heard our answer"
    RETRY_LATER = "the device came back from the release; it is offered again later"
    QUARANTINED = "the device came back from the release too often; an operator must look"
    ALTERED = "what came to the device was not what was signed: something on the way alters it; it is offered again later"
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
        detail: what exactly, for operators.
        from_s, until_s: of RETRY_LATER when the next offer is due, of WINDOW when the next one opens and closes; else 0.
    """

    kind: Kind
    reason: Reason
    manifest: str | None = None
    counter: int = 0
    takes_place: bool = False
    detail: str = ""
    from_s: float = 0.0
    until_s: float = 0.0


def rank(rollout: Rollout) -> tuple[int, float, str]:
    """Order rollouts by precedence, the first goes first: the newest release, and for one release the rollout added last."""
    return -rollout.release.counter, -rollout.added_s, rollout.ident


def is_over(rollout: Rollout, now_s: float) -> bool:
    """Tell whether the rollout's time has passed: nothing new is offered; what is under way goes on."""
    return 0 < rollout.policy.not_after <= now_s


def miss(rollout: Rollout, model: str, counter: int, labels: Labels) -> str:
    """Tell why devices like this are none of the rollout's; empty when they are."""
    if model not in rollout.release.models:
        return f"model: got {model}, expected {', '.join(rollout.release.models)}"
    return filters.miss(rollout.policy.filter, model, counter, labels)


def claims(
    rollout: Rollout, model: str, counter: int, labels: Labels, *, releases: Iterable[Release], now_s: float,
) -> bool:
    """Tell whether devices like this belong to a rollout before those behind it: it is under way, for them, and can serve them.

    By this rollouts that overlap share the fleet out: at any moment a device belongs to one of them.
    """
    return (
        rollout.state in ACTIVE and not is_over(rollout, now_s) and counter < rollout.release.counter
        and not miss(rollout, model, counter, labels) and bool(paths.plan(model, counter, rollout.release, releases))
    )


def concerns(rollout: Rollout, report: Report, labels: Labels, now_s: float) -> bool:
    """Tell, without its attempt, whether a device may be offered something: the cheap test that an idle check-in ends at."""
    return (
        rollout.state in OFFERING
        and report.model in rollout.release.models
        and report.counter < rollout.release.counter
        and bucket(rollout.ident, report.device) < rollout.limit
        and not is_over(rollout, now_s)
        and windows.is_open(rollout.policy.windows, labels.zone, now_s)
    )


def decide(
    report: Report,
    rollout: Rollout,
    attempt: Attempt | None,
    *,
    failures: Mapping[str, Failures],
    releases: Iterable[Release],
    now_s: float,
    labels: Labels = NO_LABELS,
) -> Decision:
    """Offer, hold or refuse a rollout's release to one device.

    A filter, a stage, a window and the end of a rollout's time stand before what is new: a first offer, the next step, another
    try. A step that was offered before is offered again until the device has it.

    Args:
        attempt: the device's attempt in it, with this report already observed; None before the first offer.
        failures: how often the device has come back, by manifest.
        releases: all that are published; the planner uses their stepping stones.
        now_s: Unix seconds.
    """
    if report.model not in rollout.release.models:
        return Decision(Kind.HOLD, Reason.NO_ROLLOUT)
    if attempt is None and (why := miss(rollout, report.model, report.counter, labels)):
        return Decision(Kind.HOLD, Reason.FILTERED, detail=why)
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
    if past.count and now_s < (again_s := past.last_s + rollout.policy.retry_s):
        return Decision(Kind.HOLD, Reason.RETRY_LATER, from_s=again_s)
    under_way = attempt is not None and attempt.state is AttemptState.OFFERED and attempt.manifest == step.manifest
    if attempt is not None and under_way and now_s < (again_s := after_altered(attempt, rollout.policy)):
        return Decision(Kind.HOLD, Reason.ALTERED, detail=attempt.reason, from_s=again_s)
    if not under_way and is_over(rollout, now_s):
        return Decision(Kind.HOLD, Reason.OVER)
    if not under_way and not windows.is_open(rollout.policy.windows, labels.zone, now_s):
        if not windows.is_known(labels.zone):   # it was when it was set
            return Decision(Kind.HOLD, Reason.ZONE, detail=f"zone: got {labels.zone}, expected one of the server's database")
        opens_s, closes_s = windows.following(rollout.policy.windows, labels.zone, now_s)
        return Decision(Kind.HOLD, Reason.WINDOW, from_s=opens_s, until_s=closes_s)
    reason = Reason.CONTINUED if under_way else Reason.STEP if len(path) > 1 else Reason.OFFERED
    return Decision(Kind.OFFER, reason, step.manifest, step.counter, takes_place=attempt is None)


def after_altered(attempt: Attempt, policy: Policy) -> float:
    """Tell when a step is offered again that came altered: each wait is as long as all before it, `retry_s` to a lease; else 0."""
    if attempt.reason not in ALTERED:
        return 0.0
    return attempt.settled_s + max(policy.retry_s, min(attempt.settled_s - attempt.first_s, policy.lease_s))


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
        return Step(None, "no device that it is for has been heard lately")
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


def at_end(rollout: Rollout, counts: Counts, found: Step, now_s: float) -> Step:
    """End a rollout whose time is over, once nothing is under way, unless it has failed or finished by then."""
    if found.event in (Event.HALT, Event.FINISH) or counts.open or not is_over(rollout, now_s):
        return found
    return Step(Event.ABORT, f"its time is over; {found.reason}")
