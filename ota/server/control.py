"""What moves rollouts: operators' commands and the tick. Each is one writing transaction over what it has read inside it.

Decides nothing itself: `rules.rollout` has the table of moves, the survey has the gate's word.
"""

import logging
import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine

from ota.rules import attempts as attempt_rules
from ota.rules.access import is_second
from ota.rules.events import Happened
from ota.rules.paths import hop_allowed
from ota.rules.rollout import Event, PolicyError, RolloutError, check_policy, move
from ota.rules.values import ACTIVE, AttemptState, Filter, Policy, Release, Rollout, RolloutState
from ota.server.survey import Survey, baseline, keep, measured, must_keep, summary, survey
from ota.store import approvals, attempts, history, releases, rollouts
from ota.store.releases import Published
from ota.store.session import reading, writing

GATE, SCHEDULE = "gate", "schedule"   # who moves a rollout when no operator does
QUICK = (10, 100)        # stages of a rollback: what devices go back to is known to be good
QUICK_SOAK_S = 3_600.0   # of each; shorter if the server's default is
log = logging.getLogger(__name__)


class UnknownError(Exception):
    """There is no such rollout or release."""


class RollbackError(Exception):
    """A release does not lead devices back from another; the message tells got and expected."""
class ApprovalError(Exception):
    """Nothing waits for approval, or the one who approves is the one who asked; `code` tells which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code




def create(
    engine: Engine, manifest: str, policy: Policy, now_s: float, *, by: str, start: bool, asks: Collection[str] = (),
) -> Rollout:
    """Add a rollout for a published release, and start it if told so.

    Args:
        asks: the names behind who calls, where another person must approve a start; it is then asked for.

    Raises:
        UnknownError: the release is not published.
        PolicyError: the policy is invalid.
    """
    check_policy(policy)
    with writing(engine) as connection:
        return _create(connection, _published(connection, manifest), policy, now_s, by=by, start=start, reason="", asks=asks)


def rollback(engine: Engine, ident: str, manifest: str, policy: Policy, now_s: float, *, by: str, reason: str = "",
             asks: Collection[str] = ()) -> Rollout:
    """Lead the devices that run a bad release back to older content, by a newer release: counters never fall.

    Every rollout of the bad release is aborted, and one of the other release is started.

    Args:
        ident: a rollout of the bad release.
        manifest: of the release that brings the older content again.
        policy: of the new rollout; `rollback_policy` gives its defaults.

    Raises:
        UnknownError: there is no such rollout or release.
        PolicyError: the policy is invalid.
        RollbackError: the release is no way back from the bad one.
    """
    check_policy(policy)
    with writing(engine) as connection:
        bad = _known(connection, ident).release
        found = _published(connection, manifest)
        _check_way_back(connection, found, bad)
        reason = reason or f"rolled back to {found.release.release} by {by}"
        for each in rollouts.all_rollouts(connection):
            if each.release.manifest == bad.manifest and each.state is not RolloutState.ABORTED:
                _moved(connection, each, Event.ABORT, now_s, by=by, reason=reason)
        return _create(connection, found, policy, now_s, by=by, start=True, reason=f"back from {bad.release}: {reason}", asks=asks)


def rollback_policy(engine: Engine, ident: str, default: Policy) -> Policy:
    """Tell the defaults of a rollback: few and quick stages, for whatever runs the bad release.

    Raises:
        UnknownError: there is no such rollout.
    """
    with reading(engine) as connection:
        bad = _known(connection, ident).release
    soak_s = min(QUICK_SOAK_S, default.soak_s[0])
    return replace(default, stages=QUICK, soak_s=(soak_s,) * len(QUICK), filter=Filter(versions=(bad.counter, bad.counter)),
                   windows=(), start_at=0.0, not_after=0.0)


def command(
    engine: Engine, ident: str, event: Event, now_s: float, *, by: str, reason: str = "", asks: Collection[str] = (),
) -> Rollout:
    """Carry out an operator's command.

    Args:
        asks: as for `create`; going on after a halt then waits for approval too, going on after a pause does not.

    Resuming excuses the failures so far (an operator has looked) and opens the stage anew, with its whole soak.

    Raises:
        UnknownError: there is no such rollout.
        RolloutError: the command does not fit the state.
    """
    with writing(engine) as connection:
        rollout = _known(connection, ident)
        if event in (Event.START, Event.RESUME):
            return _asked_or_started(connection, rollout, now_s, event=event, by=by, reason=reason, asks=asks)
        if event not in (Event.PAUSE, Event.ABORT):
            raise RolloutError(f"got {event}, expected start, pause, resume or abort")
        return _moved(connection, rollout, event, now_s, by=by, reason=reason or f"{event} by {by}")


def approve(engine: Engine, ident: str, now_s: float, *, by: str, people: Collection[str], reason: str = "") -> Rollout:
    """Carry out what another person asked for.

    Args:
        people: the names behind who approves.

    Raises:
        UnknownError, RolloutError: as for `command`.
        ApprovalError: nothing waits, or one name stands behind both.
    """
    with writing(engine) as connection:
        rollout = _known(connection, ident)
        asked = approvals.get(connection, ident)
        if asked is None:
            raise ApprovalError("approval.none", f"rollout {ident} does not wait for approval")
        if not is_second(asked.people, people):
            raise ApprovalError("approval.same", f"{by} cannot approve what {asked.asked_by} asked for: it takes another person")
        rollouts.note(connection, rollout, "approve", now_s, by=by, reason=reason or f"{asked.event} asked by {asked.asked_by}")
        return _start(connection, rollout, now_s, event=asked.event, by=asked.asked_by, reason=asked.reason)


def tick(engine: Engine, now_s: float) -> list[Survey]:
    """Look at every rollout: mark lost devices, count the fleet, advance, halt, finish or end it, start what was planned.

    Reads first and takes the write lock only where something changes; then everything is read again under it, so any number
    of processes may tick.

    Returns:
        The surveys that led to a change.
    """
    changes = []
    with reading(engine) as connection:
        published = releases.usable(connection)
        pending = [each.ident for each in rollouts.in_states(connection, ACTIVE)
                   if _is_due(connection, each, published, now_s)]
    for ident in pending:
        with writing(engine) as connection:
            rollout = rollouts.get(connection, ident)
            if rollout is not None and rollout.state in ACTIVE:
                changes.append(act(connection, rollout, releases.usable(connection), now_s))
    return changes


def start_planned(engine: Engine, now_s: float) -> bool:
    """Start the rollouts whose time has come; tells whether there were any."""
    with reading(engine) as connection:
        due = [each.ident for each in rollouts.in_states(connection, [RolloutState.PLANNED]) if each.policy.start_at <= now_s]
    for ident in due:
        with writing(engine) as connection:
            rollout = _known(connection, ident)
            if rollout.state is RolloutState.PLANNED:   # no other process was faster
                _start(connection, rollout, now_s, event=Event.START, by=SCHEDULE)
    return bool(due)


def withdraw(connection: Connection, manifests: Collection[str], now_s: float, *, by: str, reason: str) -> list[str]:
    """Abort the rollouts of releases that devices must not be offered any more; tells which."""
    going = [each for each in rollouts.all_rollouts(connection)
             if each.release.manifest in manifests and each.state is not RolloutState.ABORTED]
    for rollout in going:
        _moved(connection, rollout, Event.ABORT, now_s, by=by, reason=reason)
    return [each.ident for each in going]


def act(connection: Connection, rollout: Rollout, published: Sequence[Release], now_s: float) -> Survey:
    """Do what a survey asks for, inside a writing transaction."""
    for attempt, last_seen_s in attempts.overdue(connection, rollout, now_s):
        if attempt_rules.is_overdue(attempt, last_seen_s, rollout, now_s):
            lost = attempt._replace(state=AttemptState.LOST, settled_s=now_s, confirmed_s=0.0,
                                    reason=f"silent since {now_s - last_seen_s:.0f} s, {attempt.state} before")
            attempts.put(connection, rollout.ident, lost)
            history.note(connection, [history.Event(attempt.device, int(now_s), Happened.LOST, attempt.counter, lost.reason)])
    found = survey(connection, rollout, published, now_s)
    keep(connection, found)
    event = _event(rollout, found)
    fresh = found.rollout
    if event is None:
        rollouts.save(connection, fresh)
        return found
    rollouts.close_stage(connection, fresh, now_s, summary(found))
    if event is Event.ADVANCE:
        _opened(connection, replace(fresh, stage=fresh.stage + 1, reason=found.step.reason), published, now_s)
        rollouts.note(connection, fresh, event, now_s, by=GATE, reason=found.step.reason)
    else:
        _moved(connection, fresh, event, now_s, by=SCHEDULE if event is Event.ABORT else GATE, reason=found.step.reason)
    log.info("rollout %s of %s: %s at stage %d: %s", fresh.ident, fresh.release.release, event, fresh.stage, found.step.reason)
    return found


def _is_due(connection: Connection, rollout: Rollout, published: Sequence[Release], now_s: float) -> bool:
    if attempts.overdue(connection, rollout, now_s):
        return True
    found = survey(connection, rollout, published, now_s)
    return _event(rollout, found) is not None or found.rollout != rollout or must_keep(found, now_s)


def _event(rollout: Rollout, found: Survey) -> Event | None:
    """What the survey asks for, as far as the state allows: a paused rollout can be halted but does not advance."""
    if rollout.state is RolloutState.PAUSED and found.step.event is not Event.HALT:
        return None
    return found.step.event


def _known(connection: Connection, ident: str) -> Rollout:
    rollout = rollouts.get(connection, ident)
    if rollout is None:
        raise UnknownError(f"rollout {ident[:40]!r} does not exist")
    return rollout


def _published(connection: Connection, manifest: str) -> Published:
    published = releases.get(connection, manifest)
    if published is None:
        raise UnknownError(f"release {manifest} is not published")
    if published.release.counter < releases.min_counter(connection):
        raise UnknownError(f"release {published.release.release} was withdrawn: it is below the root's floor")
    if published.retired_s is not None:
        raise UnknownError(f"release {published.release.release} was retired")
    return published


def _create(
    connection: Connection, published: Published, policy: Policy, now_s: float, *, by: str, start: bool, reason: str,
    asks: Collection[str] = (),
) -> Rollout:
    foreign = sorted(set(policy.filter.models) - set(published.release.models))
    if foreign:
        raise PolicyError(f"filter.models: got {foreign[0]}, expected some of {', '.join(published.release.models)}")
    rollout = Rollout("r" + secrets.token_hex(6), published.release, policy, added_s=now_s)
    rollouts.insert(connection, rollout, now_s, by)
    rollouts.note(connection, rollout, "create", now_s, by=by, reason=reason)
    if not start:
        return rollout
    return _asked_or_started(connection, rollout, now_s, event=Event.START, by=by, reason=reason, asks=asks)


def _check_way_back(connection: Connection, found: Published, bad: Release) -> None:
    """Refuse a release that is not older content for all devices that run the bad one."""
    release = found.release
    if not hop_allowed(bad.counter, release) or not set(bad.models) <= set(release.models):
        raise RollbackError(
            f"got counter {release.counter} over {release.from_lo}..{release.from_hi} for {', '.join(release.models)}, expected a "
            f"higher counter than {bad.counter} that may be installed over it, for {', '.join(bad.models)}")
    published = releases.all_published(connection)
    if found.image is None and any(each.release == bad and each.image for each in published):
        raise RollbackError(f"got a release without an image, expected one with it: {bad.release} has brought another interpreter")
    older = [each for each in published if each.release.counter < bad.counter]
    if not any((each.artifact, each.image) == (found.artifact, found.image) for each in older):
        raise RollbackError(f"got a release with parts of its own, expected those of a release that is older than {bad.release}: "
                            f"make it with `tenfold release again`")


def _asked_or_started(
    connection: Connection, rollout: Rollout, now_s: float, *, event: Event, by: str, reason: str = "", asks: Collection[str] = (),
) -> Rollout:
    """Start it, or ask for that where another person must approve: everywhere but after a pause."""
    if not asks or rollout.state is RolloutState.PAUSED:
        return _start(connection, rollout, now_s, event=event, by=by, reason=reason)
    move(rollout.state, event)   # what cannot be is not asked for
    approvals.ask(connection, rollout.ident, approvals.Request(event, now_s, by, tuple(sorted(asks)), reason))
    rollouts.note(connection, rollout, "ask", now_s, by=by, reason=reason or f"{event} by {by}")
    return rollout


def _start(connection: Connection, rollout: Rollout, now_s: float, *, event: Event, by: str, reason: str = "") -> Rollout:
    approvals.drop(connection, rollout.ident)
    reason = reason or f"{event} by {by}"
    if rollout.state is RolloutState.DRAFT and rollout.policy.start_at > now_s:
        return _moved(connection, rollout, Event.PLAN, now_s, by=by, reason=reason)
    moved = replace(rollout, state=move(rollout.state, event), excused_s=now_s if event is Event.RESUME else 0.0)
    opened = _opened(connection, replace(moved, reason=reason), releases.usable(connection), now_s)
    rollouts.note(connection, opened, event, now_s, by=by, reason=reason)
    return opened


def _opened(connection: Connection, rollout: Rollout, published: Sequence[Release], now_s: float) -> Rollout:
    fresh = measured(connection, replace(rollout, stage_since_s=now_s), published, now_s).rollout
    rollouts.save(connection, fresh)
    rollouts.open_stage(connection, fresh, baseline(connection, fresh))
    return fresh


def _moved(connection: Connection, rollout: Rollout, event: Event, now_s: float, *, by: str, reason: str) -> Rollout:
    moved = replace(rollout, state=move(rollout.state, event), reason=reason)
    approvals.drop(connection, rollout.ident)
    rollouts.save(connection, moved)
    rollouts.note(connection, moved, event, now_s, by=by, reason=reason)
    return moved
