"""The shape of a machine's cycle: what a channel usually reads in each part of it, and how far a cycle is from that.

Decides the cycle (period.py finds it in the first readings, and looks again later where there is none), the usual shape and the
scale of each part, and the score: sigmas of the part that is farthest off, the lesser of two shapes in a row on one side. A
fault that changes two seconds of a minute is lost in the minute's mean and stands out here. The shape of a slot is the mean of
its cycles; where a cycle is longer than a slot, it is one cycle. The level is taken out: scores.py judges it. A machine's clock
is not ours, so each shape is laid over the usual one, and the cycle's start follows it. Knows no thresholds.
"""

from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from host.monitor.anomaly.baseline import CUT_SIGMAS, FREE_SLOTS, LEAST_SHARE, SIGMAS_PER_MEAN_DEVIATION
from host.monitor.anomaly.period import period_of
from host.monitor.anomaly.scores import SHAPE, Score
from host.monitor.anomaly.slots import Times, Values
from host.monitor.anomaly.tuning import Tuning

TRIES = (512, 1024)         # readings after which a period is looked for; after the last try it rests for a block of time
MOST_EMPTY = 0.25           # share of its parts without a reading; a shape with more is not judged
FAR_SHARE = 0.25            # of a cycle that a shape is moved at most to lie over the usual one; after a gap, any
MUCH = 1.05                 # a shape is moved only where it fits so much better
FOLLOW = 0.2                # share of a small shift by which the cycle's start follows
STILL = 0.25                # parts; a smaller shift is noise
LEAST_SCALE = 0.25          # of the parts' median scale: one that never moved is not measured more finely than the others

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Cycle:
    """One channel's cycle.

    Attributes:
        period_ms: 0: none is known. start_ms: of the open shape.
        mean, distance: of each part, the usual value and how far the past was from it on average. seen: shapes learnt.
        sums, counts: of the open shape's readings.
        off, sigmas: of the last shape, from the usual one; nothing after a gap.
        rest_ms: until when no period is looked for. kept_ms, kept: readings in which one is looked for; they are not dumped.
    """

    period_ms: float = 0.0
    start_ms: float = 0.0
    mean: list[float] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)
    seen: int = 0
    sums: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    rest_ms: int = 0
    kept_ms: "array[int]" = field(default_factory=lambda: array("q"))
    kept: "array[float]" = field(default_factory=lambda: array("d"))

    def take(self, times: Times, values: Values, least: float, tuning: Tuning, *, hold: bool) -> list[tuple[int, Score]]:
        """Take readings in the order of time; give the scores of the shapes that have ended, and when they ended."""
        if not len(times):
            return []
        if not self.period_ms:
            found = self._search(times, values, tuning)
            if found is None:
                return []
            times, values = found
        scores = []
        length = self.period_ms * max(1, int(tuning.slot_ms // self.period_ms))
        while len(times):
            away = (times[0] - self.start_ms) // length
            if away < -1 or (away > 0 and not any(self.counts)):   # a clock set back; silence
                self.start_ms += away * length
                self.sums, self.counts, self.sigmas = [0.0] * len(self.sums), [0] * len(self.sums), []
            inside = int(np.searchsorted(times, self.start_ms + length))
            self._add(times[:inside], values[:inside])
            times, values = times[inside:], values[inside:]
            if len(times):
                end_ms = int(self.start_ms + length)
                score = self._end(length, least, tuning, hold=hold)
                scores += [(end_ms, score)] if score else []
        return scores

    def relearn(self) -> None:
        """The last shape is the usual one from now on."""
        if self.sigmas:
            self.mean = [usual + off for usual, off in zip(self.mean, self.off, strict=True)]
            self.sigmas = []

    def _search(self, times: Times, values: Values, tuning: Tuning) -> tuple[Times, Values] | None:
        """Look for a period; where there is one, give what was kept for it, to be folded."""
        if times[-1] < self.rest_ms:
            return None
        had = len(self.kept_ms)
        self.kept_ms.extend(times.tolist())
        self.kept.extend(values.tolist())
        tries = [one for one in TRIES if had < one <= len(self.kept_ms)]
        if not tries:
            return None
        times, values = np.array(self.kept_ms, np.int64), np.array(self.kept)
        found = next((period for one in tries if (period := period_of(times[:one], values[:one]))), None)
        if found:
            self.period_ms = found.ms
            self.start_ms = float(times[0]) - float(np.median(np.diff(times))) / 2   # edges lie between readings
            self.sums, self.counts = [0.0] * found.parts, [0] * found.parts
        if found or len(times) >= TRIES[-1]:
            self.kept_ms, self.kept, self.rest_ms = array("q"), array("d"), int(times[-1]) + tuning.block_ms
        return (times, values) if found else None

    def _add(self, times: Times, values: Values) -> None:
        if len(times):
            parts = len(self.sums)
            part = ((times - self.start_ms) % self.period_ms * (parts / self.period_ms)).astype(np.int64) % parts
            self.sums = (np.bincount(part, values, parts) + self.sums).tolist()
            self.counts = (np.bincount(part, minlength=parts) + self.counts).tolist()

    def _end(self, length: float, least: float, tuning: Tuning, *, hold: bool) -> Score | None:
        """Score the open shape, learn from it, and begin the next."""
        began, counts = self.start_ms, np.array(self.counts)
        row, usual = np.array(self.sums) / np.maximum(1, counts), np.array(self.mean)
        self.sums, self.counts = [0.0] * len(row), [0] * len(row)
        self.start_ms += length
        empty = (counts == 0) | ~np.isfinite(row)
        if empty.mean() > MOST_EMPTY:
            self.sigmas = []
            return None
        if empty.any():   # as usual there, around its own level
            row[empty] = float(np.median((row - usual)[~empty])) + usual[empty] if self.seen else float(row[~empty].mean())
        if not self.seen:
            self.mean, self.distance, self.seen = row.tolist(), [0.0] * len(row), 1
            return None
        row = self._laid(row, usual, follow=not hold)
        off = row - usual
        level = float(np.median(off))
        off -= level
        scale = self._scale(least)
        sigmas = off / scale
        score = self._score(row, usual + level, sigmas, began, length) if self.seen > FREE_SLOTS else None
        if not hold:
            self._learn(off, scale, max(FREE_SLOTS, int(tuning.memory_ms // length)))
        self.off, self.sigmas = off.tolist(), sigmas.tolist()
        return score

    def _scale(self, least: float) -> Floats:
        own = np.array(self.distance) * SIGMAS_PER_MEAN_DEVIATION
        lowest = max(least, float(np.abs(self.mean).max()) * LEAST_SHARE, 1e-12)
        return np.asarray(np.maximum(own, max(lowest, LEAST_SCALE * float(np.median(own)))), np.float64)

    def _laid(self, row: Floats, usual: Floats, *, follow: bool) -> Floats:
        """The row, moved to lie over the usual shape; the next shape's start follows."""
        parts = len(row)
        fit = np.fft.irfft(np.fft.rfft(row - row.mean()) * np.conj(np.fft.rfft(usual - usual.mean())), parts)
        far = int(parts * FAR_SHARE) if self.sigmas else parts // 2
        lags = np.arange(-far, far + 1)
        lag = int(lags[int(np.argmax(fit[lags]))])
        if lag and fit[lag] > MUCH * abs(fit[0]):
            self.start_ms += lag * self.period_ms / parts
            return np.roll(row, -lag)
        left, middle, right = fit[-1], fit[0], fit[1]
        bent = left - 2 * middle + right
        shift = 0.5 * float((left - right) / bent) if bent < 0 else 0.0
        if follow and abs(shift) > STILL:
            self.start_ms += FOLLOW * shift * self.period_ms / parts
        return row

    def _score(self, row: Floats, expected: Floats, sigmas: Floats, began_ms: float, length: float) -> Score:
        before = np.array(self.sigmas) if self.sigmas else np.zeros(len(sigmas))
        both = np.where(sigmas * before > 0, np.minimum(np.abs(sigmas), np.abs(before)), 0.0)
        worst = int(np.argmax(both))
        part = f"{worst * self.period_ms / len(row) / 1000:.3g} s into its cycle of {self.period_ms / 1000:.3g} s"
        return Score(SHAPE, float(both[worst]), float(row[worst]), float(expected[worst]), float(sigmas[worst]),
                     int(began_ms - length), part)

    def _learn(self, off: Floats, scale: Floats, memory: int) -> None:
        cut = off if self.seen < FREE_SLOTS else np.clip(off, -CUT_SIGMAS * scale, CUT_SIGMAS * scale)
        self.seen += 1
        weight = 1.0 / min(self.seen, memory)
        self.mean = (np.array(self.mean) + weight * cut).tolist()
        distance = np.array(self.distance)
        self.distance = (distance + weight * (np.abs(cut) - distance)).tolist()
