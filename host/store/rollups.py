"""Reading sums: minutes, hours and days of one channel, from the rollups, or from the samples where no minutes are kept.

Decides which rows answer and gives numbers in the channel's unit. SQL reads them by the views `rollup_minute`, `rollup_hour` and
`rollup_day`, and in PostgreSQL by tenfold_rollup(device, channel, since, until, 'minute' | 'hour' | 'day'); minutes there as
far as they are kept. As fresh as the last `tenfold telemetry rollup`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Engine, select

from host.clock import DAY_MS, HOUR_MS, MINUTE_MS
from host.store.buckets import Aggregates
from host.store.channels import Channel
from host.store.queries import Queries
from host.store.rollup import aggregate_all, joined, read_hours, read_minutes
from host.store.segments import known_series, snapshot
from host.store.tables import rollup, rollup_part

STEPS = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}


@dataclass(frozen=True, slots=True)
class Bucket:
    """One minute, hour or day of a channel.

    Attributes:
        t_ms: where it begins, Unix ms.
        low, high, mean: in the channel's unit.
        quality: of the worst clock, node.wire.batch.QUALITY_*.
    """

    t_ms: int
    count: int
    low: float
    high: float
    mean: float
    quality: int


class Rollups:
    """Sums of one telemetry database."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._queries = engine, Queries(engine)

    def of(self, device: str, channel: str, from_ms: int, to_ms: int, step: str) -> list[Bucket]:
        """The buckets that begin in [from_ms, to_ms], in time order; those without a reading are absent.

        Args:
            step: minute, hour or day.
        """
        found: list[Bucket] = []
        with snapshot(self._engine) as connection:
            for number, known in known_series(connection, device).items():
                if known.name == channel:
                    for one in self._of_series(connection, device, number, known, from_ms, to_ms, step):
                        found += (bucket for bucket in _buckets(known, one) if from_ms <= bucket.t_ms <= to_ms)
        return sorted(found, key=lambda one: one.t_ms)

    def _of_series(
        self, connection: Connection, device: str, number: int, channel: Channel, from_ms: int, to_ms: int, step: str
    ) -> Iterator[Aggregates]:
        rows = connection.execute(select(rollup).where(
            rollup.c.series == number, rollup.c.day >= from_ms // DAY_MS, rollup.c.day <= to_ms // DAY_MS).order_by(rollup.c.day))
        for row in rows.all():
            if step == "day":
                yield Aggregates(*(np.array([value]) for value in (
                    row.day * DAY_MS, row.count, row.low, row.high, row.total, row.quality)))
            elif step == "hour":
                yield read_hours(row.hours, row.day, row.low, row.quality)
            else:
                kept = connection.execute(select(rollup_part).where(
                    rollup_part.c.series == number, rollup_part.c.day == row.day).order_by(rollup_part.c.part)).all()
                yield (joined([read_minutes(one.minutes, one.day, one.part, one.low, one.quality) for one in kept])
                       if kept else self._minutes(connection, device, channel, row.day))

    def _minutes(self, connection: Connection, device: str, channel: Channel, day: int) -> Aggregates:
        nothing = np.empty(0, np.int64)
        pieces = [(nothing, nothing, nothing)]
        for segment in self._queries.segments(connection, device, {channel.name}, day * DAY_MS, (day + 1) * DAY_MS - 1):
            for at, one in enumerate(segment.channels):
                if one == channel:
                    use = segment.valid[at] & (segment.times // DAY_MS == day)
                    pieces.append((segment.times[use], segment.values[at][use], segment.quality[use]))
        return aggregate_all(pieces, MINUTE_MS)


def _buckets(channel: Channel, sums: Aggregates) -> Iterator[Bucket]:
    low, high, total = (channel.scale(column).tolist() for column in (sums.low, sums.high, sums.total))
    counts, qualities = sums.count.tolist(), sums.quality.tolist()
    for at, t_ms in enumerate(sums.start_ms.tolist()):
        yield Bucket(t_ms, counts[at], low[at], high[at], total[at] / counts[at], qualities[at])
