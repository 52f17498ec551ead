"""Lengths of time, and the server's clock."""

import time

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS    # of UTC, which has no leap seconds here
WEEK_MS = 7 * DAY_MS


def unix_ms() -> int:
    """Unix time in milliseconds; may be set back."""
    return time.time_ns() // 1_000_000


def duration(seconds: float) -> str:
    """A length of time for people, in its largest unit of which it has two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
