"""What the rows of an export look like: long (a row a reading) or wide (a row a time, a column a channel).

Decides columns, their order and which readings share a row; export_csv.py and export_arrow.py write them. Values stay scaled
integers here, so that each writer makes the exact decimal, or the float nearest to it, in one step.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from host.store.channels import Channel
from host.store.queries import Queries
from host.store.readings import Readings, readings

LONG = ("time_ms", "time", "device", "channel", "unit", "value", "quality")
WIDE = ("time_ms", "time", "device", "quality")   # and then the channels
AT_A_TIME = "datetime64[ms]"
Progress = Callable[[float], None]   # told the share that is done, 0..1


@dataclass(frozen=True)
class Order:
    """What is exported.

    Attributes:
        devices: in this order. names: of channels; None means all. from_ms, to_ms: Unix milliseconds, both included.
    """

    devices: tuple[str, ...]
    names: tuple[str, ...] | None
    from_ms: int
    to_ms: int


@dataclass(frozen=True)
class Chunk:
    """Readings of one device, by time."""

    device: str
    readings: Readings


@dataclass(frozen=True)
class WideRows:
    """Rows of one device.

    Attributes:
        t_ms: [rows]. quality: [rows] the worst of the row's.
        row: [readings] where each reading of `readings` belongs.
    """

    t_ms: npt.NDArray[np.int64]
    quality: npt.NDArray[np.int8]
    row: npt.NDArray[np.int64]


def known_channels(queries: Queries, order: Order) -> list[Channel]:
    """Every channel that the export may hold, those of the first device first."""
    wanted = None if order.names is None else set(order.names)
    found = dict.fromkeys(one for device in order.devices for one in queries.all_channels(device))
    return [one for one in found if wanted is None or one.name in wanted]


def chunks(queries: Queries, order: Order, known: Iterable[Channel], progress: Progress) -> Iterator[Chunk]:
    """All readings, device after device. What was told after `known` was asked for is not in it: no column is there for it."""
    columns = {(one.name, one.unit) for one in known}
    span_ms = max(1, order.to_ms - order.from_ms)
    for number, device in enumerate(order.devices):
        for some in readings(queries, device, order.names, order.from_ms, order.to_ms):
            progress((number + (int(some.t_ms[-1]) - order.from_ms) / span_ms) / len(order.devices))
            late = [index for index, one in enumerate(some.channels) if (one.name, one.unit) not in columns]
            told = some.part(~np.isin(some.which, late)) if late else some
            if len(told):
                yield Chunk(device, told)
    progress(1.0)


def column_names(known: Iterable[Channel]) -> dict[tuple[str, str], str]:
    """Names of a wide export's columns: (channel, unit) -> name; with its unit where a channel's unit changed."""
    pairs = list(dict.fromkeys((one.name, one.unit) for one in known))
    times = Counter(name for name, _ in pairs)
    return {(name, unit): name if times[name] == 1 else f"{name} [{unit}]" for name, unit in pairs}


def wide_rows(some: Readings) -> WideRows:
    """Which readings share a row: those of one time, but two of one channel never do (two boots whose clocks disagree)."""
    n = len(some)
    names = {pair: index for index, pair in enumerate(dict.fromkeys((one.name, one.unit) for one in some.channels))}
    column = np.array([names[one.name, one.unit] for one in some.channels], np.int64)[some.which]
    order = np.lexsort((column, some.t_ms))
    new = np.ones(n, np.bool_)
    new[1:] = (some.t_ms[order][1:] != some.t_ms[order][:-1]) | (column[order][1:] != column[order][:-1])
    run = np.maximum.accumulate(np.where(new, np.arange(n), 0))
    again = np.empty(n, np.int64)
    again[order] = np.arange(n) - run     # 0 but for a second reading of the same channel and time
    keys = np.lexsort((again, some.t_ms))
    first = np.ones(n, np.bool_)
    first[1:] = (some.t_ms[keys][1:] != some.t_ms[keys][:-1]) | (again[keys][1:] != again[keys][:-1])
    row = np.empty(n, np.int64)
    row[keys] = np.cumsum(first) - 1
    t_ms = some.t_ms[keys][first]
    quality = np.full(len(t_ms), np.iinfo(np.int8).max, np.int8)
    np.minimum.at(quality, row, some.quality)
    return WideRows(t_ms, quality, row)


def iso(t_ms: npt.NDArray[np.int64]) -> list[str]:
    """ISO 8601 in UTC with milliseconds."""
    shown: list[str] = np.datetime_as_string(t_ms.astype(AT_A_TIME), unit="ms", timezone="UTC").tolist()
    return shown


def decimals(channel: Channel, steps: npt.NDArray[np.int64]) -> list[str]:
    """The exact decimals, with the places of the resolution: 2140 steps of 0.01 are 21.40. A channel has few different values."""
    different, place = np.unique(steps, return_inverse=True)
    texts = [format(step * channel.resolution, f".{channel.places}f") for step in map(Decimal, different.tolist())]
    return np.array(texts, object)[place].tolist()   # type: ignore[no-any-return]


def header(known: Sequence[Channel], *, wide: bool) -> list[str]:
    """The names of all columns."""
    return [*WIDE, *column_names(known).values()] if wide else list(LONG)
