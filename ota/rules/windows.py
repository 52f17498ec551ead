"""Maintenance windows: weekly times on the wall clock of where a device stands.

An instant lies in a window when the clock on the wall shows a time in it; nothing else counts. So where clocks go forward the
skipped time is in no window, and where they go back the hour that comes twice is in it twice. In a zone that the machine's time
zone database does not know (any more) no window is open. Reads no clock.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 1_440
HORIZON_DAYS = 16   # a weekly window comes back in seven days; in fourteen where a clock change or a skipped day swallows it
MAX_WINDOWS = 16
TERM = re.compile(r"([a-z,-]+) ([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d)")


@dataclass(frozen=True)
class Window:
    """Minutes from `start` to before `end` since midnight of each of `days` (0 is Monday); `end` may lie on the next day."""

    days: tuple[int, ...]
    start: int
    end: int


@lru_cache(256)
def parse(text: str) -> Window:
    """Read a window such as "mon-fri 22:00-05:00", "sat,sun 00:00-24:00" or "fri-mon 08:00-12:00".

    An end that is not after the start lies on the next day.

    Raises:
        ValueError: key, got and expected.
    """
    found = TERM.fullmatch(text)
    if found is None:
        raise ValueError(f"windows: got {text!r:.60}, expected e.g. 'mon-fri 22:00-05:00'")
    start, end = (60 * int(hour) + int(minute) for hour, minute in (found.group(2, 3), found.group(4, 5)))
    if start >= DAY_MIN or end > DAY_MIN:
        raise ValueError(f"windows: got {text!r}, expected times from 00:00 to 24:00")
    return Window(tuple(sorted(set(_days(found.group(1), text)))), start, end if end > start else end + DAY_MIN)


def zone(name: str) -> tzinfo:
    """Give a time zone by its IANA name, e.g. "Europe/Berlin"; UTC needs no database.

    Raises:
        ValueError: key, got and expected.
    """
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"zone: got {name!r:.60}, expected an IANA time zone such as Europe/Berlin") from None


def is_known(name: str) -> bool:
    """Tell whether the database knows a time zone now: one that was set may be taken out of it later."""
    try:
        zone(name)
    except ValueError:
        return False
    return True


def check(texts: Sequence[str]) -> None:
    """Refuse windows that cannot be read.

    Raises:
        ValueError: key, got and expected.
    """
    if len(texts) > MAX_WINDOWS:
        raise ValueError(f"windows: got {len(texts)}, expected at most {MAX_WINDOWS}")
    for text in texts:
        parse(text)


def is_open(texts: Sequence[str], zone_name: str, now_s: float) -> bool:
    """Tell whether any of the windows is open; without windows it always is, in an unknown zone none."""
    if not texts:
        return True
    if not is_known(zone_name):
        return False
    shown = datetime.fromtimestamp(now_s, zone(zone_name))
    day, minute = shown.weekday(), 60 * shown.hour + shown.minute
    for window in map(parse, texts):
        if day in window.days and window.start <= minute < window.end:
            return True
        if (day - 1) % 7 in window.days and minute + DAY_MIN < window.end:
            return True
    return False


def following(texts: Sequence[str], zone_name: str, now_s: float) -> tuple[float, float]:
    """Tell when the windows, closed now in a zone that is known, open next, and when they close then; Unix seconds."""
    edges = _edges(tuple(texts), zone_name, int(now_s // 3_600) * 3_600)   # one list an hour serves all devices of a zone
    ahead = edges[bisect_right(edges, now_s):]
    opens_s = next(each for each in ahead if is_open(texts, zone_name, each))
    closes_s = next((each for each in ahead if each > opens_s and not is_open(texts, zone_name, each)), ahead[-1])
    return opens_s, closes_s


@lru_cache(1_024)
def _edges(texts: tuple[str, ...], zone_name: str, from_s: int) -> list[float]:
    """Every instant ahead at which a window may open or close: its times on each day, and where the clocks change."""
    place = zone(zone_name)
    today = datetime.fromtimestamp(from_s, place).date()
    edges = set(_changes(place, today))
    for day in (today + timedelta(days) for days in range(-1, HORIZON_DAYS)):
        for window in map(parse, texts):
            if day.weekday() in window.days:
                for minute in (window.start, window.end):
                    edges.update(_instants(place, day, minute))
    return sorted(edges)


def _instants(place: tzinfo, day: date, minute: int) -> Iterator[float]:
    """When the wall clock shows a time: once; twice where it goes back; where it goes forward, beside the gap."""
    shown = datetime(day.year, day.month, day.day, tzinfo=place) + timedelta(minutes=minute)   # wall time: no offset counts
    for fold in (0, 1):
        yield shown.replace(fold=fold).timestamp()


def _changes(place: tzinfo, today: date) -> Iterator[float]:
    """When the clocks change in the days ahead, to the second."""
    start_s = int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()) - 86_400
    for low_s in range(start_s, start_s + (HORIZON_DAYS + 2) * 86_400, 86_400):
        before, high_s = _offset(place, low_s), low_s + 86_400
        if _offset(place, high_s) == before:
            continue
        low = low_s
        while high_s - low > 1:
            middle = (low + high_s) // 2
            low, high_s = (middle, high_s) if _offset(place, middle) == before else (low, middle)
        yield float(high_s)


def _offset(place: tzinfo, at_s: int) -> timedelta | None:
    return datetime.fromtimestamp(at_s, place).utcoffset()


def _days(text: str, whole: str) -> Iterator[int]:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            raise ValueError(f"windows: got {whole!r:.60}, expected days of {', '.join(DAYS)}")
        low, high = DAYS.index(first), DAYS.index(last)
        yield from ((low + step) % 7 for step in range((high - low) % 7 + 1))
