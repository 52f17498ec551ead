"""Rows of rollouts: the rollout itself, its stages and its history. What the devices did in it is in `attempts`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, select

from ota.rules import filters
from ota.rules.rollout import OFFERING
from ota.rules.values import Policy, Release, Rollout, RolloutState
from ota.store import outbox, tables

REASON_CHARS = 400
READ: dict[str, Callable[[Any], Any]] = {   # what JSON cannot keep of a policy; the others are numbers
    "stages": tuple, "soak_s": tuple, "windows": tuple, "filter": filters.from_json,
}


def insert(connection: Connection, rollout: Rollout, now_s: float, by: str) -> None:
    """Add a rollout."""
    connection.execute(tables.rollout.insert().values(
        rollout=rollout.ident, manifest=rollout.release.manifest, policy=asdict(rollout.policy), offered=rollout.offered,
        added_s=now_s, added_by=by, **_changing(rollout)))


def save(connection: Connection, rollout: Rollout) -> None:
    """Write what changes in a rollout; `offered` is only ever changed by `take_place`."""
    connection.execute(
        tables.rollout.update().where(tables.rollout.c.rollout == rollout.ident).values(**_changing(rollout)))


def take_place(connection: Connection, rollout: Rollout) -> bool:
    """Take one of the stage's places, if the rollout still offers in this stage and has one left.

    The condition stands in the statement itself: it holds even if everything that was read before is out of date.
    """
    table = tables.rollout
    done = connection.execute(table.update().where(
        table.c.rollout == rollout.ident, table.c.state.in_(OFFERING), table.c.stage == rollout.stage,
        table.c.offered < table.c.capacity).values(offered=table.c.offered + 1))
    return done.rowcount == 1


def get(connection: Connection, ident: str) -> Rollout | None:
    """Read one rollout."""
    found = _select(connection, tables.rollout.c.rollout == ident)
    return found[0] if found else None


def all_rollouts(connection: Connection) -> list[Rollout]:
    """Read all rollouts, newest first."""
    return _select(connection)


def in_states(connection: Connection, states: Sequence[RolloutState]) -> list[Rollout]:
    """Read the rollouts in some states, newest first."""
    return _select(connection, tables.rollout.c.state.in_(states))


def added(connection: Connection, ident: str) -> tuple[float, str]:
    """Tell when and by whom a rollout was added."""
    row = connection.execute(select(tables.rollout.c.added_s, tables.rollout.c.added_by).where(
        tables.rollout.c.rollout == ident)).one()
    return row.added_s, row.added_by


def open_stage(connection: Connection, rollout: Rollout, baseline: dict[str, Any]) -> None:
    """Write that the rollout's stage has opened; opening it again (after a resume) starts its comparison anew."""
    table = tables.stage
    connection.execute(table.delete().where(table.c.rollout == rollout.ident, table.c.stage == rollout.stage))
    connection.execute(table.insert().values(
        rollout=rollout.ident, stage=rollout.stage, opened_s=rollout.stage_since_s, baseline=baseline))


def keep_gathered(connection: Connection, rollout: Rollout, gathered: dict[str, Any]) -> None:
    """Write what the stage's comparisons know now."""
    table = tables.stage
    connection.execute(table.update().where(table.c.rollout == rollout.ident, table.c.stage == rollout.stage).values(
        gathered=gathered))


def close_stage(connection: Connection, rollout: Rollout, now_s: float, summary: dict[str, Any]) -> None:
    """Write how a stage ended."""
    table = tables.stage
    connection.execute(table.update().where(table.c.rollout == rollout.ident, table.c.stage == rollout.stage).values(
        closed_s=now_s, summary=summary))


def stages(connection: Connection, ident: str) -> dict[int, Row[Any]]:
    """Read the rows of the stages that have opened, by index."""
    query = select(tables.stage).where(tables.stage.c.rollout == ident)
    return {row.stage: row for row in connection.execute(query)}


def note(connection: Connection, rollout: Rollout, event: str, now_s: float, *, by: str, reason: str) -> None:
    """Append to a rollout's history, and have webhooks told."""
    connection.execute(tables.history.insert().values(
        rollout=rollout.ident, at_s=now_s, event=event, stage=rollout.stage, by=by, reason=reason[:REASON_CHARS]))
    outbox.add(connection, f"rollout.{event}", now_s, rollout=rollout.ident, manifest=rollout.release.manifest,
               release=rollout.release.release, stage=rollout.stage, by=by, reason=reason[:REASON_CHARS])


def history(connection: Connection, ident: str) -> Sequence[Row[Any]]:
    """Read a rollout's history, oldest first."""
    return connection.execute(select(tables.history).where(tables.history.c.rollout == ident).order_by(
        tables.history.c.ident)).all()


def _select(connection: Connection, *conditions: Any) -> list[Rollout]:
    query = select(tables.rollout, tables.release.c.release, tables.release.c.counter, tables.release.c.models,
                   tables.release.c.from_lo, tables.release.c.from_hi, tables.release.c.stone).join_from(
        tables.rollout, tables.release).where(*conditions).order_by(tables.rollout.c.added_s.desc())
    return [_rollout(row) for row in connection.execute(query)]


def _rollout(row: Row[Any]) -> Rollout:
    release = Release(row.manifest, row.release, row.counter, tuple(row.models), row.from_lo, row.from_hi, row.stone)
    policy = Policy(**{key: READ[key](value) if key in READ else value for key, value in row.policy.items()})
    return Rollout(
        row.rollout, release, policy, RolloutState(row.state), stage=row.stage, stage_since_s=row.stage_since_s,
        excused_s=row.excused_s, population=row.population, capacity=row.capacity, limit=row.bucket_limit,
        offered=row.offered, reason=row.reason, added_s=row.added_s)


def _changing(rollout: Rollout) -> dict[str, Any]:
    return {"state": rollout.state, "stage": rollout.stage, "stage_since_s": rollout.stage_since_s,
            "excused_s": rollout.excused_s, "population": rollout.population, "capacity": rollout.capacity,
            "bucket_limit": rollout.limit, "reason": rollout.reason[:REASON_CHARS]}
