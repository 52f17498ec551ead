"""Which days of a device are kept in one body.

Decides from values only. A body of many samples has fewer bytes each (the coder learns once, one head, one row) and takes longer to
read when a single day is asked for, so days of one month are put together as long as they are few samples. A span is named by its
first day; a day belongs to the span that begins last at or before it. What grows is written anew: see compact.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from host.store.parts import month_of

SPAN_SAMPLES = 12_288   # about, of the busiest track: a day at 7 s, four days at 30 s; a millisecond of reading for each channel


@dataclass(frozen=True, slots=True)
class Span:
    """Days that are kept together.

    Attributes:
        last: day of the last sample, which may be the end of a batch of the day before.
        batches: that were moved there.
    """

    day: int
    last: int
    batches: int


def plan(closed: Iterable[tuple[int, int]], spans: Sequence[Span], most: int) -> dict[int, list[int]]:
    """Where closed days go.

    Args:
        closed: (day, batches) of each, ascending.
        spans: that there are.
        most: batches of a span; a day that has more has a span of its own.

    Returns:
        First day of a span, there already or new -> days that go there.
    """
    known = {one.day: one for one in spans}
    found: dict[int, list[int]] = {}
    for day, batches in closed:
        before = known.get(max((start for start in known if start <= day), default=day))
        fits = before is not None and month_of(before.day) == month_of(day) and (
            day < before.last or before.batches + batches <= most)
        span = before if before is not None and fits else Span(day, day, 0)
        known[span.day] = Span(span.day, max(span.last, day), span.batches + batches)
        found.setdefault(span.day, []).append(day)
    return found
