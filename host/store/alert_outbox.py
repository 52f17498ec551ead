"""Notices that are still to be sent, and how far each delivery has got.

Decides that notices of one alert reach a target in their order, while those of others pass by. A delivery is taken for a while by
whoever tries it; it is gone when the target has taken it.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from host.store import tables as t

KEPT = 10_000   # notices; a target that is further behind misses the oldest


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice for one target. `ident` is the notice's number; `tries` have failed so far."""

    target: str
    ident: int
    alert: str
    tries: int
    due_ms: int
    body: dict[str, Any]


def add(connection: Connection, now_ms: int, severity: str, body: dict[str, Any], targets: Sequence[str]) -> int:
    """Write a notice and its deliveries; gives its number. Beyond KEPT the oldest go."""
    table = t.alert_notice
    done = connection.execute(table.insert().values(at_ms=now_ms, alert=body["alert"], severity=severity, body=json.dumps(body)))
    (ident,) = done.inserted_primary_key or (0,)
    if targets:
        connection.execute(t.alert_delivery.insert(), [
            {"target": target, "notice": ident, "alert": body["alert"], "tries": 0, "due_ms": now_ms, "error": ""}
            for target in targets])
    connection.execute(table.delete().where(table.c.id <= ident - KEPT))
    connection.execute(t.alert_delivery.delete().where(t.alert_delivery.c.notice <= ident - KEPT))
    return int(ident)


def next_for(connection: Connection, target: str, now_ms: int) -> Delivery | None:
    """Read the oldest delivery of a target that is due and is the first of its alert; None when there is none."""
    first = (
        select(func.min(t.alert_delivery.c.notice)).where(t.alert_delivery.c.target == target).group_by(t.alert_delivery.c.alert)
    )
    row = connection.execute(
        select(t.alert_delivery, t.alert_notice.c.body).join(t.alert_notice, t.alert_notice.c.id == t.alert_delivery.c.notice)
        .where(t.alert_delivery.c.target == target, t.alert_delivery.c.notice.in_(first), t.alert_delivery.c.due_ms <= now_ms)
        .order_by(t.alert_delivery.c.notice).limit(1)
    ).first()
    if row is None:
        return None
    return Delivery(row.target, row.notice, row.alert, row.tries, row.due_ms, json.loads(row.body))


def claim(connection: Connection, one: Delivery, until_ms: int) -> bool:
    """Take a delivery for a while; False when another process was faster."""
    done = connection.execute(update(t.alert_delivery).where(
        *_is(one), t.alert_delivery.c.tries == one.tries, t.alert_delivery.c.due_ms == one.due_ms).values(due_ms=until_ms))
    return done.rowcount == 1


def taken(connection: Connection, one: Delivery) -> None:
    """The target has taken it, or it is given up: nothing remains to be done."""
    connection.execute(delete(t.alert_delivery).where(*_is(one)))


def failed(connection: Connection, one: Delivery, due_ms: int, error: str) -> None:
    """A try failed; the next one is due at a time."""
    connection.execute(update(t.alert_delivery).where(*_is(one)).values(tries=one.tries + 1, due_ms=due_ms, error=error))


def drop_others(connection: Connection, targets: Iterable[str]) -> int:
    """Drop the deliveries of targets that are not in the settings any more."""
    return connection.execute(delete(t.alert_delivery).where(t.alert_delivery.c.target.not_in(list(targets)))).rowcount


def waiting(connection: Connection) -> list[dict[str, Any]]:
    """Tell for each target how many notices wait, the most tries of one, and a reason why."""
    table = t.alert_delivery
    query = select(table.c.target, func.count(), func.max(table.c.tries), func.max(table.c.error)).group_by(table.c.target)
    return [
        {"target": target, "waiting": count, "tries": tries, "error": error}
        for target, count, tries, error in connection.execute(query.order_by(table.c.target))
    ]


def _is(one: Delivery) -> tuple[Any, Any]:
    return t.alert_delivery.c.target == one.target, t.alert_delivery.c.notice == one.ident
