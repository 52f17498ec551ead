"""What is kept beside the readings has bounds, and the newest survives."""

from sqlalchemy import func, select

from host.clock import DAY_MS
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.store import tables as t
from host.store.queries import Queries
from host.store.retention import Bounds, Removed, prune
from host.store.telemetry import Telemetry
from tests.ingest.records import DEVICE, OTHER, batch_of, state, up, will

NOW = 1_800_000_000_000
ROOMY = Bounds(quarantine_rows=100, quarantine_bytes=100_000, quarantine_days=30, event_days=30, traffic_days=30)


def fill(engine, *messages, now_ms=NOW):
    Committer(Telemetry(engine)).commit([sort(*one) for one in messages], now_ms)


def count(engine, table):
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def test_nothing_within_the_bounds_is_removed(engine):
    fill(engine, up(b"\x01poison"), up(batch_of(1, 0)), state(1, (1, 0)))
    assert prune(engine, ROOMY, NOW) == Removed(0, 0, 0)


def test_quarantine_keeps_the_newest_rows_and_its_count(engine):
    for number in range(8):
        fill(engine, up(b"\x01poison" + bytes((number,))), now_ms=NOW + number)
    bounds = Bounds(3, 100_000, 30, 30, 30)
    assert prune(engine, bounds, NOW + 10).quarantine == 5
    assert [row.first_ms for row in Queries(engine).quarantined()] == [NOW + 7, NOW + 6, NOW + 5]
    assert Queries(engine).totals().quarantined == 8


def test_quarantine_is_bounded_in_bytes(engine):
    for number in range(8):
        fill(engine, up(bytes((9, number)) * 50), now_ms=NOW + number)
    assert prune(engine, Bounds(100, 250, 30, 30, 30), NOW + 10).quarantine == 6


def test_quarantine_is_bounded_in_age(engine):
    fill(engine, up(b"\x01old"))
    fill(engine, up(b"\x01new"), now_ms=NOW + 31 * DAY_MS)
    assert prune(engine, ROOMY, NOW + 31 * DAY_MS).quarantine == 1


def test_each_devices_last_link_event_is_kept_however_old(engine):
    """Pruned, a device online for months would look as if it had never been heard."""
    fill(engine, state(1, (1, 0)), will(), state(1, (1, 0), device=OTHER))
    later = NOW + 400 * DAY_MS
    assert prune(engine, ROOMY, later).events == 1
    rows = Queries(engine, lambda: later).version_connectivity()
    assert [(row.devices, row.online) for row in rows] == [(2, 1)]


def test_batches_are_never_pruned(engine):
    fill(engine, up(batch_of(1, 0)))
    assert prune(engine, Bounds(0, 0, 1, 1, 1), NOW + 4000 * DAY_MS).traffic == 1
    assert count(engine, t.batch) == 1
    assert Queries(engine).devices()[0].device == DEVICE
