"""Rows of events, and how far each webhook has been told of them.

An event is written in the transaction that makes it true. They are kept for a while only: what is here is to be told, not history.
"""

from typing import Any

from sqlalchemy import Connection, func, select

from host.rows import insert_new
from ota.store import tables

KEPT = 10_000   # events; a webhook that is further behind misses the oldest


def add(connection: Connection, kind: str, now_s: float, **body: Any) -> None:
    """Write an event."""
    table = tables.outbox
    done = connection.execute(table.insert().values(at_s=now_s, kind=kind, body=body))
    (ident,) = done.inserted_primary_key or (0,)
    connection.execute(table.delete().where(table.c.ident <= ident - KEPT))


def begin(connection: Connection, urls: list[str]) -> None:
    """Have webhooks that are new begin with the next event."""
    newest = connection.execute(select(func.coalesce(func.max(tables.outbox.c.ident), 0))).scalar_one()
    insert_new(connection, tables.webhook, [
        {"url": url, "told": newest, "tries": 0, "due_s": 0.0, "given_up": 0, "error": ""} for url in urls])


def state(connection: Connection, url: str) -> dict[str, Any]:
    """Read how far a webhook has got."""
    return dict(connection.execute(select(tables.webhook).where(tables.webhook.c.url == url)).one()._mapping)


def next_for(connection: Connection, told: int) -> dict[str, Any] | None:
    """Read the first event behind one; None when there is none."""
    table = tables.outbox
    row = connection.execute(select(table).where(table.c.ident > told).order_by(table.c.ident).limit(1)).first()
    return None if row is None else dict(row._mapping)


def claim(connection: Connection, before: dict[str, Any], until_s: float) -> bool:
    """Take a webhook for a while; False when another process was faster."""
    table = tables.webhook
    done = connection.execute(table.update().where(
        table.c.url == before["url"], table.c.told == before["told"], table.c.due_s == before["due_s"]).values(due_s=until_s))
    return done.rowcount == 1


def settle(connection: Connection, url: str, **changes: Any) -> None:
    """Write what became of a try."""
    connection.execute(tables.webhook.update().where(tables.webhook.c.url == url).values(**changes))
