"""Rows of operators' tokens: their hashes, what they are for, and when they end. The secrets are not kept."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from ota.store import tables

USED_EVERY_S = 60.0   # how exactly it is known when a token was last used: a write a minute, not one a call


def secret_hash(secret: str) -> str:
    """Hash a secret as it is kept: it has 256 bits of chance, so it needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def add(connection: Connection, ident: str, secret: str, role: str, models: Sequence[str], now_s: float, expires_s: float,
        *, by: str, note: str) -> None:
    """Add a token."""
    connection.execute(tables.token.insert().values(
        ident=ident, secret=secret_hash(secret), role=role, models=list(models), note=note, added_s=now_s, added_by=by,
        expires_s=expires_s))


def revoke(connection: Connection, ident: str, now_s: float, *, by: str) -> bool:
    """End a token; tells whether it is known. A second time changes nothing."""
    table = tables.token
    connection.execute(table.update().where(table.c.ident == ident, table.c.revoked_s.is_(None)).values(
        revoked_s=now_s, revoked_by=by))
    return get(connection, ident) is not None


def get(connection: Connection, ident: str) -> dict[str, Any] | None:
    """Read a token as operators see it."""
    row = _row(connection, ident)
    return None if row is None else _view(row)


def all_tokens(connection: Connection) -> list[dict[str, Any]]:
    """Read all tokens as operators see them, newest first."""
    query = select(tables.token).order_by(tables.token.c.added_s.desc(), tables.token.c.ident)
    return [_view(row) for row in connection.execute(query)]


def good(connection: Connection, ident: str, secret: str, now_s: float) -> dict[str, Any] | None:
    """Read a token if this is its secret and it has neither ended nor been revoked. The secrets are compared in constant time."""
    row = _row(connection, ident)
    is_secret = hmac.compare_digest("" if row is None else row.secret, secret_hash(secret))
    if row is None or not is_secret or row.revoked_s is not None or now_s >= row.expires_s:
        return None
    return _view(row)


def used(connection: Connection, ident: str, now_s: float) -> None:
    """Note that a token was used."""
    connection.execute(tables.token.update().where(tables.token.c.ident == ident).values(used_s=now_s))


def _row(connection: Connection, ident: str) -> Row[Any] | None:
    return connection.execute(select(tables.token).where(tables.token.c.ident == ident)).first()


def _view(row: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "secret"}
