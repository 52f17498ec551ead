"""When a device's newest batches came: how long its silence may last before it tells anything.

Decides nothing else; what was sampled since then may still come.
"""

from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection, select

from host.store.tables import KIND_BATCH, batch

LOOKED_AT = 9   # batches: the longest of eight intervals is not that of a backlog, whose batches come one after the other


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When the newest batch came, Unix milliseconds, and the longest of the last intervals; 0 where there are too few."""

    newest_ms: int = 0
    every_ms: int = 0


def arrivals(connection: Connection, device: str) -> Arrivals:
    """The device's newest arrivals, of batches that are not in day columns yet."""
    query = (
        select(batch.c.received_ms).where(batch.c.device == device, batch.c.kind == KIND_BATCH)
        .order_by(batch.c.boot.desc(), batch.c.seq.desc()).limit(LOOKED_AT)
    )
    times = sorted(connection.scalars(query))
    return Arrivals(max(times, default=0), max((late - soon for soon, late in pairwise(times)), default=0))
