"""What the monitor is told of a fleet, as values: the one small interface between its sources and its figures.

Decides nothing. The telemetry database tells `Heard`, starts and events (host.store.fleet), the update server `Told` and `Totals`
(from check-ins), the ledger when certificates end; a composition root puts them into one `Fleet`. A source that was not asked or
did not answer is None: what only it tells is then unknown, never zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.monitor.connectivity import Event, Link

TELEMETRY, UPDATE_SERVER, LEDGER = "telemetry", "update_server", "ledger"   # sources
UNKNOWN = "unknown"   # a model or release that nobody has told
NO_SITE = "none"      # a device that stands nowhere in particular, or whose site nobody has told


@dataclass(frozen=True, slots=True)
class Heard:
    """One device as ingest knows it; sums over its life.

    Attributes:
        online: None when no state message was ever heard. since_ms: since when it is so.
        reason: its own word on why the connection before the newest one ended; "boot:…" at the first one of a boot.
        clock_known: whether the wall time of its newest boot is known; None when it has sent no batch in it.
        last_ms: when its newest record was stored; 0: none yet.
        lost: records that its ring gave up before they were stored.
        late, unclocked: batches, see host.monitor.arrival.
    """

    device: str
    online: bool | None
    since_ms: int
    release: str
    reason: str
    clock_known: bool | None
    last_ms: int
    records: int
    readings: int
    bytes: int
    late: int
    unclocked: int
    lost: int


@dataclass(frozen=True, slots=True)
class Told:
    """One device's newest check-in; `metrics` by the names of node.wire.metrics, those that it sent."""

    device: str
    model: str
    site: str
    release: str
    at_ms: int
    metrics: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Totals:
    """What check-ins added up to for one release of one model at one site, ever; metrics by name, and "checkins"."""

    release: str
    model: str
    site: str
    sums: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Fleet:
    """All that is known at one moment, and the links' events of the window [from_ms, now_ms).

    Attributes:
        start: device -> link when the window begins.
        events: oldest first.
        told, totals: None: the update server was not asked, or is away. So `certificate_ends_s` of the ledger.
        away: which of UPDATE_SERVER and LEDGER were asked and did not answer.
    """

    now_ms: int
    from_ms: int
    heard: Mapping[str, Heard]
    start: Mapping[str, Link]
    events: Sequence[Event]
    told: Mapping[str, Told] | None = None
    totals: Sequence[Totals] | None = None
    certificate_ends_s: Mapping[str, int] | None = None
    away: frozenset[str] = frozenset()
