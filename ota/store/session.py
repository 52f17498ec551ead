"""Transactions of the update server's database.

Decides that writers take turns: a writing transaction holds the write lock before it reads, so several server processes can
decide on the same rows without undoing each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
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
