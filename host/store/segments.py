"""The one way to read samples, wherever they lie: batches as received, and day columns.

Decides nothing about an answer: it gives every stored sample of a window once, as segments of channels that share their times, in
no order. Compaction moves samples from one kind to the other and must not change an answer, so whoever reads both does it in
one snapshot (`snapshot`), and takes samples from here only.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from sqlalchemy import Connection, Engine, insert, select

from host.clock import DAY_MS
from host.store.channels import Channel
from host.store.days import Bool, Int64, is_body, read_body, read_channel, read_times
from host.store.parts import Parts, Row, month_of
from host.store.tables import packed_day, series

NOTHING: Mapping[str, Collection[int]] = {}
TIMES_CHANNEL = Channel("", "", Decimal(1))   # of the series that holds the times of a device's tracks


@dataclass(frozen=True, slots=True)
class Segment:
    """Samples of some channels that share their times.

    Attributes:
        start_ms: where what holds it begins, a batch or a day; its samples may begin later.
        times: [n] Unix ms.
        quality: [n] of the clock that told the time.
        values: [channels, n] scaled integers. valid: [channels, n].
        track: number of a day column's track.
    """

    channels: tuple[Channel, ...]
    start_ms: int
    times: Int64
    quality: Int64
    values: list[Int64]
    valid: list[Bool]
    track: int = 0


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection whose reads all see one state of the database, whatever is committed meanwhile."""
    level = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**level) as connection:
        if engine.dialect.name == "sqlite":   # the driver begins a transaction at the first write only
            connection.exec_driver_sql("BEGIN")
        yield connection


def packed(
    connection: Connection, parts: Parts, device: str, names: Collection[str] | None, from_ms: int, to_ms: int,
    over: Mapping[str, Collection[int]] = NOTHING,
) -> Iterator[Segment]:
    """The segments of day columns whose samples may lie in [from_ms, to_ms], by day; with `over` channel after channel.

    Args:
        names: as of `columns`.
        over: channel -> UTC days whose samples of it are not wanted.
    """
    rows = connection.execute(select(packed_day).where(
        packed_day.c.device == device, packed_day.c.first_ms <= to_ms, packed_day.c.last_ms >= from_ms)).all()
    for name, unwanted in over.items():
        days = {row.day: row.version for row in rows
                if any(day not in unwanted for day in range(row.first_ms // DAY_MS, row.last_ms // DAY_MS + 1))}
        yield from columns(connection, parts, device, {name}, days)
    if over:
        told = {channel.name for channel in known_series(connection, device).values()} if names is None else names
        names = set(told) - over.keys() - {TIMES_CHANNEL.name}
    if names is None or names:
        yield from columns(connection, parts, device, names, {row.day: row.version for row in rows})


def columns(
    connection: Connection, parts: Parts, device: str, names: Collection[str] | None, days: Mapping[int, int]
) -> Iterator[Segment]:
    """The segments of some spans of days, a month at a time.

    Args:
        names: of channels; None means all.
        days: first day of a span -> the version of it that is wanted.

    Raises:
        PackingError: a column is damaged; `tenfold db check` finds which.
    """
    if not days:
        return
    known = known_series(connection, device)
    wanted = {one for one, channel in known.items() if names is None or channel.name in names or channel == TIMES_CHANNEL}
    there = parts.all(connection)
    for month, some in groupby(sorted(days), key=month_of):
        of_month = list(some)
        tracks: dict[tuple[int, int], list[Row]] = {}
        for part in there:
            if part.month == month:
                for row in parts.read(connection, part, sorted(wanted), (of_month[0], of_month[-1])):
                    if days.get(row.day) == row.version:
                        tracks.setdefault((row.day, row.track), []).append(row)
        yield from filter(None, (_segment(tracks[key], known, wanted) for key in sorted(tracks)))


def known_series(connection: Connection, device: str) -> dict[int, Channel]:
    """The series of a device by id."""
    rows = connection.execute(select(series).where(series.c.device == device))
    return {row.id: Channel(row.channel, row.unit, Decimal(row.resolution)) for row in rows}


def _segment(rows: list[Row], known: dict[int, Channel], wanted: set[int]) -> Segment | None:
    """One track; None when none of its channels is wanted or left."""
    times = [row for row in rows if known[row.series] == TIMES_CHANNEL]   # one of each part
    if not times:
        return None
    if is_body(times[0].body):
        read = [read_body(row.body, wanted) for row in times]
        (at, quality, _), found = read[0], [one for _, _, channels in read for one in channels.items()]
    else:   # as it was written before bodies: a row for each channel
        at, quality = read_times(times[0].body)
        found = [(row.series, read_channel(row.body, len(at))) for row in rows if known[row.series] != TIMES_CHANNEL]
    if not found:
        return None
    return Segment(tuple(known[one] for one, _ in found), rows[0].day * DAY_MS, at, quality, [one[0] for _, one in found],
                   [one[1] for _, one in found], rows[0].track)


def series_ids(connection: Connection, device: str, channels: Iterable[Channel]) -> dict[Channel, int]:
    """The ids of all series of a device, those of the channels included; one that is new is made."""
    known = {channel: one for one, channel in known_series(connection, device).items()}
    for channel in sorted(set(channels) - known.keys(), key=lambda one: (one.name, one.unit, one.resolution)):
        made = insert(series).values(
            device=device, channel=channel.name, unit=channel.unit, resolution=f"{channel.resolution:f}",
            factor=channel.factor, divisor=channel.divisor)
        known[channel] = connection.execute(made.returning(series.c.id)).scalar_one()
    return known
