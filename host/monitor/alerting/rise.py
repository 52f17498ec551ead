"""By how much a value has risen of late: for rules over sums that only grow, as lost records or quarantined messages.

Decides from two marks of each member, half a window apart: the rise is counted since the older one, so since half a window to a
whole one ago. A sum that fell was begun anew, or is of something else now: it is marked anew, and has not risen.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """Values of one member at two times (Unix milliseconds)."""

    old_ms: int
    old: float
    new_ms: int
    new: float


def mark(known: Mark | None, value: float, now_ms: int, window_s: float) -> tuple[Mark, float]:
    """Take in a value.

    Returns:
        What to remember, the same object when that has not changed, and the rise.
    """
    if known is None or value < known.new or now_ms < known.new_ms:
        return Mark(now_ms, value, now_ms, value), 0.0
    if now_ms - known.new_ms >= window_s * 500:
        return Mark(known.new_ms, known.new, now_ms, value), value - known.new
    return known, value - known.old
