"""What the monitor reads of the telemetry database, on a real one."""

from host.clock import DAY_MS
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.monitor.connectivity import Event, Link
from host.store.fleet import read_fleet
from host.store.telemetry import Telemetry
from tests.ingest.records import DEVICE, OTHER, batch_of, state, up, will

NOW = 1_800_000_000_000


def test_an_empty_database_is_an_empty_fleet(engine):
    found = read_fleet(engine, NOW)
    assert (found.heard, found.start, found.events, found.told) == ({}, {}, [], None)


def test_devices_links_and_sums_are_read_as_ingest_left_them(engine):
    committer = Committer(Telemetry(engine))

    def put(at_ms, *messages):
        committer.commit([sort(*each) for each in messages], at_ms)

    put(NOW - 2 * DAY_MS, state(1, (1, 0)), state(1, (1, 0), device=OTHER))
    put(NOW - DAY_MS + 5, will())
    put(NOW - DAY_MS + 9, state(2, (1, 0), reason="boot:power"), up(batch_of(2, 0)))
    put(NOW - 100, will(OTHER))
    put(NOW, will())   # at the window's end: of the next one
    found = read_fleet(engine, NOW)
    assert found.start == {DEVICE: Link(True, "1.0.0"), OTHER: Link(True, "1.0.0")}
    assert found.events == [
        Event(DEVICE, NOW - DAY_MS + 5, "drop", "1.0.0"), Event(DEVICE, NOW - DAY_MS + 9, "reboot", "1.0.0", "boot:power"),
        Event(DEVICE, NOW - DAY_MS + 9, "connect", "1.0.0", "boot:power"), Event(OTHER, NOW - 100, "drop", "1.0.0")]
    one, other = found.heard[DEVICE], found.heard[OTHER]
    assert (one.release, one.records, one.unclocked, one.clock_known, one.online) == ("1.0.0", 1, 1, False, False)
    assert (other.online, other.since_ms, other.clock_known, other.last_ms) == (False, NOW - 100, None, 0)


def test_a_boot_whose_clock_came_is_known(engine):
    committer = Committer(Telemetry(engine))
    committer.commit([sort(*up(batch_of(1, 0, quality=3, epoch_ms=NOW)))], NOW)
    assert read_fleet(engine, NOW).heard[DEVICE].clock_known is True
