"""Rows of what operators say of devices: sites, tags, orders. A device's row names its cohort: one site and set of tags."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from host.rows import insert_new, upsert
from ota.rules.values import Labels
from ota.store import tables

NO_LABELS = 1          # the cohort that every device begins in
MAX_COHORTS = 5_000    # combinations of site and tags; each is looked at in every tick
CHUNK = 500            # as devices.CHUNK
WHAT_CHARS = 400
COLUMNS: tuple[Any, ...] = (tables.cohort.c.site, tables.cohort.c.tags, tables.site.c.zone)   # what `labels_of` reads
COHORT_OF = tables.device.c.cohort == tables.cohort.c.ident
SITE_OF = tables.cohort.c.site == tables.site.c.site


class CohortsError(Exception):
    """There would be too many different combinations of site and tags: tags are for groups, not for single devices."""


def all_cohorts(connection: Connection) -> dict[int, Labels]:
    """Read every combination of site and tags that any device ever had."""
    return {row.ident: labels_of(row) for row in connection.execute(select(tables.cohort.c.ident, *COLUMNS).join(
        tables.site, SITE_OF, isouter=True))}


def of_devices(connection: Connection, devices: Sequence[str]) -> dict[str, Labels]:
    """Read some devices' labels; unknown devices are left out."""
    found: dict[str, Labels] = {}
    for start in range(0, len(devices), CHUNK):
        query = select(tables.device.c.device, *COLUMNS).join(tables.cohort, COHORT_OF).join(
            tables.site, SITE_OF, isouter=True).where(tables.device.c.device.in_(devices[start:start + CHUNK]))
        found.update((row.device, labels_of(row)) for row in connection.execute(query))
    return found


def put(connection: Connection, devices: Sequence[str], labels: Labels) -> None:
    """Give some devices one site and one set of tags.

    Raises:
        CohortsError: it would be one combination too many.
    """
    cohort = _cohort(connection, labels)
    for start in range(0, len(devices), CHUNK):
        connection.execute(tables.device.update().where(
            tables.device.c.device.in_(devices[start:start + CHUNK])).values(cohort=cohort))


def set_zone(connection: Connection, site: str, zone: str) -> None:
    """Set a site's time zone."""
    upsert(connection, tables.site, [{"site": site, "zone": zone}])


def order(connection: Connection, now_s: float, *, by: str, what: str, devices: int) -> None:
    """Note an order; every process then looks at each device's labels once more."""
    connection.execute(tables.label_order.insert(), {"at_s": now_s, "by": by, "what": what[:WHAT_CHARS], "devices": devices})


def last_order(connection: Connection) -> int:
    """Read the number of the last order; 0 when there is none."""
    return int(connection.execute(select(func.coalesce(func.max(tables.label_order.c.ident), 0))).scalar_one())


def orders(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Read the last orders, the newest first."""
    table = tables.label_order
    return [dict(row._mapping) for row in connection.execute(select(table).order_by(table.c.ident.desc()).limit(limit))]


def count(connection: Connection) -> list[tuple[Labels, int]]:
    """Count the devices by site and tags."""
    number = func.count().label("number")
    counts = {row.cohort: row.number for row in connection.execute(
        select(tables.device.c.cohort, number).group_by(tables.device.c.cohort))}
    return [(labels, counts.get(ident, 0)) for ident, labels in all_cohorts(connection).items()]


def zones(connection: Connection) -> dict[str, str]:
    """Read the sites' time zones."""
    return {row.site: row.zone for row in connection.execute(select(tables.site))}


def _cohort(connection: Connection, labels: Labels) -> int:
    table, key = tables.cohort, {"site": labels.site, "tags": " ".join(labels.tags)}
    query = select(table.c.ident).where(table.c.site == key["site"], table.c.tags == key["tags"])
    found = connection.execute(query).scalar()
    if found is None:
        if connection.execute(select(func.count()).select_from(table)).scalar_one() >= MAX_COHORTS:
            raise CohortsError(f"got one more, expected at most {MAX_COHORTS} combinations of site and tags")
        insert_new(connection, table, [key])
        found = connection.execute(query).scalar_one()
    return int(found)



def labels_of(row: Row[Any]) -> Labels:
    """Read labels from a row with COLUMNS."""
    return Labels(row.site, tuple(row.tags.split()), row.zone or Labels.zone)
