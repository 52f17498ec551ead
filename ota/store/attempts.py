"""Rows of attempts and failures: what each device did in a rollout, and how often it came back from a release."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, false, func, or_, select

from host.rows import upsert
from ota.rules.values import OPEN, Attempt, AttemptState, Counts, Failures, Rollout, RolloutState
from ota.store import tables
from ota.store.devices import one_of

REASON_CHARS = 200
Scope = Collection[tuple[str, int, int]]   # of a rollout: (model, counter, cohort) of the devices that it may be offered to
COUNTED = 1_000   # waiting and soaking devices are counted up to here: more does not change what is decided


def of_devices(connection: Connection, devices: Sequence[str]) -> dict[str, dict[str, Attempt]]:
    """Read the attempts of some devices: {device: {rollout: attempt}}, with an entry for each device."""
    found: dict[str, dict[str, Attempt]] = {device: {} for device in devices}
    for row in connection.execute(select(tables.attempt).where(tables.attempt.c.device.in_(devices))):
        found[row.device][row.rollout] = _attempt(row)
    return found


def was_directed(connection: Connection, device: str, manifests: Sequence[str]) -> bool:
    """Tell whether a device has an attempt at one of these manifests: it was directed there."""
    table = tables.attempt
    query = select(table.c.device).where(table.c.device == device, table.c.manifest.in_(manifests))
    return connection.execute(query.limit(1)).first() is not None


def tried(connection: Connection) -> dict[str, frozenset[str]]:
    """Read the rollouts in which each device has an attempt, but those that nobody is offered anything from any more."""
    table = tables.attempt
    rollouts = select(tables.rollout.c.rollout).where(tables.rollout.c.state != RolloutState.ABORTED)
    found: dict[str, frozenset[str]] = {}
    same: dict[frozenset[str], frozenset[str]] = {}   # most devices have the same few
    for device, rollout in connection.execute(select(table.c.device, table.c.rollout).where(table.c.rollout.in_(rollouts))):
        both = found.get(device, frozenset()) | {rollout}
        found[device] = same.setdefault(both, both)
    return found


def under_way(connection: Connection) -> Iterable[str]:
    """Read the ids of devices with an attempt that is open, in whichever rollout."""
    table = tables.attempt
    rollouts = select(tables.rollout.c.rollout)   # named, so that the index by rollout and state is used
    return connection.execute(select(table.c.device).where(table.c.rollout.in_(rollouts), table.c.state.in_(OPEN))).scalars()


def put(connection: Connection, rollout: str, attempt: Attempt) -> None:
    """Write an attempt."""
    upsert(connection, tables.attempt, [attempt._asdict() | {"rollout": rollout, "reason": attempt.reason[:REASON_CHARS]}])


def failures(connection: Connection, devices: Sequence[str]) -> dict[str, dict[str, Failures]]:
    """Read how often some devices have come back: {device: {manifest: failures}}, with an entry for each device."""
    found: dict[str, dict[str, Failures]] = {device: {} for device in devices}
    for row in connection.execute(select(tables.failure).where(tables.failure.c.device.in_(devices))):
        found[row.device][row.manifest] = Failures(row.times, row.last_s)
    return found


def add_failure(connection: Connection, attempt: Attempt, now_s: float) -> int:
    """Count that a device came back from the step it was on; tells how often it has by now."""
    upsert(connection, tables.failure, [{
        "device": attempt.device, "manifest": attempt.manifest, "times": 1, "last_s": now_s,
        "reason": attempt.reason[:REASON_CHARS]}], add=["times"])
    return failures(connection, [attempt.device])[attempt.device][attempt.manifest].count


def forgive(connection: Connection, device: str) -> int:
    """Forget a device's failures, so that it is offered everything again; tells how many releases that concerned."""
    return connection.execute(tables.failure.delete().where(tables.failure.c.device == device)).rowcount


def page(connection: Connection, rollout: str, limit: int) -> list[Attempt]:
    """Read a rollout's attempts, those that were settled last first."""
    table = tables.attempt
    query = select(table).where(table.c.rollout == rollout).order_by(
        table.c.settled_s.desc(), table.c.first_s.desc(), table.c.device).limit(limit)
    return [_attempt(row) for row in connection.execute(query)]


