"""Samples that were late or left out while a backlog drains must be seen; the whole bench is `tenfold bench drain`."""

from host.bench.drain import sampling
from node.wire import batch, schema

CANONICAL = schema.build([("t", "Cel", "0.01")])
HASH = schema.schema_hash(CANONICAL)


def one(seq, uptime_ms, column, exceptions=()):
    return batch.encode(2, seq, HASH, uptime_ms, 0, 0, 100, [column], list(exceptions))


def test_gap_between_batches_and_late_sample_are_found():
    records = [batch.schema_record(2, 0, CANONICAL), one(1, 1000, [1, 2, 3], [(1, 40)]), one(2, 1700, [4, 5])]
    assert sampling(records, 10_000) == {"samples": 5, "skipped_samples": 0, "worst_gap_ms": 500, "worst_late_ms": 40}


def test_place_without_a_reading_is_a_gap():
    assert sampling([one(1, 1000, [1, None, None, 4])], 10_000) == {
        "samples": 2, "skipped_samples": 2, "worst_gap_ms": 300, "worst_late_ms": 0}


def test_what_came_after_the_drain_does_not_count():
    assert sampling([one(1, 1000, [1, 2]), one(2, 9000, [3])], 5_000)["worst_gap_ms"] == 100
