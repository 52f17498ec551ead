"""Transactions of the update server's database, and the two statements that SQL has no common words for.

Decides that writers take turns: a writing transaction holds the write lock before it reads, so several server processes can
decide on the same rows without undoing each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from ota.store import audit, tables


class BusyError(Exception):
    """Another process kept the write lock for too long; nothing was written, trying again may help."""


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection for reading; the transaction is rolled back at the end."""
    with engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that no other writer runs beside; it commits at the end and rolls back on an error.

    The first one that an operator's call commits also says who made the call: see `audit`.

    Raises:
        BusyError: the write lock was not free within the busy timeout of `host.db`.
    """
    with engine.begin() as connection:
        try:
            connection.execute(tables.lock.update().values(turn=tables.lock.c.turn + 1))
        except OperationalError as error:
            raise BusyError(f"the write lock was not free: {error.orig}") from None
        yield connection
        act = audit.ACT.get()
        if act is not None and not act.noted:
            audit.note(connection, act, audit.DONE)
    if act is not None:
        act.noted = True


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose primary key is not there yet; leave the others alone."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, add: Sequence[str] = ()) -> None:
    """Insert rows or, where the primary key is there, update their other columns.

    Args:
        rows: all with the same columns.
        add: columns that are added to what stands there, instead of replacing it.
    """
    if not rows:
        return
    statement = _insert(connection, table)
    keys = [column.name for column in table.primary_key]
    changes = {
        name: table.c[name] + statement.excluded[name] if name in add else statement.excluded[name]
        for name in rows[0] if name not in keys
    }
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), list(rows))


def _insert(connection: Connection, table: Table) -> Any:
    """Build the dialect's insert: both have the same two methods, but no common type."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
