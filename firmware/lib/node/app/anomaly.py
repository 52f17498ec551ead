"""How unusual a sample is, from what came before it, in two numbers of memory.

score = |x - level| / spread, in tenths. `level` is an exponential average of the values and `spread` one of their distances from
it, both with the weight 1/64 and as they were before the sample; what goes into them is cut at 4 spreads, so that an outlier
does not hide the next. For normal noise the spread is 0.8 standard deviations: a score of 5 is 4 of them.

Limits: the first 64 samples have no score, and what is unusual among them makes the spread too large for some hundred samples. The
spread is at least a step of the resolution. A ramp or an oscillation slower than 64 samples becomes the level; the new level
after a jump is usual after some 50 samples. It knows no seasons and no other channels.
"""

from node.compat import const

_SCALE = const(64)     # level and spread keep 6 bits below a step
WEIGHT = const(64)     # samples that the averages remember, and that they begin with
CUT = const(4)         # spreads
MOST = const(999)      # tenths


class Score:
    """The score of one channel."""

    def __init__(self) -> None:
        self._level = 0
        self._spread = 0
        self._seen = 0

    def step(self, value: int | None) -> int | None:
        """Tenths, 0..MOST; None for a missing sample and while there are too few."""
        if value is None:
            return None
        off = value * _SCALE - self._level
        score = None
        if self._seen < WEIGHT:
            self._seen += 1
            if self._seen == 1:
                self._level += off
                off = 0
        else:
            spread = max(self._spread, _SCALE)
            score = min(10 * abs(off) // spread, MOST)
            off = max(-CUT * spread, min(off, CUT * spread))
        half = self._seen // 2
        self._level += (off + half) // self._seen
        self._spread += (abs(off) - self._spread + half) // self._seen
        return score
