"""The hash chain under the ledger: each entry's hash covers its row and the hash before.

Decides what is hashed and how a broken chain is told. Knows no kinds of entries and opens no transaction (ledger.py). A column that
is empty is left out of the hash, so that a column that came with a later schema changes no entry from before it; filling it in
later breaks the chain as any other change does.
"""

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from provisioning.tables import chain

GENESIS = "0" * 64   # the hash before the first entry
Row = Mapping[str, Any]
_NO_ROW: tuple[str, Row] = ("", {})


class LedgerError(Exception):
    """The ledger's rows and its chain do not agree: somebody changed them. The message names the entry."""


def head(connection: Connection) -> tuple[int, str]:
    """Give number and hash of the last entry."""
    row = connection.execute(select(chain.c.n, chain.c.hash).order_by(chain.c.n.desc()).limit(1)).first()
    return (0, GENESIS) if row is None else (row.n, row.hash)


def append(connection: Connection, table: Table, row: Row) -> int:
    """Append one entry, under the caller's write lock; gives its number."""
    return append_all(connection, table, [row])


def append_all(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Append entries with the same columns, at least one; as `append`, gives the last one's number."""
    last, before = head(connection)
    entries, chained = [], []
    for n, row in enumerate(rows, start=last + 1):
        chained.append({**row, "n": n})
        before = _digest(before, n, table.name, chained[-1])
        entries.append({"n": n, "kind": table.name, "hash": before})
    connection.execute(insert(chain), entries)
    connection.execute(insert(table), chained)
    return last + len(chained)


def verify(connection: Connection, tables: Sequence[Table]) -> int:
    """Recompute the chain over all rows; gives the number of entries.

    Raises:
        LedgerError: the first entry that does not fit.
    """
    rows = heapq.merge(*(_rows(connection, table) for table in tables), key=lambda item: int(item[1]["n"]))
    before, n = GENESIS, 0
    for n, entry in enumerate(connection.execute(select(chain).order_by(chain.c.n)).mappings(), start=1):
        kind, row = next(rows, _NO_ROW)
        if not entry["n"] == row.get("n") == n or entry["hash"] != _digest(before, n, kind, row):
            raise LedgerError(f"entry {n} ({entry['kind']}): the row was changed, removed or put in")
        before = entry["hash"]
    extra = next(rows, None)
    if extra is not None:
        raise LedgerError(f"entry {extra[1]['n']} ({extra[0]}): the row has no entry in the chain")
    return n


def _digest(before: str, n: int, kind: str, row: Row) -> str:
    plain = {key: value.hex() if isinstance(value, bytes) else value for key, value in row.items() if value is not None}
    text_form = json.dumps([before, n, kind, plain], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text_form.encode()).hexdigest()


def _rows(connection: Connection, table: Table) -> Iterator[tuple[str, Row]]:
    for row in connection.execute(select(table).order_by(table.c.n)).mappings():
        yield table.name, dict(row)
