"""What ingest counts of itself for Prometheus: commits, their times, acknowledgements, faults.

Decides nothing. Counted by the thread that commits, read by the one that answers a scrape: each number is replaced whole, so a
scrape sees each as it was a moment ago, without a lock in the way of a commit.
"""

from bisect import bisect_left
from collections.abc import Iterator

from host.ingest.commit import Outcome
from host.monitor.sample import Sample

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)   # around the target, p99 below 50 ms


class Figures:
    """Sums since the process began."""

    def __init__(self) -> None:
        self.messages = self.records = self.readings = self.duplicates = self.quarantined = self.acks = self.faults = 0
        self.last_commit_ms = 0
        self._commits = [0] * (len(BUCKETS_S) + 1)
        self._seconds = 0.0

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
        self._seconds += seconds
        self._commits[bisect_left(BUCKETS_S, seconds)] += 1

    def samples(self, waiting: int, limit: int, refused: int) -> Iterator[Sample]:
        """All of it, with the inbox's own numbers."""
        for name in ("messages", "records", "readings", "duplicates", "quarantined", "acks", "faults"):
            yield Sample(f"tenfold_ingest_{name}_total", {}, getattr(self, name))
        yield Sample("tenfold_ingest_refused_total", {}, refused)
        yield Sample("tenfold_ingest_inbox_messages", {}, waiting)
        yield Sample("tenfold_ingest_inbox_limit_messages", {}, limit)
        yield Sample("tenfold_ingest_last_commit_timestamp_seconds", {}, self.last_commit_ms / 1000)
        commits, below = list(self._commits), 0
        for bound, count in zip((*map(repr, BUCKETS_S), "+Inf"), commits, strict=True):
            below += count
            yield Sample("tenfold_ingest_commit_seconds_bucket", {"le": bound}, below)
        yield Sample("tenfold_ingest_commit_seconds_count", {}, below)
        yield Sample("tenfold_ingest_commit_seconds_sum", {}, self._seconds)
