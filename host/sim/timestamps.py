"""Times as people write them in CSV files, one or two columns, to seconds.

Decides which leading columns are times and what they say. 3/4/2024 may be two days: the column as a whole decides (a 13 can
only be a day), and day before month wins when nothing does. Knows no zones unless they are written: only differences matter.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]

_DATE: Final = r"(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})"
_CLOCK: Final = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
_STAMP: Final = re.compile(rf"{_DATE}(?:[T ]+{_CLOCK})?\s*(Z|UTC|[+-]\d{{2}}:?\d{{2}})?")
_TIME_OF_DAY: Final = re.compile(_CLOCK)
EPOCH_S: Final = (1e8, 1e11)     # 1973 … 5138 as seconds; larger ones are milliseconds, until EPOCH_MS ends in 2286
EPOCH_MS: Final = (1e11, 1e13)
ENOUGH: Final = 0.9              # share of a column's cells that must be times: a logger writes rubbish now and then
INDEX_WORDS: Final = frozenset((
    "", "#", "cycle", "i", "id", "idx", "index", "n", "no", "nr", "number", "record", "row", "sample", "step", "tick", "ticks",
    "unnamed: 0",
))
SECONDS_WORDS: Final = frozenset(("elapsed", "s", "sec", "second", "seconds", "t", "time", "time_s", "timestamp", "uptime"))


@dataclass(frozen=True)
class Times:
    """What the leading columns say. `columns` of them are times (0: none); `seconds` has one entry a row, NaN if unreadable."""

    columns: int
    seconds: Seconds | None
    kind: str

    @property
    def interval_s(self) -> float | None:
        """Median time between two rows; None when there are no times or they do not rise."""
        known = np.array([]) if self.seconds is None else self.seconds[np.isfinite(self.seconds)]
        median = float(np.median(np.diff(known))) if len(known) > 1 else 0.0
        return median if median > 0 else None


def is_time(cell: str) -> bool:
    """Whether the text is a date, a time of day or both."""
    return bool(_STAMP.fullmatch(cell) or _TIME_OF_DAY.fullmatch(cell))


def find(headers: Sequence[str], texts: Sequence[Sequence[str]], numbers: Sequence[Seconds]) -> Times:
    """Tell what the first columns say about time.

    Args:
        headers: titles of all columns.
        texts: cells of the first two columns, as text.
        numbers: the same cells as numbers, NaN where they are none.
    """
    first = _stamps(texts[0])
    if first is not None:
        clock = _times_of_day(texts[1]) if len(texts) > 1 and not any(":" in cell for cell in texts[0][:100]) else None
        return Times(1, first, "time") if clock is None else Times(2, first + clock, "date and time of day")
    clock = _times_of_day(texts[0])
    if clock is not None:
        return Times(1, clock + 86_400 * np.cumsum(np.diff(clock, prepend=clock[:1]) < 0), "time of day")
    epoch = _epoch(numbers[0])
    if epoch is not None:
        return Times(1, epoch, "Unix time")
    return _index(headers, numbers)


def _stamps(cells: Sequence[str]) -> Seconds | None:
    matches = [_STAMP.fullmatch(cell) for cell in cells]
    if sum(match is not None for match in matches) < ENOUGH * len(cells):
        return None
    month_first = not any(_field(match, 1) > 12 for match in matches) and any(_field(match, 2) > 12 for match in matches)
    return np.array([_seconds(match, month_first) for match in matches])


def _field(match: re.Match[str] | None, group: int) -> int:
    """Day or month of a date that ends with its year; 0 for others, which have one meaning only."""
    return int(match[group]) if match is not None and len(match[1]) < 3 else 0


def _seconds(match: re.Match[str] | None, month_first: bool) -> float:
    if match is None:
        return math.nan
    one, two, three, hour, minute, second, fraction, zone = match.groups()
    if len(one) > 2:
        year, month, day = int(one), int(two), int(three)
    else:
        day, month = (int(two), int(one)) if month_first else (int(one), int(two))
        year = int(three) + (2000 if len(three) < 3 else 0)
    try:
        stamp = datetime(year, month, day, int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC).timestamp()
    except ValueError:   # 31 February
        return math.nan
    offset = 0
    if zone and zone[0] in "+-":
        offset = (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60) * (1 if zone[0] == "+" else -1)
    return stamp + (float("0." + fraction) if fraction else 0.0) - offset


def _times_of_day(cells: Sequence[str]) -> Seconds | None:
    matches = [_TIME_OF_DAY.fullmatch(cell) for cell in cells]
    if sum(match is not None for match in matches) < ENOUGH * len(cells):
        return None
    return np.array([
        math.nan if match is None
        else int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0) + float("0." + (match[4] or "0"))
        for match in matches
    ])


def _epoch(numbers: Seconds) -> Seconds | None:
    known = numbers[np.isfinite(numbers)]
    if len(known) < ENOUGH * len(numbers) or (np.diff(known) < 0).any():
        return None
    for (low, high), scale in ((EPOCH_S, 1.0), (EPOCH_MS, 1000.0)):
        if low <= known[0] and known[-1] < high and known[0] < known[-1]:
            return numbers / scale
    return None


def _index(headers: Sequence[str], numbers: Sequence[Seconds]) -> Times:
    """Columns that only count: 0, 1, 2 … or a cycle and the second in it."""
    count, seconds = 0, None
    for header, column in zip(headers[:-1], numbers, strict=False):   # the last column is data, whatever it looks like
        title, gaps = header.strip().lower(), np.diff(column)   # NaN in a cell makes two NaN gaps: not a count
        counts = bool(len(gaps) > 1 and np.isclose(gaps, gaps[0]).all() and gaps[0] > 0)
        if not counts and (title not in INDEX_WORDS | SECONDS_WORDS or not np.isfinite(column).all()):
            break
        count += 1
        if title in SECONDS_WORDS:
            seconds = np.cumsum(np.r_[column[0], np.where(gaps < 0, np.median(gaps), gaps)])   # each cycle begins at 0 again
    return Times(count, seconds, "none" if not count else "index" if seconds is None else "seconds")
