"""Windows of several channels as rows of numbers, for the forest.

Decides the features: of each channel in each window
    mean     the level
    spread   standard deviation
    range    highest minus lowest
    slope    mean of the second half minus mean of the first
and, where a season is expected, the hour as sine and cosine (they belong to no channel). A channel without a reading in a window
gives NaN; the forest puts the usual value there, so a silent channel is unusual to the other detectors and not here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from host.monitor.anomaly.slots import Times, Values
from host.monitor.anomaly.tuning import Tuning

FEATURES = ("mean", "spread", "range", "slope")
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Rows of features; `at_ms` is each window's start."""

    at_ms: Times
    rows: Matrix


def names_of(channels: Sequence[str], tuning: Tuning) -> list[tuple[str, str]]:
    """(channel, feature) of each column; the hour's have no channel."""
    hours = [("", "hour sine"), ("", "hour cosine")] if tuning.season else []
    return [(channel, feature) for channel in channels for feature in FEATURES] + hours


def windows_of(
    readings: Mapping[str, tuple[Times, Values]], channels: Sequence[str], window_ms: int, tuning: Tuning,
) -> Windows:
    """Fold readings into windows; those in which no channel has a reading are left out."""
    finite = {name: _finite(*readings[name]) for name in channels if name in readings}
    numbers = np.unique(np.concatenate([times // window_ms for times, _ in finite.values()] or [np.empty(0, np.int64)]))
    columns = [_columns(finite.get(name), numbers, window_ms) for name in channels]
    if tuning.season:
        columns.append(_hours(numbers * window_ms, tuning.zone))
    rows = np.concatenate(columns, axis=1) if columns else np.empty((0, 0))
    return Windows(numbers * window_ms, rows)


def _finite(times: Times, values: Values) -> tuple[Times, Values]:
    use = np.isfinite(values)
    order = np.argsort(times[use], kind="stable")
    return times[use][order], values[use][order]


def _columns(readings: tuple[Times, Values] | None, numbers: Times, window_ms: int) -> Matrix:
    found = np.full((len(numbers), len(FEATURES)), np.nan)
    if readings is None or not len(readings[0]):
        return found
    times, values = readings
    places = np.searchsorted(numbers, times // window_ms)
    count = np.bincount(places, minlength=len(numbers))
    use = count > 0
    mean = np.bincount(places, values, len(numbers))[use] / count[use]
    first = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
    off = values - np.repeat(mean, count[use])
    late = times % window_ms >= window_ms // 2
    later, earlier = (
        (np.bincount(places[half], off[half], len(numbers)) / np.maximum(1, np.bincount(places[half], minlength=len(numbers))))[use]
        for half in (late, ~late))
    found[use] = np.stack([
        mean, np.sqrt(np.bincount(places, off * off, len(numbers))[use] / count[use]),
        np.maximum.reduceat(values, first) - np.minimum.reduceat(values, first), later - earlier,
    ], axis=1)
    return found


def _hours(at_ms: Times, zone: str) -> Matrix:
    known = ZoneInfo(zone)
    turns = [2 * math.pi * (local.hour + local.minute / 60) / 24
             for local in (datetime.fromtimestamp(one / 1000, known) for one in at_ms.tolist())]
    return np.array([(math.sin(one), math.cos(one)) for one in turns]).reshape(-1, 2)
