"""A threshold that meets a budget: from the highest score of each block of time.

Decides how high a score may get by chance. The highest scores of equal blocks follow a Gumbel distribution as long as single scores
have an exponential tail; it is fitted by L-moments, its scale taken an error too wide, since few blocks are known, and
extrapolated to how rare an alarm is to be. No threshold is below the highest score of the calibration. What was above
the threshold goes in as the highest score that was not: by the fit's own account it is no chance, and a fault must not hide the
next one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

EULER = 0.5772156649
LEAST_BLOCKS = 3


@dataclass(slots=True)
class Peaks:
    """Highest scores of the last blocks; `block` is the number of the open one."""

    highs: list[float] = field(default_factory=list)
    block: int = -1
    high: float = 0.0

    def step(self, block: int, score: float, kept: int) -> bool:
        """Take a score; tells whether a block has ended by it."""
        ended = block != self.block and self.block >= 0
        if ended:
            self.highs.append(self.high)
            del self.highs[:-kept]
        if block != self.block:
            self.block, self.high = block, score
        else:
            self.high = max(self.high, score)
        return ended


def threshold(highs: Sequence[float], chance: float) -> float:
    """The score that a block exceeds with this chance, from the highest scores of some blocks.

    Args:
        highs: at least LEAST_BLOCKS of them.
        chance: 0 < chance < 1, of a block.
    """
    ordered = sorted(highs)
    n = len(ordered)
    mean = sum(ordered) / n
    weighted = sum(place * one for place, one in enumerate(ordered)) / (n * (n - 1))
    wide = max(0.0, (2 * weighted - mean) / math.log(2))
    start = mean - EULER * wide
    wide *= 1 + 1 / math.sqrt(n)
    return max(ordered[-1], start - wide * math.log(-math.log1p(-min(chance, 0.5))))
