"""Days share a body as long as they are few samples, within a month, whatever the order in which they come."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from host.clock import DAY_MS
from host.store import tables as t
from host.store.classes import Classes
from host.store.compact import compact
from host.store.parts import month_of
from host.store.rolling import roll
from host.store.spans import Span, plan
from tests.store.days_of import DAY, NOW, START, fill, history
from tests.store.test_compact import answers

MAY_30, JUNE_1 = 20_603, 20_605


def test_few_samples_share_a_body_and_many_do_not():
    assert plan([(DAY + at, 10) for at in range(5)], [], 30) == {DAY: [DAY, DAY + 1, DAY + 2], DAY + 3: [DAY + 3, DAY + 4]}
    assert plan([(DAY, 31), (DAY + 1, 31)], [], 30) == {DAY: [DAY], DAY + 1: [DAY + 1]}


def test_a_body_ends_with_its_month():
    """Its part is dropped as a whole."""
    assert month_of(MAY_30) != month_of(JUNE_1)
    assert plan([(MAY_30, 1), (MAY_30 + 1, 1), (JUNE_1, 1)], [], 30) == {MAY_30: [MAY_30, MAY_30 + 1], JUNE_1: [JUNE_1]}


def test_a_full_span_whose_last_batch_reaches_into_the_next_day_does_not_grow():
    assert plan([(DAY + 1, 30)], [Span(DAY, DAY + 1, 30)], 30) == {DAY + 1: [DAY + 1]}


def test_a_late_batch_joins_the_span_around_it():
    spans = [Span(DAY, DAY + 3, 30), Span(DAY + 4, DAY + 5, 20)]
    assert plan([(DAY + 2, 1), (DAY + 6, 5)], spans, 30) == {DAY: [DAY + 2], DAY + 4: [DAY + 6]}


@given(st.dictionaries(st.integers(20_580, 20_640), st.integers(1, 40), max_size=40), st.integers(1, 60))
def test_every_day_goes_to_one_span_of_its_month_and_spans_do_not_cross(closed, most):
    planned = plan(sorted(closed.items()), [], most)
    assert sorted(day for days in planned.values() for day in days) == sorted(closed)
    starts = sorted(planned)
    for first, days in planned.items():
        assert first == days[0]
        assert {month_of(day) for day in days} == {month_of(first)}
        assert all(max(start for start in starts if start <= day) == first for day in days)
        assert len(days) == 1 or sum(closed[day] for day in days) <= most


def test_a_month_of_slow_readings_is_one_body_and_grows_by_days(engine):
    """Each run finds one more closed day; what is asked is answered the same, and sums are made again only where they differ."""
    fill(engine, *history(days=9, gaps=False))
    before = answers(engine)
    for now_ms in range(START + 4 * DAY_MS, START + 13 * DAY_MS, DAY_MS):
        compact(engine, now_ms, Classes(), settled_ms=-NOW)
        roll(engine, now_ms)
        assert answers(engine) == before
    with engine.connect() as connection:
        (span,) = connection.execute(select(t.packed_day)).all()
        assert (span.day, span.first_ms // DAY_MS) == (DAY, DAY)
        days = set(connection.scalars(select(t.rolled_day.c.day)))
    assert set(range(DAY, DAY + 9)) <= days
    assert roll(engine, NOW) == 0
