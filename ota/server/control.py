"""What moves rollouts: operators' commands and the tick. Each is one writing transaction over what it has read inside it.

Decides nothing itself: `rules.rollout` has the table of moves, the survey has the gate's word.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine

from ota.rules import attempts as attempt_rules
from ota.rules.rollout import Event, RolloutError, check_policy, move
from ota.rules.values import ACTIVE, AttemptState, Policy, Release, Rollout, RolloutState
from ota.server.survey import Survey, baseline, keep, measured, must_keep, summary, survey
from ota.store import attempts, releases, rollouts
from ota.store.session import reading, writing

GATE = "gate"
log = logging.getLogger(__name__)


class UnknownError(Exception):
    """There is no such rollout or release."""


class OverlapError(Exception):
    """Another rollout for one of the models is under way: two at once would blur each other's health."""


def create(engine: Engine, manifest: str, policy: Policy, now_s: float, *, by: str, start: bool) -> Rollout:
    """Add a rollout for a published release, and start it if told so.

    Raises:
        UnknownError: the release is not published.
        PolicyError: the policy is invalid.
        OverlapError: it was to start and another one is under way.
    """
    check_policy(policy)
    with writing(engine) as connection:
        published = releases.get(connection, manifest)
        if published is None:
            raise UnknownError(f"release {manifest} is not published")
        if published.release.counter < releases.min_counter(connection):
            raise UnknownError(f"release {published.release.release} was withdrawn: it is below the root's floor")
        rollout = Rollout("r" + secrets.token_hex(6), published.release, policy)
        rollouts.insert(connection, rollout, now_s, by)
        rollouts.note(connection, rollout, "create", now_s, by=by, reason="")
        if start:
            rollout = _start(connection, rollout, now_s, event=Event.START, by=by)
    return rollout


def command(engine: Engine, ident: str, event: Event, now_s: float, *, by: str, reason: str = "") -> Rollout:
    """Carry out an operator's command.

    Resuming excuses the failures so far (an operator has looked) and opens the stage anew, with its whole soak.

    Raises:
        UnknownError: there is no such rollout.
        RolloutError: the command does not fit the state.
        OverlapError: it would run beside another one.
    """
    with writing(engine) as connection:
        rollout = rollouts.get(connection, ident)
        if rollout is None:
            raise UnknownError(f"rollout {ident[:40]!r} does not exist")
        if event in (Event.START, Event.RESUME):
            return _start(connection, rollout, now_s, event=event, by=by, reason=reason)
        if event not in (Event.PAUSE, Event.ABORT):
            raise RolloutError(f"got {event}, expected start, pause, resume or abort")
        return _moved(connection, rollout, event, now_s, by=by, reason=reason or f"{event} by {by}")


def tick(engine: Engine, now_s: float) -> list[Survey]:
    """Look at every rollout under way: mark lost devices, count the fleet, advance, halt or finish.

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


def withdraw(connection: Connection, floor: int, now_s: float, *, by: str) -> None:
    """Abort the rollouts whose release lies below a new root's floor: devices would refuse it."""
    for rollout in rollouts.all_rollouts(connection):
        if rollout.release.counter < floor and rollout.state is not RolloutState.ABORTED:
            _moved(connection, rollout, Event.ABORT, now_s, by=by, reason=f"withdrawn: below the root's floor {floor}")


def act(connection: Connection, rollout: Rollout, published: Sequence[Release], now_s: float) -> Survey:
    """Do what a survey asks for, inside a writing transaction."""
    for attempt, last_seen_s in attempts.overdue(connection, rollout, now_s):
        if attempt_rules.is_overdue(attempt, last_seen_s, rollout, now_s):
            lost = replace(attempt, state=AttemptState.LOST, settled_s=now_s, confirmed_s=0.0,
                           reason=f"silent since {now_s - last_seen_s:.0f} s, {attempt.state} before")
            attempts.put(connection, rollout.ident, lost)
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
        _moved(connection, fresh, event, now_s, by=GATE, reason=found.step.reason)
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


def _start(connection: Connection, rollout: Rollout, now_s: float, *, event: Event, by: str, reason: str = "") -> Rollout:
    moved = replace(rollout, state=move(rollout.state, event), excused_s=now_s if event is Event.RESUME else 0.0)
    for other in rollouts.in_states(connection, ACTIVE):
        shared = set(other.release.models) & set(rollout.release.models)
        if other.ident != rollout.ident and shared:
            models = ", ".join(sorted(shared))
            raise OverlapError(f"rollout {other.ident} of {other.release.release} for {models} is {other.state}")
    reason = reason or f"{event} by {by}"
    opened = _opened(connection, replace(moved, reason=reason), releases.usable(connection), now_s)
    rollouts.note(connection, opened, event, now_s, by=by, reason=reason)
    return opened


def _opened(connection: Connection, rollout: Rollout, published: Sequence[Release], now_s: float) -> Rollout:
    fresh, _ = measured(connection, replace(rollout, stage_since_s=now_s), published, now_s)
    rollouts.save(connection, fresh)
    rollouts.open_stage(connection, fresh, baseline(connection, fresh))
    return fresh


def _moved(connection: Connection, rollout: Rollout, event: Event, now_s: float, *, by: str, reason: str) -> Rollout:
    moved = replace(rollout, state=move(rollout.state, event), reason=reason)
    rollouts.save(connection, moved)
    rollouts.note(connection, moved, event, now_s, by=by, reason=reason)
    return moved
