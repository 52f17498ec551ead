"""What one check-in changes: its device's attempts, its failures and what it is told.

Joins the rules over plain values, so that the desk can ask first without the write lock and, if anything changes, once more
with it. Writes nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ota.rules import events
from ota.rules.attempts import observe
from ota.rules.events import Happened
from ota.rules.rollout import NO_LABELS, OFFERING, Decision, Kind, Reason, claims, concerns, decide, miss, rank
from ota.rules.values import (
    ACTIVE,
    OPEN,
    Attempt,
    AttemptState,
    Failures,
    Filter,
    Labels,
    Release,
    Report,
    Rollout,
    RolloutState,
)

RESTING = (RolloutState.HALTED, RolloutState.PLANNED, RolloutState.DRAFT)   # told about while nothing newer has been done
NOTHING = Decision(Kind.HOLD, Reason.NO_ROLLOUT)
BY_WINDOWS = (Reason.WINDOW, Reason.ZONE)   # nothing but its windows holds the device
NOT_ITS = (Reason.FILTERED, Reason.OUTRANKED)   # words of rollouts that the device has nothing to do with


@dataclass(frozen=True)
class Known:
    """What the database holds that one device's decision rests on."""

    rollouts: tuple[Rollout, ...]
    attempts: Mapping[str, Attempt]      # of this device, by rollout
    failures: Mapping[str, Failures]     # of this device, by manifest
    releases: tuple[Release, ...]
    labels: Labels = NO_LABELS


@dataclass(frozen=True)
class Considered:
    """One rollout's word on one device."""

    rollout: Rollout
    attempt: Attempt | None
    decision: Decision


@dataclass(frozen=True)
class Settled:
    """What a check-in leads to.

    Attributes:
        changed: attempts that now stand differently, with their rollouts.
        failed: of these, the ones that have just failed.
        happened: what to note in the device's history, with the attempts that it is about.
        considered: every rollout that was asked, in order.
        rollout: the one that the decision is about; None when there is none for the device.
        quiet: nothing is under way with this device: its next check-in need not ask the database.
        tried: rollouts in which it has an attempt.
    """

    changed: tuple[tuple[Rollout, Attempt], ...]
    failed: tuple[tuple[Rollout, Attempt], ...]
    happened: tuple[tuple[Happened, Attempt], ...]
    considered: tuple[Considered, ...]
    rollout: Rollout | None
    attempt: Attempt | None
    decision: Decision
    quiet: bool
    tried: frozenset[str]

    @property
    def needs_writing(self) -> bool:
        return bool(self.changed) or self.decision.kind is Kind.OFFER


def rollouts_for(model: str, rollouts: Iterable[Rollout]) -> tuple[Rollout, ...]:
    """Choose the rollouts that devices of a model may be told about, in order.

    First those under way, then what waits or was halted, then those that are done; within each the first by `rank`. What lies
    behind a rollout that is done and for all devices is history: nobody gets there.
    """
    fitting = sorted((each for each in rollouts if model in each.release.models), key=rank)
    done: list[Rollout] = []
    for each in fitting:
        if each.state is RolloutState.DONE:
            done.append(each)
            if each.policy.filter == Filter():
                break
    return (*(each for each in fitting if each.state in ACTIVE), *(each for each in fitting if each.state in RESTING), *done)


def may_offer(report: Report, known: Known, tried: Collection[str], now_s: float) -> bool:
    """Tell, from what may be a moment old, whether a device with nothing under way may be offered something.

    Args:
        known: its rollouts are those of `rollouts_for`; attempts and failures are not looked at.
        tried: rollouts in which the device has an attempt.
    """
    return any(
        concerns(rollout, report, known.labels, now_s)
        and (rollout.ident in tried or not miss(rollout, report.model, report.counter, known.labels))
        and not _claimed(report, rollout, known, now_s)
        for rollout in known.rollouts
    )


