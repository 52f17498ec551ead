"""What a device's report means for its attempt: a table from (state, what was seen) to the next state.

Success is the device's own word that it runs the release, confirmed; never that it was told to or has downloaded it. A later
fallback turns success into failure. Nothing here decides what to offer next (`rollout`).
"""

from enum import StrEnum

from ota.rules.rollout import ALTERED, OFFERING
from ota.rules.values import OPEN, Attempt, AttemptState, Report, Rollout

STEPPED = "on a stepping stone"   # reason of an attempt whose next step is due
PATIENCE = 4   # a device that reports but does not get there within so many leases has failed


class Seen(StrEnum):
    """What one report says about the step under way."""

    BEFORE = "before"        # runs something older, and tells of no failure
    TRIAL = "trial"          # runs the step (or newer), unconfirmed
    CONFIRMED = "confirmed"  # runs the step (or newer), confirmed
    FAILED = "failed"        # tells that it came back from the step
    ALTERED = "altered"      # tells that bytes on their way to it were altered: no word on the release
    PAST = "past"            # runs something newer than the rollout's release


S, A = Seen, AttemptState
NEXT: dict[AttemptState, dict[Seen, AttemptState]] = {
    A.OFFERED:    {S.BEFORE: A.OFFERED, S.TRIAL: A.TRIAL, S.CONFIRMED: A.CONFIRMED, S.FAILED: A.FAILED, S.ALTERED: A.OFFERED,
                   S.PAST: A.SUPERSEDED},
    # A device that is back on its old version after a trial has fallen back, even if it does not say so.
    A.TRIAL:      {S.BEFORE: A.FAILED, S.TRIAL: A.TRIAL, S.CONFIRMED: A.CONFIRMED, S.FAILED: A.FAILED, S.ALTERED: A.FAILED,
                   S.PAST: A.SUPERSEDED},
    A.CONFIRMED:  {S.BEFORE: A.FAILED, S.TRIAL: A.TRIAL, S.CONFIRMED: A.CONFIRMED, S.FAILED: A.FAILED, S.ALTERED: A.FAILED,
                   S.PAST: A.CONFIRMED},
    # A final word is taken however late. FAILED is told again until the device has heard our answer: that is one failure.
    A.FAILED:     {S.BEFORE: A.FAILED, S.TRIAL: A.TRIAL, S.CONFIRMED: A.CONFIRMED, S.FAILED: A.FAILED, S.ALTERED: A.FAILED,
                   S.PAST: A.FAILED},
    A.LOST:       {S.BEFORE: A.LOST, S.TRIAL: A.TRIAL, S.CONFIRMED: A.CONFIRMED, S.FAILED: A.FAILED, S.ALTERED: A.LOST,
                   S.PAST: A.LOST},
    A.SUPERSEDED: {S.BEFORE: A.SUPERSEDED, S.TRIAL: A.TRIAL, S.CONFIRMED: A.CONFIRMED, S.FAILED: A.FAILED,
                   S.ALTERED: A.SUPERSEDED, S.PAST: A.SUPERSEDED},
}


def seen(attempt: Attempt, report: Report, rollout: Rollout) -> Seen:
    """Read a report with regard to the step under way."""
    if report.failed_manifest == attempt.manifest:
        return Seen.ALTERED if report.failed_reason in ALTERED else Seen.FAILED
    if report.counter > rollout.release.counter:
        return Seen.PAST
    if report.counter < attempt.counter:
        return Seen.BEFORE
    return Seen.TRIAL if report.trial else Seen.CONFIRMED


def observe(attempt: Attempt, report: Report, rollout: Rollout, now_s: float) -> Attempt:
    """Take a report into account.

    Returns:
        The attempt as it stands now; equal to the argument when the report brings nothing new. A stepping stone that is
        confirmed leaves the attempt OFFERED, with a new lease: the next step is due.
    """
    what = seen(attempt, report, rollout)
    state = NEXT[attempt.state][what]
    if state is AttemptState.CONFIRMED and report.counter < rollout.release.counter:
        if attempt.state is AttemptState.OFFERED and attempt.reason == STEPPED:
            return _renewed(attempt, rollout, now_s)
        return attempt._replace(state=AttemptState.OFFERED, reason=STEPPED, first_s=now_s,
                                lease_until_s=now_s + rollout.policy.lease_s)
    if what is Seen.ALTERED and state is AttemptState.OFFERED:   # told again until the device has heard our answer
        told = attempt if attempt.reason in ALTERED else attempt._replace(reason=report.failed_reason, settled_s=now_s)
        return _renewed(told, rollout, now_s)
    if state is attempt.state:
        return _patience(attempt, rollout, now_s) if state in OPEN else attempt
    if state is AttemptState.FAILED:
        reason = report.failed_reason if what in (Seen.FAILED, Seen.ALTERED) else f"runs {report.release} again without a reason"
        return attempt._replace(state=state, settled_s=now_s, confirmed_s=0.0, reason=reason)
    confirmed_s = now_s if state is AttemptState.CONFIRMED else 0.0
    return attempt._replace(state=state, confirmed_s=confirmed_s, reason="", lease_until_s=now_s + rollout.policy.lease_s)


def is_overdue(attempt: Attempt, last_seen_s: float, rollout: Rollout, now_s: float) -> bool:
    """Tell whether the device was lost: touched by the release and then silent for longer than the lease."""
    if attempt.state in OPEN:
        return now_s > attempt.lease_until_s
    return attempt.state is AttemptState.CONFIRMED and now_s > last_seen_s + rollout.policy.lease_s


def _patience(attempt: Attempt, rollout: Rollout, now_s: float) -> Attempt:
    if rollout.state not in OFFERING:   # the device is not helped on, so it is not blamed: its try begins anew
        return _renewed(attempt._replace(first_s=now_s), rollout, now_s)
    if now_s > max(attempt.first_s, attempt.settled_s) + PATIENCE * rollout.policy.lease_s:
        return attempt._replace(state=AttemptState.FAILED, settled_s=now_s,
                                reason=f"{attempt.state} for more than {PATIENCE} leases of {rollout.policy.lease_s:g} s")
    return _renewed(attempt, rollout, now_s)


def _renewed(attempt: Attempt, rollout: Rollout, now_s: float) -> Attempt:
    return attempt._replace(lease_until_s=max(attempt.lease_until_s, now_s + rollout.policy.lease_s))
