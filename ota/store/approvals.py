"""Rows of what waits for a second person: at most one a rollout."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from host.rows import upsert
from ota.rules.rollout import Event
from ota.store import tables


@dataclass(frozen=True)
class Request:
    """A start or a resume that somebody asked for; `people` are all names behind who asked."""

    event: Event
    asked_s: float
    asked_by: str
    people: tuple[str, ...]
    reason: str


def ask(connection: Connection, rollout: str, request: Request) -> None:
    """Keep a request; it replaces an earlier one."""
    upsert(connection, tables.approval, [{
        "rollout": rollout, "event": str(request.event), "asked_s": request.asked_s, "asked_by": request.asked_by,
        "people": list(request.people), "reason": request.reason}])


def get(connection: Connection, rollout: str) -> Request | None:
    """Read what waits."""
    row = connection.execute(select(tables.approval).where(tables.approval.c.rollout == rollout)).first()
    return None if row is None else Request(Event(row.event), row.asked_s, row.asked_by, tuple(row.people), row.reason)


def drop(connection: Connection, rollout: str) -> None:
    """Forget what waits: it was carried out, or the rollout has moved on."""
    connection.execute(tables.approval.delete().where(tables.approval.c.rollout == rollout))