def settle(report: Report, known: Known, now_s: float) -> Settled:
    """Tell what a report changes and what its device is told."""
    by_ident = {each.ident: each for each in known.rollouts}
    attempts = {}
    changed, failed, happened = [], [], []
    for ident, before in known.attempts.items():
        if ident not in by_ident:
            continue
        after = attempts[ident] = observe(before, report, by_ident[ident], now_s)
        if after != before:
            changed.append((by_ident[ident], after))
            if after.state is AttemptState.FAILED and before.state is not AttemptState.FAILED:
                failed.append((by_ident[ident], after))
            if (what := events.of_attempt(before, after)) is not None:
                happened.append((what, after))
    considered = consider(report, known, attempts, now_s)
    chosen = _chosen(considered)
    decision = NOTHING if chosen is None else chosen.decision
    if failed:   # it has to be counted before anything new is offered: it may halt the rollout
        decision = Decision(Kind.HOLD, Reason.TELLS_FAILURE)
    under_way = any(each.state in OPEN for each in attempts.values())
    return Settled(
        tuple(changed), tuple(failed), tuple(happened), considered, None if chosen is None else chosen.rollout,
        None if chosen is None else chosen.attempt, decision, not under_way and not report.failed_manifest, frozenset(attempts))


def word(report: Report, known: Known, now_s: float) -> Decision:
    """Tell what a device hears with which nothing is under way and to which nothing can be offered (`may_offer`)."""
    chosen = _chosen(consider(report, known, {}, now_s)) if known.rollouts else None
    return NOTHING if chosen is None else chosen.decision


def consider(report: Report, known: Known, attempts: Mapping[str, Attempt], now_s: float) -> tuple[Considered, ...]:
    """Ask each rollout about one device, in the order in which they go.

    What was begun is finished first. Of those under way the device belongs to the first that claims it, and the others leave it
    alone. Behind them, the first that is done and fits: a device that wakes or joins late gets that while it is not yet its
    turn in a newer one.
    """
    line = rollouts_for(report.model, known.rollouts)
    found: list[Considered] = []
    done: Rollout | None = None
    is_busy = False   # with what was begun, and may go on
    for rollout in sorted(line, key=lambda each: not _is_begun(each, attempts.get(each.ident))):   # stable
        attempt = attempts.get(rollout.ident)
        fits = attempt is not None or not miss(rollout, report.model, report.counter, known.labels)
        if rollout.state is RolloutState.DONE:
            if done is not None:
                continue
            done = rollout if fits else None
        decision = decide(
            report, rollout, attempt, failures=known.failures, releases=known.releases, now_s=now_s, labels=known.labels)
        if _is_begun(rollout, attempt):
            if decision.kind is Kind.OFFER and any(each.decision.kind is Kind.OFFER for each in found):
                decision = Decision(Kind.HOLD, Reason.OUTRANKED)   # begun while the other was halted
            is_busy = is_busy or decision.kind is not Kind.REFUSE
        elif fits and rollout.state not in RESTING and (is_busy or _claimed(report, rollout, known, now_s)):
            decision = Decision(Kind.HOLD, Reason.OUTRANKED)
        found.append(Considered(rollout, attempt, decision))
    newest = 0 if done is None else done.release.counter
    return tuple(each for each in found if each.rollout.state not in RESTING or each.rollout.release.counter >= newest)


def offered(settled: Settled, report: Report, now_s: float) -> tuple[Attempt, bool]:
    """Tell how the attempt stands once the decision's offer has been made, and whether that is something new."""
    decision, rollout, before = settled.decision, settled.rollout, settled.attempt
    if rollout is None or decision.manifest is None:
        raise ValueError(f"offered: got a decision to {decision.kind}, expected an offer")
    same_try = before is not None and before.state is AttemptState.OFFERED and before.manifest == decision.manifest
    return Attempt(
        report.device, decision.manifest, decision.counter, AttemptState.OFFERED, rollout.stage,
        first_s=before.first_s if same_try and before is not None else now_s,
        lease_until_s=now_s + rollout.policy.lease_s,
        settled_s=before.settled_s if same_try and before is not None else 0.0), not same_try


def _chosen(considered: Sequence[Considered]) -> Considered | None:
    """The first offer; else the first that only its windows hold, the first that the device has to do with, the first."""
    offers = [each for each in considered if each.decision.kind is Kind.OFFER]
    windows = [each for each in considered if each.decision.reason in BY_WINDOWS]
    words = [each for each in considered if each.decision.reason not in NOT_ITS]
    return next(iter([*offers, *windows, *words, *considered]), None)


def _is_begun(rollout: Rollout, attempt: Attempt | None) -> bool:
    return attempt is not None and attempt.state in OPEN and rollout.state in OFFERING


def _claimed(report: Report, rollout: Rollout, known: Known, now_s: float) -> bool:
    """Tell whether a device belongs to a rollout that goes before this one; what is done is for all that wait for another."""
    return rollout.state in ACTIVE and any(
        claims(each, report.model, report.counter, known.labels, releases=known.releases, now_s=now_s)
        for each in known.rollouts if rank(each) < rank(rollout))
