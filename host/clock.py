"""Lengths of time in milliseconds, and the server's clock."""

import time

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS    # of UTC, which has no leap seconds here
WEEK_MS = 7 * DAY_MS


def unix_ms() -> int:
    """Unix time in milliseconds; may be set back."""
    return time.time_ns() // 1_000_000
