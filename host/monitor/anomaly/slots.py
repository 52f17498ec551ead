"""Readings of one channel, folded into slots of time.

Decides which readings count (finite, in order, not of the future) and what is kept of a slot: its centre without its two
extremes, the extremes, the longest silence and the longest time without a change. Work is done by numpy for each slot's readings,
memory is one open slot. Judges nothing.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.clock import DAY_MS

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

BROKEN_RUN_SLOTS = 3      # a silence longer than this ends a run of equal values: nobody saw it
FUTURE_MS = DAY_MS        # readings later than now by more than this come from a clock that is wrong
STEP_BACK_MS = DAY_MS     # a clock set back by more than this starts anew, a smaller step waits until it is made up for


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot that has ended.

    Attributes:
        at_ms: its start.
        centre: mean of its readings, without the lowest and the highest where there are three or more.
        gap_ms: longest time between two readings, of which the later lies in the slot.
        run_ms: longest time that a value had not changed for, at a reading of the slot.
    """

    at_ms: int
    count: int
    centre: float
    low: float
    high: float
    gap_ms: int
    run_ms: int


@dataclass(slots=True)
class Folder:
    """The open slot of a channel and what came before it."""

    slot_ms: int
    at: int = -1            # number of the open slot
    count: int = 0
    total: float = 0.0
    low: float = 0.0
    high: float = 0.0
    gap_ms: int = 0
    run_ms: int = 0
    last_ms: int = -1       # newest reading
    last: float = 0.0
    run_since_ms: int = -1  # since when the newest value has not changed
    refused: int = 0        # readings that did not count

    def sift(self, times: Times, values: Values, now_ms: int) -> tuple[Times, Values]:
        """Readings that count, of some in any order, in the order of time."""
        if len(times) and times[0] > self.last_ms and times[-1] <= now_ms + FUTURE_MS and (times[1:] > times[:-1]).all() and (
                np.isfinite(values).all()):
            return times, values   # nearly always
        use = np.isfinite(values) & (times <= now_ms + FUTURE_MS)
        if self.last_ms >= 0 and use.any() and int(times[use].max()) < self.last_ms - STEP_BACK_MS:
            self._start_anew()
        use &= times > self.last_ms
        self.refused += int(len(times) - use.sum())
        times, values = times[use], values[use]
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        fresh = np.diff(times, prepend=-1) != 0
        self.refused += int(len(times) - fresh.sum())
        return times[fresh], values[fresh]

    def fold(self, times: Times, values: Values) -> list[Slot]:
        """Take sifted readings and give the slots that have ended by them."""
        if not len(times):
            return []
        started = self.last_ms >= 0
        since, moved = np.empty_like(times), np.empty(len(times), np.bool_)
        since[0], moved[0] = (times[0] - self.last_ms, values[0] != self.last) if started else (0, True)
        since[1:], moved[1:] = times[1:] - times[:-1], values[1:] != values[:-1]
        moved |= since > BROKEN_RUN_SLOTS * self.slot_ms
        run_since = np.maximum.accumulate(np.where(moved, times, self.run_since_ms))
        runs = times - run_since
        numbers = times // self.slot_ms
        first = np.concatenate([[0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1])
        rows = zip(
            numbers[first].tolist(), (np.concatenate([first[1:], [len(times)]]) - first).tolist(),
            np.add.reduceat(values, first).tolist(), np.minimum.reduceat(values, first).tolist(),
            np.maximum.reduceat(values, first).tolist(),
            np.maximum.reduceat(since, first).tolist(), np.maximum.reduceat(runs, first).tolist(), strict=True)
        ended = []
        for number, count, total, low, high, gap_ms, run_ms in rows:
            if number != self.at:
                ended += self.end()
                self.at, self.total, self.low, self.high, self.gap_ms, self.run_ms = number, 0.0, low, high, 0, 0
            elif not self.count:
                self.total, self.low, self.high, self.gap_ms, self.run_ms = 0.0, low, high, 0, 0   # ended early, goes on
            self.count += count
            self.total += total
            self.low, self.high = min(self.low, low), max(self.high, high)
            self.gap_ms, self.run_ms = max(self.gap_ms, gap_ms), max(self.run_ms, run_ms)
        self.last_ms, self.last, self.run_since_ms = int(times[-1]), float(values[-1]), int(run_since[-1])
        return ended

    def end(self) -> list[Slot]:
        """Give the open slot, as when its time is over."""
        ended = [self._slot()] if self.count else []
        self.count = 0
        return ended

    def _start_anew(self) -> None:
        self.at, self.count, self.last_ms, self.run_since_ms = -1, 0, -1, -1

    def _slot(self) -> Slot:
        rest = self.count - 2
        centre = (self.total - self.low - self.high) / rest if rest > 0 else self.total / self.count
        return Slot(self.at * self.slot_ms, self.count, centre, self.low, self.high, self.gap_ms, self.run_ms)
