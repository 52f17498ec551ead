"""What one check-in changes: its device's attempts, its failures and what it is told.

Joins the rules over plain values, so that the desk can ask first without the write lock and, if anything changes, once more
with it. Writes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ota.rules.attempts import observe
from ota.rules.rollout import Decision, Kind, Reason, decide
from ota.rules.values import ACTIVE, OPEN, Attempt, AttemptState, Failures, Release, Report, Rollout, RolloutState

UNDER_WAY = (   # of several rollouts for a model: which one a device is told about
    RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED, RolloutState.DRAFT,
)


@dataclass(frozen=True)
class Known:
    """What the database holds that one device's decision rests on."""

    rollouts: tuple[Rollout, ...]
    attempts: Mapping[str, Attempt]      # of this device, by rollout
    failures: Mapping[str, Failures]     # of this device, by manifest
    releases: tuple[Release, ...]


@dataclass(frozen=True)
class Settled:
    """What a check-in leads to.

    Attributes:
        changed: attempts that now stand differently, with their rollouts.
        failed: of these, the ones that have just failed.
        rollout: the one that the decision is about; None when there is none for the model.
        quiet: nothing is under way with this device: its next check-in need not ask the database.
    """

    changed: tuple[tuple[Rollout, Attempt], ...]
    failed: tuple[tuple[Rollout, Attempt], ...]
    rollout: Rollout | None
    attempt: Attempt | None
    decision: Decision
    quiet: bool

    @property
    def needs_writing(self) -> bool:
        return bool(self.changed) or self.decision.kind is Kind.OFFER


def rollouts_for(model: str, rollouts: Iterable[Rollout]) -> list[Rollout]:
    """Choose the rollouts that a device of a model may be offered something from, the one to tell about first.

    These are the one under way (a running one before others, then the newest release) and the newest that is done: a device
    that wakes or joins late gets that while it is not yet its turn in the other.
    """
    fitting = [each for each in rollouts if model in each.release.models]
    under_way = [each for each in fitting if each.state in UNDER_WAY]
    done = [each for each in fitting if each.state is RolloutState.DONE]
    chosen = sorted(under_way, key=lambda each: (UNDER_WAY.index(each.state), -each.release.counter))[:1]
    newest = sorted(done, key=lambda each: -each.release.counter)[:1]
    if newest and chosen and chosen[0].state not in ACTIVE and newest[0].release.counter > chosen[0].release.counter:
        chosen = []   # what was halted or drafted once is history by now
    return chosen + newest


def settle(report: Report, known: Known, now_s: float) -> Settled:
    """Tell what a report changes and what its device is told."""
    by_ident = {each.ident: each for each in known.rollouts}
    attempts = {}
    changed, failed = [], []
    for ident, before in known.attempts.items():
        if ident not in by_ident:
            continue
        after = attempts[ident] = observe(before, report, by_ident[ident], now_s)
        if after != before:
            changed.append((by_ident[ident], after))
            if after.state is AttemptState.FAILED and before.state is not AttemptState.FAILED:
                failed.append((by_ident[ident], after))
    rollout, decision = _decide(report, attempts, known, now_s)
    if failed:   # it has to be counted before anything new is offered: it may halt the rollout
        decision = Decision(Kind.HOLD, Reason.TELLS_FAILURE)
    attempt = None if rollout is None else attempts.get(rollout.ident)
    under_way = any(each.state in OPEN for each in attempts.values())
    return Settled(tuple(changed), tuple(failed), rollout, attempt, decision, not under_way and not report.failed_manifest)


def _decide(
    report: Report, attempts: Mapping[str, Attempt], known: Known, now_s: float,
) -> tuple[Rollout | None, Decision]:
    """Take the first offer; without any, the word of the first rollout."""
    decisions = [
        (each, decide(report, each, attempts.get(each.ident), failures=known.failures, releases=known.releases, now_s=now_s))
        for each in rollouts_for(report.model, known.rollouts)
    ]
    for rollout, decision in decisions:
        if decision.kind is Kind.OFFER:
            return rollout, decision
    return decisions[0] if decisions else (None, Decision(Kind.HOLD, Reason.NO_ROLLOUT))


def offered(settled: Settled, report: Report, now_s: float) -> Attempt:
    """Tell how the attempt stands once the decision's offer has been made."""
    decision, rollout, before = settled.decision, settled.rollout, settled.attempt
    if rollout is None or decision.manifest is None:
        raise ValueError(f"offered: got a decision to {decision.kind}, expected an offer")
    same_try = before is not None and before.state is AttemptState.OFFERED and before.manifest == decision.manifest
    return Attempt(
        report.device, decision.manifest, decision.counter, AttemptState.OFFERED, rollout.stage,
        first_s=before.first_s if same_try and before is not None else now_s,
        lease_until_s=now_s + rollout.policy.lease_s)
