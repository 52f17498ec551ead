"""Rows of the audit log: who did what, in the order in which it was written, each chained to the one before.

The log is only ever added to: there is no update and no delete here. The call that is under way stands in `ACT`; `session.writing`
adds its row to the first transaction that it commits, so that no handler can change something and forget to say who.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from ota.rules import chain
from ota.store import tables

DONE = "done"
CHARS = {column.name: column.type.length for column in tables.audit.columns if hasattr(column.type, "length")}


@dataclass
class Act:
    """A changing call of the operators' API.

    Attributes:
        who: the name that history knows: of a certificate, or "token." and its ident.
        certificate: the name on the connection.
        about: what the body names: a manifest, a configuration.
        noted: its row is written.
    """

    at_s: float
    who: str
    certificate: str
    role: str
    method: str
    path: str
    about: str = ""
    reason: str = ""
    noted: bool = False


ACT: ContextVar[Act | None] = ContextVar("act", default=None)


def note(connection: Connection, act: Act, outcome: str, reason: str | None = None) -> None:
    """Add a row. Needs a writing transaction: the rows are numbered without a gap."""
    last = connection.execute(select(tables.audit.c.n, tables.audit.c.hash).order_by(tables.audit.c.n.desc()).limit(1)).first()
    row: dict[str, Any] = {
        "n": 1 if last is None else last.n + 1, "at_s": act.at_s, "who": act.who, "certificate": act.certificate, "role": act.role,
        "method": act.method, "path": act.path, "about": act.about, "outcome": outcome,
        "reason": act.reason if reason is None else reason}
    row = {name: _plain(value)[:CHARS[name]] if isinstance(value, str) else value for name, value in row.items()}
    row["hash"] = chain.link(chain.GENESIS if last is None else last.hash, row)
    connection.execute(tables.audit.insert().values(**row))


def page(connection: Connection, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Read rows, newest first, starting below a number."""
    query = select(tables.audit).order_by(tables.audit.c.n.desc()).limit(limit)
    if before is not None:
        query = query.where(tables.audit.c.n < before)
    return [dict(row._mapping) for row in connection.execute(query)]


def _plain(text: str) -> str:
    """Replace what no database or terminal should be handed: control characters, halves of surrogate pairs."""
    return "".join(each if each.isprintable() else "?" for each in text)
