"""What each day of a device is made of, and so whether its sums are right.

Decides nothing else: rolling.py sums again what is not, and a long series takes only sums that are (`right_sums`).
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from host.clock import DAY_MS
from host.store import tables as t
from host.store.dropped import months
from host.store.parts import month_of
from host.store.segments import known_series
from host.store.skipping import DaySum


@dataclass(frozen=True, slots=True)
class Made:
    """What a day is made of; equal means that its sums are right."""

    batches: int = 0
    starts: int = 0     # sum of the batches' start_ms
    schemas: int = 0    # known of the device, when it has batches that may wait for one
    version: int = 0    # of the day columns that may hold samples of it; a sum where there are several


def made_of(connection: Connection, device: str | None = None) -> dict[tuple[str, int], Made]:
    """What each day of each device, or of one, is made of now."""
    day = (t.batch.c.start_ms // DAY_MS).label("day")
    mine = [] if device is None else [t.batch.c.device == device]
    hot = (
        select(t.batch.c.device, day, func.count(), func.sum(t.batch.c.start_ms))
        .where(t.batch.c.kind == t.KIND_BATCH, t.batch.c.start_ms.is_not(None), *mine).group_by(t.batch.c.device, day)
    )
    told = select(t.schema.c.device, func.count()).group_by(t.schema.c.device)
    packed = select(t.packed_day)
    if device is not None:
        told, packed = told.where(t.schema.c.device == device), packed.where(t.packed_day.c.device == device)
    schemas = {row[0]: row[1] for row in connection.execute(told)}
    versions: Counter[tuple[str, int]] = Counter()
    for row in connection.execute(packed):
        versions.update({(row.device, one): row.version for one in range(row.first_ms // DAY_MS, row.last_ms // DAY_MS + 1)})
    found = {key: Made(version=version) for key, version in versions.items()}
    for name, number, count, starts in connection.execute(hot):
        key = (name, int(number))
        found[key] = Made(count, int(starts), schemas.get(name, 0), versions[key])
    return found


def rolled(connection: Connection, device: str | None = None) -> dict[tuple[str, int], tuple[Made, int]]:
    """What each day was made of when it was rolled up last, and when that was."""
    query = select(t.rolled_day)
    if device is not None:
        query = query.where(t.rolled_day.c.device == device)
    return {
        (one.device, one.day): (Made(one.batches, one.starts, one.schemas, one.version), one.at_ms)
        for one in connection.execute(query)
    }


def right_sums(
    connection: Connection, device: str, names: Collection[str] | None, from_ms: int, to_ms: int
) -> dict[str, list[DaySum]]:
    """The day sums of channels in a window that are those of what is stored, ascending.

    Left out are all days from the first one on that is not what it was when it was summed, since its batches may reach on; months
    of which something was dropped; and channels that changed their unit or resolution.
    """
    last = rolled(connection, device)
    wrong = [key[1] for key, made in made_of(connection, device).items() if key not in last or last[key][0] != made]
    gone = months(connection)
    of_name: dict[str, list[int]] = {}
    for number, channel in known_series(connection, device).items():
        of_name.setdefault(channel.name, []).append(number)
    found: dict[str, list[DaySum]] = {}
    for name, numbers in of_name.items():
        if len(numbers) == 1 and (names is None or name in names):
            query = select(t.rollup.c.day, t.rollup.c.count, t.rollup.c.low, t.rollup.c.high).where(
                t.rollup.c.series == numbers[0], t.rollup.c.day >= from_ms // DAY_MS,
                t.rollup.c.day < min(to_ms // DAY_MS, min(wrong, default=to_ms))).order_by(t.rollup.c.day)
            found[name] = [DaySum(*row) for row in connection.execute(query) if month_of(row[0]) not in gone]
    return found
