"""What a monitor told of devices' links: up to when, and sums beside those of check-ins.

The sums go where check-ins' go, by model, version and cohort, so that stages subtract, filter and keep them alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from host.rows import upsert
from ota.rules.gate import LINK_DROPS, LINK_ONLINE_S
from ota.store import tables

_ONE = 1


def until_s(connection: Connection) -> int | None:
    """Up to when links were told of; None while no monitor tells: gates then do not wait for one."""
    found = connection.execute(select(tables.watch.c.until_s)).scalar_one_or_none()
    return None if found is None else int(found)


def add(connection: Connection, rows: Iterable[Mapping[str, Any]], until: int) -> None:
    """Add a window's sums; several rows of a group add up."""
    sums: dict[tuple[str, int, int, str], int] = {}
    for row in rows:
        for name, key in ((LINK_ONLINE_S, "online_s"), (LINK_DROPS, "drops")):
            group = row["model"], row["counter"], row["cohort"], name
            sums[group] = sums.get(group, 0) + row[key]
    upsert(connection, tables.version_total, [
        {"model": model, "counter": counter, "cohort": cohort, "name": name, "value": value}
        for (model, counter, cohort, name), value in sums.items() if value
    ], add=["value"])
    upsert(connection, tables.watch, [{"one": _ONE, "until_s": until}])


def end(connection: Connection) -> None:
    """No monitor tells any more; what it told stays."""
    connection.execute(tables.watch.delete())