def count(connection: Connection, rollout: Rollout, needed: int) -> Counts:
    """Count how the devices of a rollout stand.

    Args:
        needed: soaked devices are counted up to this many before the last stage: more does not change what is decided.
    """
    table, policy = tables.attempt, rollout.policy
    excused = and_(table.c.state.in_((AttemptState.FAILED, AttemptState.LOST)), table.c.settled_s <= rollout.excused_s)
    query = select(table.c.state, func.count()).where(table.c.rollout == rollout.ident, ~excused).group_by(table.c.state)
    number = {AttemptState(state): count for state, count in connection.execute(query)}
    soak_s = policy.soak_s[rollout.stage]
    # Soaked: heard again after the soak, which began with the confirmation or with the stage, whichever was later.
    heard = tables.device.c.last_seen_s
    is_soaked = and_(heard >= rollout.stage_since_s + soak_s, heard >= table.c.confirmed_s + soak_s)
    confirmed = select(table.c.device).join(tables.device, tables.device.c.device == table.c.device).where(
        table.c.rollout == rollout.ident, table.c.state == AttemptState.CONFIRMED)
    kth = connection.execute(select(table.c.confirmed_s).where(
        table.c.rollout == rollout.ident, table.c.state == AttemptState.CONFIRMED).order_by(
        table.c.confirmed_s).offset(needed - 1).limit(1)).scalar()
    soaked = _number(connection, confirmed.where(is_soaked).limit(needed))
    soaking = 0
    if rollout.is_last:
        soaking = _number(connection, confirmed.where(~is_soaked).limit(COUNTED))
        if soaking < COUNTED:   # counted in full, so the others are known too
            soaked = number.get(AttemptState.CONFIRMED, 0) - soaking
    return Counts(
        open=sum(number.get(state, 0) for state in OPEN),
        confirmed=number.get(AttemptState.CONFIRMED, 0),
        soaked=soaked,
        failed=number.get(AttemptState.FAILED, 0),
        lost=number.get(AttemptState.LOST, 0),
        soaking=soaking,
        next_soaked_s=0.0 if kth is None else max(kth, rollout.stage_since_s) + soak_s)


def on_release(connection: Connection, rollout: Rollout) -> int:
    """Count the devices of a rollout that run its release, tried or confirmed."""
    table = tables.attempt
    return int(connection.execute(select(func.count()).where(
        table.c.rollout == rollout.ident, table.c.state.in_((AttemptState.TRIAL, AttemptState.CONFIRMED)))).scalar_one())


def overdue(connection: Connection, rollout: Rollout, now_s: float) -> list[tuple[Attempt, float]]:
    """Read attempts whose device may be lost, and when it was last heard; `rules.attempts.is_overdue` has the last word."""
    table, lease_s = tables.attempt, rollout.policy.lease_s
    query = select(table, tables.device.c.last_seen_s).join(
        tables.device, tables.device.c.device == table.c.device).where(
        table.c.rollout == rollout.ident,
        or_(and_(table.c.state.in_(OPEN), table.c.lease_until_s < now_s),
            and_(table.c.state == AttemptState.CONFIRMED, tables.device.c.last_seen_s < now_s - lease_s)))
    return [(_attempt(row), row.last_seen_s) for row in connection.execute(query)]


def candidates(connection: Connection, rollout: Rollout, scope: Scope, since_s: float) -> list[str]:
    """Read the devices that a small rollout is about: those of its scope that were heard, not quarantined; all with an attempt."""
    device, attempt = tables.device, tables.attempt
    mine = and_(attempt.c.device == device.c.device, attempt.c.rollout == rollout.ident)
    query = select(device.c.device).join(attempt, mine, isouter=True).where(
        or_(attempt.c.device.is_not(None), _eligible(rollout, scope, since_s)))
    return list(connection.execute(query).scalars())


def waiting(connection: Connection, rollout: Rollout, scope: Scope, since_s: float) -> int:
    """Count the devices of a rollout's scope that it was never offered to; up to COUNTED."""
    device, attempt = tables.device, tables.attempt
    offered = exists().where(attempt.c.device == device.c.device, attempt.c.rollout == rollout.ident)
    return _number(connection, select(device.c.device).where(_eligible(rollout, scope, since_s), ~offered).limit(COUNTED))


def _eligible(rollout: Rollout, scope: Scope, since_s: float) -> ColumnElement[bool]:
    device, failure = tables.device, tables.failure
    quarantined = exists().where(
        failure.c.device == device.c.device, failure.c.manifest == rollout.release.manifest,
        failure.c.times >= rollout.policy.quarantine_after)
    cohorts: dict[tuple[str, int], list[int]] = {}
    for model, counter, cohort in scope:
        cohorts.setdefault((model, counter), []).append(cohort)
    groups = [and_(device.c.model == model, device.c.counter == counter, one_of(device.c.cohort, idents))
              for (model, counter), idents in cohorts.items()]
    return and_(or_(false(), *groups), device.c.last_seen_s >= since_s, ~quarantined)


def _number(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(row.device, row.manifest, row.counter, AttemptState(row.state), row.stage, row.first_s, row.lease_until_s,
                   row.confirmed_s, row.settled_s, row.reason)
