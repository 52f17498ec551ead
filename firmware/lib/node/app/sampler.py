"""When the next sample is taken, and what a failing sensor costs: its readings, never the sampler.

Times are monotonic ticks on the device's own grid; a sample that comes late keeps its place on the grid and its lateness is
reported; places that went by are skipped, never made up. A bus that fails is retried with each sample, recovered after some
failures at growing intervals, and used again as soon as it answers. Filters nothing and stores nothing.
"""

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.ports import Sensors

RECOVER_AFTER = 3         # failed rows before the bus is recovered: one glitch is common, three are a stuck bus
RECOVER_MAX_GAP = 256     # failed rows between recoveries at most; each may take tens of milliseconds


def next_slot(due_ms: int, now_ms: int, period_ms: int) -> tuple[int, int]:
    """The grid place after `due_ms` that is not yet over.

    Returns:
        (its time, how many places were skipped because they went by).
    """
    missed = max(0, (now_ms - due_ms) // period_ms)
    return due_ms + (missed + 1) * period_ms, missed


class Sampler:
    """Reads rows from the board's sensors and survives them.

    Attributes:
        failures: rows in a row that failed; 0 while the bus is well.
        recoveries: times the bus was recovered since boot.
    """

    def __init__(self, sensors: "Sensors", channels: int) -> None:
        self._sensors = sensors
        self._channels = channels
        self._next_recovery = RECOVER_AFTER
        self.failures = 0
        self.recoveries = 0

    def take(self) -> list[int | None]:
        """One row; all None when the sensors failed or gave something else than a row."""
        try:
            row = self._sensors.read()
        except Exception:   # a driver may raise anything; sampling goes on
            row = []
        if len(row) == self._channels:
            self.failures = 0
            self._next_recovery = RECOVER_AFTER
            return row
        self.failures += 1
        if self.failures >= self._next_recovery:
            self._next_recovery = self.failures + min(self.failures, RECOVER_MAX_GAP)
            self._recover()
        return [None] * self._channels

    def _recover(self) -> None:
        self.recoveries += 1
        try:
            self._sensors.recover()
        except Exception:   # as above; the next attempt is scheduled
            return
