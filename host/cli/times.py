"""Times as people type them: `-12h`, `yesterday 22:00`, `06:00`, `2026-11-22`, `2026-11-22T22:00+01:00`.

Decides what a text means at a given moment in a given zone, and nothing else: clock and zone are arguments. A wall time that
occurs twice (the end of summer time) is the first one.
"""

import os
import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from host.settings import SettingsError

UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
SPAN = re.compile(r"([0-9]{1,9})\s*(s|min|m|h|d|w)")
CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
NIGHT = time(22), time(6)   # the night that `tenfold data night` tells
EXPECTED = "`-12h`, `now`, `today`, `yesterday 22:00`, `06:00`, an ISO 8601 date or time, or Unix milliseconds"
LAST_YEAR = 9999
LOCALTIME = Path("/etc/localtime")


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name; "" is this machine's.

    Raises:
        SettingsError: there is none of that name.
    """
    try:
        return ZoneInfo(name) if name else _local()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError("--zone", repr(name), "an IANA time zone such as Europe/Oslo or UTC") from None


def moment(text: str, now_ms: int, zone: tzinfo, key: str = "time") -> int:
    """Unix milliseconds that a text means.

    Args:
        key: the option's name, for the error.

    Raises:
        SettingsError: it means none.
    """
    words = text.strip().lower()
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    back = SPAN.fullmatch(words.removeprefix("-").removesuffix("ago").strip())
    if words == "now":
        return now_ms
    if back and (words.startswith("-") or words.endswith("ago")):
        return max(0, now_ms - int(back[1]) * UNITS_S[back[2]] * 1000)
    if re.fullmatch(r"[0-9]{12,14}", words):
        return int(words)
    day, _, rest = words.partition(" ")
    if day in DAYS:
        return _at(now + timedelta(days=DAYS[day]), _clock(rest) if rest else time(0), text, key)
    at = _clock(words)
    if at is not None:
        return _at(now, at, text, key)
    try:
        when = datetime.fromisoformat(text.strip())
        if when.year < LAST_YEAR:   # a day before the end of what datetime can say, in any zone
            return max(0, _ms(when if when.tzinfo else when.replace(tzinfo=zone)))
    except (ValueError, OverflowError):
        pass
    raise _fault(text, key)


def span_ms(text: str, key: str) -> int:
    """Milliseconds of a length such as `15min`, `1h` or `1d`.

    Raises:
        SettingsError: it is none.
    """
    found = SPAN.fullmatch(text.strip().lower())
    if found is None or not int(found[1]):
        raise SettingsError(key, repr(text), "a length such as 30s, 15min, 1h or 1d")
    return int(found[1]) * UNITS_S[found[2]] * 1000


def last_night(now_ms: int, zone: tzinfo) -> tuple[int, int]:
    """From 22:00 of yesterday to 06:00 of today, or to now while that night goes on."""
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    evening = datetime.combine((now - timedelta(days=1)).date(), NIGHT[0], zone)
    morning = datetime.combine(now.date(), NIGHT[1], zone)
    return _ms(evening), min(_ms(morning), now_ms)


def shown(t_ms: int, zone: tzinfo, *, day: bool = True) -> str:
    """A moment for people, by the wall clock of the zone."""
    at = datetime.fromtimestamp(t_ms / 1000, zone)
    return at.strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")


def utc(at_ms: float) -> str:
    """A moment for people, in UTC; of a clock that cannot be true its number."""
    try:
        return shown(int(at_ms), UTC)
    except (OverflowError, ValueError):
        return f"{at_ms:.0f} ms"


def window(from_ms: int, to_ms: int, zone: tzinfo) -> str:
    """A window for people, with the zone said."""
    at = datetime.fromtimestamp(to_ms / 1000, zone)
    name = getattr(zone, "key", None) or at.tzname() or "UTC"
    return f"{shown(from_ms, zone)} to {shown(to_ms, zone)} ({name}, UTC{at.strftime('%z')})"


def length(ms: int) -> str:
    """A length for people, in its two largest units."""
    seconds = ms // 1000
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and not count):
            break
    return " ".join(parts)


def _clock(text: str) -> time | None:
    found = CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return time(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError:
        return None


def _at(day: datetime, at: time | None, text: str, key: str) -> int:
    if at is None:
        raise _fault(text, key)
    return _ms(datetime.combine(day.date(), at, day.tzinfo))


def _ms(when: datetime) -> int:
    since = when.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(milliseconds=1)


def _fault(text: str, key: str) -> SettingsError:
    return SettingsError(key, repr(text), EXPECTED)


def _local() -> tzinfo:
    """Give this machine's zone by its rules, so that last week's times are last week's; else the offset of now."""
    if os.environ.get("TZ"):
        return ZoneInfo(os.environ["TZ"].removeprefix(":"))
    name = str(LOCALTIME.resolve()).partition("zoneinfo/")[2]
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            pass
    return datetime.now(UTC).astimezone().tzinfo or UTC
