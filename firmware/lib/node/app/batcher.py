"""Samples to batches, and batches to the ring: what is in the ring is committed, what is not yet is lost with the power.

Decides how samples on the grid become records that fit, and that a boot's first records are its schemas. When a batch is due is
the application's decision; when it is sent is the agent's.
"""

from node.compat import const
from node.errors import CallerError
from node.wire import batch

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Callable
    from node.ports import Clock
    from node.ring import Ring


MAX_SKIPPED = const(128)   # places without a sample inside a batch: a bit a channel each; a record of its own costs 40 bytes


class Journal:
    """The one way into the ring for this boot: it survives restarts of the app.

    Args:
        ring: mounted. boot: this boot's number.
        schemas: (hash, canonical bytes) of each group.
        clock: for the epoch and its quality at the time of each commit.
        on_commit: called after each durable record.

    Attributes:
        first_seq: of the last schema that this boot began with; None before it is committed.
    """

    def __init__(self, ring: "Ring", boot: int, schemas: list[tuple[bytes, bytes]], clock: "Clock",
                 on_commit: "Callable[[], None]") -> None:
        self._ring = ring
        self._boot = boot
        self._schemas = schemas
        self._clock = clock
        self._on_commit = on_commit
        self.first_seq: int | None = None

    def announce(self) -> None:
        """Commit the schemas: before the first batch of a boot, and again whenever the server has lost one."""
        for _named, schema in self._schemas:
            seq = self._ring.next_seq
            if not self._ring.append(self._boot, seq, batch.schema_record(self._boot, seq, schema), 0):
                return
        if self.first_seq is None:
            self.first_seq = seq
        self._on_commit()

    def commit(self, group: int, uptime_ms: int, period_ms: int, columns: list[list[int | None]],
               exceptions: list[tuple[int, int]]) -> None:
        """Make these samples durable: as one record, or as several when one would be too large.

        What a full ring is set to refuse is not committed, and counted by the ring.

        Raises:
            FlashError: the ring could not be written; the samples are not committed.
        """
        if self.first_seq is None:
            self.announce()
        seq = self._ring.next_seq
        try:
            data = batch.encode(self._boot, seq, self._schemas[group][0], uptime_ms, self._clock.epoch_ms, self._clock.quality,
                                period_ms, columns, exceptions)
        except CallerError as error:
            half = len(columns[0]) // 2
            if error.code != "batch.large" or not half:
                raise
            self.commit(group, uptime_ms, period_ms, [column[:half] for column in columns],
                        [(index, off_ms) for index, off_ms in exceptions if index < half])
            self.commit(group, uptime_ms + half * period_ms, period_ms, [column[half:] for column in columns],
                        [(index - half, off_ms) for index, off_ms in exceptions if index >= half])
            return
        if self._ring.append(self._boot, seq, data, batch.count_readings(columns)):
            self._on_commit()


class Batcher:
    """Gathers rows of one grid until flush().

    Args:
        group: whose rows; names its schema.

    Attributes:
        samples: rows gathered and not yet committed.
    """

    def __init__(self, journal: Journal, group: int, period_ms: int, columns: int) -> None:
        self._journal = journal
        self._group = group
        self._period_ms = period_ms
        self._columns: list[list[int | None]] = [[] for _ in range(columns)]
        self._exceptions: list[tuple[int, int]] = []
        self._first_ms = 0
        self.samples = 0

    def add(self, due_ms: int, late_ms: int, row: list[int | None]) -> None:
        """Take the row of one grid place.

        Args:
            due_ms: the place, in ticks.
            late_ms: how much later it was taken; kept when it is more than an eighth of the period.
        """
        skipped = (due_ms - self._first_ms) // self._period_ms - self.samples if self.samples else 0
        if skipped > MAX_SKIPPED:
            self.flush()
        elif skipped:   # a commit takes time: one for each gap would make the next
            for column in self._columns:
                column.extend([None] * skipped)
            self.samples += skipped
        if not self.samples:
            self._first_ms = due_ms
        if late_ms > self._period_ms // 8:
            self._exceptions.append((self.samples, late_ms))
        for i, value in enumerate(row):
            self._columns[i].append(value)
        self.samples += 1

    def flush(self) -> None:
        """Commit what there is; nothing is kept when that fails, so that a bad sample cannot fail twice."""
        if not self.samples:
            return
        columns, exceptions = self._columns, self._exceptions
        self._columns, self._exceptions, self.samples = [[] for _ in columns], [], 0
        self._journal.commit(self._group, self._first_ms, self._period_ms, columns, exceptions)
