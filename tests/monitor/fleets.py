"""A made-up fleet as values: what every test of the monitor's figures starts from. Times are given; nothing reads a clock."""

from host.clock import DAY_MS, HOUR_MS
from host.monitor.connectivity import Event, Link
from host.monitor.facts import Fleet, Heard, Told, Totals

A, B, C = "hall-0242ac110001", "hall-0242ac110002", "hall-0242ac110003"
NOW_MS = 10 * DAY_MS
FROM_MS = NOW_MS - DAY_MS


def heard(device, release="1.0.0", *, online=True, since_ms=FROM_MS, **more):
    values = {"reason": "", "clock_known": True, "last_ms": NOW_MS - 1000, "records": 10, "readings": 100, "bytes": 80,
              "late": 0, "unclocked": 0, "lost": 0} | more
    return Heard(device, online, since_ms, release, **values)


def told(device, release="1.0.0", *, model="hall", site="nord", at_ms=NOW_MS - 60_000, **metrics):
    return Told(device, model, site, release, at_ms, metrics)


def total(release="1.0.0", model="hall", site="nord", **sums):
    return Totals(release, model, site, sums)


def fleet(devices=(), start=None, events=(), *, told=None, totals=None, ends_s=None):
    """`devices` are Heard; by default every one was online when the window began."""
    known = {each.device: each for each in devices}
    start = {each.device: Link(True, each.release) for each in devices} if start is None else start
    return Fleet(NOW_MS, FROM_MS, known, start, [Event(*each) for each in events],
                 None if told is None else {each.device: each for each in told}, totals, ends_s)


def dropped(device, after_h, *, hours=1.0, release="1.0.0", reason=""):
    """A drop so long after the window's begin, and the connection that followed."""
    at_ms = FROM_MS + int(after_h * HOUR_MS)
    return [(device, at_ms, "drop", release), (device, at_ms + int(hours * HOUR_MS), "connect", release, reason)]
