"""Rows into a table of either database: those that are new, or all of them.

Decides how many rows become statements. PostgreSQL gets one statement whatever their number, with an array a column (a statement
a row took two and a half times its CPU time and the driver's); SQLite, which has no arrays and no way to go, one a row.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

POSTGRESQL = "postgresql"
Row = Mapping[str, Any]


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert the rows whose primary key is not there yet, leave the others alone; gives how many were new.

    Args:
        rows: all with the same columns.
    """
    if not rows:
        return 0
    statement = _new(connection.dialect.name, table, tuple(rows[0]))
    done = connection.execute(statement, _values(connection, rows), execution_options={"preserve_rowcount": True})
    return done.rowcount


def upsert(connection: Connection, table: Table, rows: Sequence[Row], *, add: Collection[str] = ()) -> None:
    """Insert rows or, where the primary key is there, update their other columns.

    Args:
        rows: all with the same columns, each with a key of its own.
        add: columns that are added to what stands there, instead of replacing it.
    """
    if rows:
        statement = _update(connection.dialect.name, table, tuple(rows[0]), frozenset(add))
        connection.execute(statement, _values(connection, rows))


def insert_of(connection: Connection, table: Table) -> Any:
    """Build the dialect's insert: both have the same methods, but no common type."""
    return _insert(connection.dialect.name, table)


@cache
def _new(dialect: str, table: Table, names: tuple[str, ...]) -> Any:
    return _insert_rows(dialect, table, names).on_conflict_do_nothing()


@cache
def _update(dialect: str, table: Table, names: tuple[str, ...], add: frozenset[str]) -> Any:
    statement = _insert_rows(dialect, table, names)
    keys = [column.name for column in table.primary_key]
    changes = {
        name: table.c[name] + statement.excluded[name] if name in add else statement.excluded[name]
        for name in names if name not in keys
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=changes)


def _insert_rows(dialect: str, table: Table, names: tuple[str, ...]) -> Any:
    insert = _insert(dialect, table)
    if dialect != POSTGRESQL:
        return insert
    # One dimension, whatever the values: a list in a JSON column is a value.
    arrays = [func.unnest(bindparam(name, type_=postgresql.ARRAY(table.c[name].type, dimensions=1))) for name in names]
    return insert.from_select(names, select(*arrays))


def _insert(dialect: str, table: Table) -> Any:
    return postgresql.insert(table) if dialect == POSTGRESQL else sqlite.insert(table)


def _values(connection: Connection, rows: Sequence[Row]) -> Any:
    if connection.dialect.name != POSTGRESQL:
        return list(rows)
    return {name: [row[name] for row in rows] for name in rows[0]}
