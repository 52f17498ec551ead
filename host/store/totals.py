"""Devices as a whole, the whole store in sums, and what lies in quarantine: rows that ingest keeps, as values.

Decides no more than which rows and columns answer; reads no batch.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from host.store.tables import KIND_BATCH, batch, presence, progress, quarantine, tally, traffic

RATE_WINDOW_S = 60             # rates are means over this long


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device as a whole. Sums cover its life; `last_ms` is when its newest record was stored (0: none yet).

    Attributes:
        online: None when no state message was ever heard.
        since_ms: when it went on or off line.
        next_seq: every record before it is stored.
        unplaced: batches whose boot's clock is not known yet, so that no series shows them.
        schema_missing: its newest batch cannot be read until it sends its schema.
    """

    device: str
    online: bool | None
    since_ms: int
    boot: int
    release: str
    counter: int
    last_ms: int
    next_seq: int
    batches: int
    readings: int
    bytes: int
    duplicates: int
    conflicts: int
    lost_by_overflow: int
    unplaced: int
    schema_missing: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole store. Rates are means over the last RATE_WINDOW_S seconds."""

    devices: int
    online: int
    readings_stored: int
    batches: int
    bytes: int
    duplicates: int
    conflicts: int
    quarantined: int
    lost_by_overflow: int
    readings_per_s: float
    records_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """Bytes that could not be stored under a name; `times` how often they came."""

    topic: str
    device: str
    reason: str
    times: int
    first_ms: int
    last_ms: int
    size: int


def device_rows(connection: Connection) -> list[DeviceRow]:
    """Every device that was ever heard, by name."""
    waiting = (
        select(batch.c.device, func.count().label("unplaced"))
        .where(batch.c.kind == KIND_BATCH, batch.c.start_ms.is_(None)).group_by(batch.c.device).subquery()
    )
    known = select(progress.c.device).union(select(presence.c.device)).subquery()
    query = (
        select(known.c.device, presence, progress, waiting.c.unplaced)
        .join_from(known, presence, presence.c.device == known.c.device, isouter=True)
        .join(progress, progress.c.device == known.c.device, isouter=True)
        .join(waiting, waiting.c.device == known.c.device, isouter=True)
        .order_by(known.c.device)
    )
    return [_device_row(row, known.c.device, waiting.c.unplaced) for row in connection.execute(query)]


def totals(connection: Connection, now_s: int) -> Totals:
    """Sums over all devices and rates now; `now_s` is Unix seconds."""
    sums = select(*(
        func.coalesce(func.sum(progress.c[name]), 0).label(name)
        for name in ("readings", "batches", "bytes", "duplicates", "conflicts", "lost_by_overflow")
    ), func.count().label("devices"))
    since_s = now_s - now_s % 10 - RATE_WINDOW_S
    rates = select(*(
        func.coalesce(func.sum(traffic.c[name]), 0).label(name) for name in ("readings", "records", "bytes")
    )).where(traffic.c.at_s >= since_s)
    total, rate = connection.execute(sums).one(), connection.execute(rates).one()
    online = connection.scalar(select(func.count()).select_from(presence).where(presence.c.online)) or 0
    set_aside = connection.scalar(select(tally.c.value).where(tally.c.name == "quarantined")) or 0
    elapsed_s = max(1, now_s - since_s)
    return Totals(
        devices=total.devices, online=online, readings_stored=int(total.readings), batches=int(total.batches),
        bytes=int(total.bytes), duplicates=int(total.duplicates), conflicts=int(total.conflicts),
        quarantined=set_aside, lost_by_overflow=int(total.lost_by_overflow),
        readings_per_s=int(rate.readings) / elapsed_s, records_per_s=int(rate.records) / elapsed_s,
        bytes_per_s=int(rate.bytes) / elapsed_s,
    )


def quarantined(connection: Connection, limit: int) -> list[QuarantineRow]:
    """What lies in quarantine, newest first."""
    columns = [quarantine.c[name] for name in QuarantineRow.__slots__]
    rows = connection.execute(select(*columns).order_by(quarantine.c.last_ms.desc()).limit(limit))
    return [QuarantineRow(*row) for row in rows]


def _device_row(row: Any, device: Any, unplaced: Any) -> DeviceRow:
    cell = row._mapping   # by column: the joined tables share names
    online = cell[presence.c.online]
    return DeviceRow(
        device=cell[device], online=None if online is None else bool(online), since_ms=cell[presence.c.since_ms] or 0,
        boot=cell[presence.c.boot] or cell[progress.c.boot] or 0, release=cell[presence.c.release] or "",
        counter=cell[presence.c.counter] or 0, schema_missing=bool(cell[progress.c.schema_missing]),
        unplaced=cell[unplaced] or 0,
        **{name: cell[progress.c[name]] or 0 for name in (
            "last_ms", "next_seq", "batches", "readings", "bytes", "duplicates", "conflicts", "lost_by_overflow",
        )},
    )
