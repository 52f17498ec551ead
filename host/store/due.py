"""Which closed days are to be compacted, and into which span each goes.

Reads names and counts only; what a span is, spans.py decides, and which batches of a day may move, compact.py.
"""

from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import Connection, func, select

from host.clock import DAY_MS
from host.store import tables as t
from host.store.schemas import Schemas
from host.store.spans import SPAN_SAMPLES, Span, plan

USUAL_OF = 4   # newest batches of a device that tell how many samples its batches have


def due_spans(connection: Connection, schemas: Schemas, before: int) -> Iterator[tuple[str, int, list[int]]]:
    """(device, first day of a span, the days before `before` that are to go there)."""
    for device, some in groupby(_closed(connection, before), key=lambda one: one[0]):
        most = max(1, SPAN_SAMPLES // _usual(connection, schemas, device))
        planned = plan([(day, batches) for _, day, batches in some], _spans(connection, device), most)
        yield from ((device, first, days) for first, days in planned.items())


def _usual(connection: Connection, schemas: Schemas, device: str) -> int:
    """How many samples a batch of a device has, about."""
    newest = (
        select(t.batch.c.schema, t.batch.c.n_readings)
        .where(t.batch.c.device == device, t.batch.c.kind == t.KIND_BATCH)
        .order_by(t.batch.c.boot.desc(), t.batch.c.seq.desc()).limit(USUAL_OF)
    )
    return max((row.n_readings // max(1, len(schemas.of(connection, device, row.schema)))
                for row in connection.execute(newest).all()), default=1) or 1


def _closed(connection: Connection, before: int) -> Iterator[tuple[str, int, int]]:
    """(device, day, batches) of the days before `before` that have placed batches, device after device."""
    day = (t.batch.c.start_ms // DAY_MS).label("day")
    query = (
        select(t.batch.c.device, day, func.count())
        .where(t.batch.c.kind == t.KIND_BATCH, t.batch.c.start_ms.is_not(None), t.batch.c.start_ms < before * DAY_MS)
        .group_by(t.batch.c.device, day).order_by(t.batch.c.device, day)
    )
    return ((device, int(number), count) for device, number, count in connection.execute(query).all())


def _spans(connection: Connection, device: str) -> list[Span]:
    """The spans that a device has."""
    counted = (
        select(t.run.c.day, func.sum(t.run.c.last_seq - t.run.c.first_seq + 1))
        .where(t.run.c.device == device).group_by(t.run.c.day)
    )
    moved = {day: int(batches) for day, batches in connection.execute(counted)}
    rows = connection.execute(select(t.packed_day.c.day, t.packed_day.c.last_ms).where(t.packed_day.c.device == device))
    return [Span(row.day, row.last_ms // DAY_MS, moved.get(row.day, 0)) for row in rows]
