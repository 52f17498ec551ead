"""Rows of configurations: their bytes, operators' orders, and what became of them on each device.

Orders are few and tell who wanted what; a device's row says what it is meant to run, its history what became of it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from host.rows import insert_new
from ota.rules.events import CONFIG
from ota.store import history, tables

CHUNK = 500   # as devices.CHUNK


def add(connection: Connection, name: str, body: str, now_s: float, *, by: str, note: str) -> None:
    """Keep a configuration; one that is there stays as it is."""
    insert_new(connection, tables.config, [{"name": name, "body": body, "added_s": now_s, "added_by": by, "note": note}])


def body_of(connection: Connection, name: str) -> str | None:
    """Read a configuration; None when it is not kept."""
    return connection.execute(select(tables.config.c.body).where(tables.config.c.name == name)).scalar_one_or_none()


def all_configs(connection: Connection) -> list[dict[str, Any]]:
    """Read every configuration, the newest first, with how many devices are meant to run it, do run it, and failed it."""
    table, device = tables.config, tables.device
    counts: dict[str, dict[str, int]] = {"wanted": {}, "running": {}, "failed": {}}
    for key, column in (("wanted", device.c.config_wanted), ("running", device.c.config), ("failed", device.c.config_failed)):
        rows = connection.execute(select(column, func.count()).where(column != "").group_by(column))
        counts[key] = {row[0]: row[1] for row in rows}
    return [
        {"name": row.name, "added_s": row.added_s, "added_by": row.added_by, "note": row.note}
        | {key: found.get(row.name, 0) for key, found in counts.items()}
        for row in connection.execute(select(table).order_by(table.c.added_s.desc(), table.c.name))
    ]


def order(connection: Connection, name: str, devices: Sequence[str], now_s: float, *, by: str, reason: str) -> int:
    """Have devices run a configuration; one that failed there before is tried again. Tells how many of them are known."""
    device = tables.device
    changed = 0
    for start in range(0, len(devices), CHUNK):
        changed += connection.execute(device.update().where(device.c.device.in_(devices[start:start + CHUNK])).values(
            config_wanted=name, config_failed="", config_reason="")).rowcount
    connection.execute(tables.config_order.insert(), {
        "name": name, "at_s": now_s, "by": by, "reason": reason, "devices": changed})
    return changed


def of_model(connection: Connection, model: str) -> list[str]:
    """Read the ids of a model's devices."""
    return list(connection.execute(select(tables.device.c.device).where(tables.device.c.model == model)).scalars())


def last_order(connection: Connection) -> int:
    """Read the number of the last order; 0 when there is none."""
    return int(connection.execute(select(func.coalesce(func.max(tables.config_order.c.ident), 0))).scalar_one())


def orders(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Read the last orders, the newest first."""
    table = tables.config_order
    return [dict(row._mapping) for row in connection.execute(select(table).order_by(table.c.ident.desc()).limit(limit))]


def events(connection: Connection, device: str, limit: int) -> list[dict[str, Any]]:
    """Read what became of a device's configurations, the newest first."""
    words = {number: word for word, number in CONFIG.items()}
    shown = []
    for each in history.page(connection, device, limit, only=tuple(words)):
        name, _, reason = each.detail.partition(" ")
        shown.append({"at_s": each.at_s, "event": words[each.happened], "name": name, "reason": reason})
    return shown
