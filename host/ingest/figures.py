"""What ingest counts of itself for Prometheus: commits, their times and sizes, acknowledgements, faults, how far it is behind.

Decides nothing. Counted by the thread that commits, read by the one that answers a scrape: each number is replaced whole, so a
scrape sees each as it was a moment ago, without a lock in the way of a commit.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from host.ingest.commit import Outcome
from host.ingest.inbox import Waiting
from host.monitor.sample import Sample

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)   # around the target, p99 below 50 ms
BUCKETS_MESSAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)   # up to `gather_max`'s default
CODES_MAX = 64   # reasons are words of ours, some forty: a series each, and never more than these
OTHER = "other"


class Figures:
    """Sums since the process began."""

    def __init__(self) -> None:
        self.messages = self.records = self.readings = self.duplicates = self.quarantined = self.acks = self.faults = 0
        self.last_commit_ms = 0
        self._rejects: dict[str, int] = {}
        self._seconds, self._sizes = _Histogram(BUCKETS_S), _Histogram(BUCKETS_MESSAGES)

    def committed(self, outcome: Outcome, messages: int, seconds: float, now_ms: int) -> None:
        """Count a commit.

        Args:
            seconds: from the first try on.
            now_ms: Unix milliseconds.
        """
        self.messages += messages
        self.records += outcome.records
        self.readings += outcome.readings
        self.duplicates += outcome.duplicates
        self.quarantined += outcome.quarantined
        self.acks += len(outcome.acks)
        self.last_commit_ms = now_ms
        self._seconds.add(seconds)
        self._sizes.add(messages)
        for one in outcome.rejects:
            code = one.reason if one.reason in self._rejects or len(self._rejects) < CODES_MAX else OTHER
            self._rejects[code] = self._rejects.get(code, 0) + 1

    def samples(self, waiting: Waiting, now_ms: int) -> Iterator[Sample]:
        """All of it, with the inbox's own numbers."""
        for name in ("messages", "records", "readings", "duplicates", "quarantined", "acks", "faults"):
            yield Sample(f"tenfold_ingest_{name}_total", {}, getattr(self, name))
        for code, count in sorted(self._rejects.copy().items()):
            yield Sample("tenfold_ingest_rejects_total", {"code": code}, count)
        yield Sample("tenfold_ingest_refused_total", {}, waiting.refused)
        yield Sample("tenfold_ingest_inbox_messages", {}, waiting.messages)
        yield Sample("tenfold_ingest_inbox_limit_messages", {}, waiting.limit_messages)
        yield Sample("tenfold_ingest_inbox_bytes", {}, waiting.n_bytes)
        yield Sample("tenfold_ingest_inbox_limit_bytes", {}, waiting.limit_bytes)
        yield Sample("tenfold_ingest_lag_seconds", {}, max(0, now_ms - waiting.oldest_ms) / 1000 if waiting.oldest_ms else 0)
        yield Sample("tenfold_ingest_last_commit_timestamp_seconds", {}, self.last_commit_ms / 1000)
        yield from self._seconds.samples("tenfold_ingest_commit_seconds")
        yield from self._sizes.samples("tenfold_ingest_commit_messages")


class _Histogram:
    """Counts by size, as Prometheus has them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self._sum += value
        self._counts[bisect_left(self._bounds, value)] += 1

    def samples(self, name: str) -> Iterator[Sample]:
        below = 0
        for bound, count in zip((*map(repr, self._bounds), "+Inf"), list(self._counts), strict=True):
            below += count
            yield Sample(f"{name}_bucket", {"le": bound}, below)
        yield Sample(f"{name}_count", {}, below)
        yield Sample(f"{name}_sum", {}, self._sum)
