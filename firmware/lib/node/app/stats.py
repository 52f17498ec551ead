"""Statistics of a window of samples. Sums are exact, whatever the length, and take no more memory for a longer window."""

from node.compat import const

_CARRY = const(1 << 29)   # what stays a small integer on the chip: a larger one is a new object with each sample


class Window:
    """Minimum, mean, maximum and standard deviation of samples, in constant memory."""

    def __init__(self) -> None:
        self._n = 0

    def add(self, value: int | None) -> None:
        """Take a sample; a missing one counts for nothing."""
        if value is None:
            return
        if not self._n:
            self._first = self._low = self._high = value
            self._sum = self._squares = self._carried = 0
        elif value < self._low:
            self._low = value
        elif value > self._high:
            self._high = value
        off = value - self._first   # small, where values need not be
        self._n += 1
        self._sum += off
        self._squares += off * off
        if self._squares > _CARRY:
            self._carried += self._squares
            self._squares = 0

    def result(self) -> list[int | None]:
        """[minimum, mean, maximum, standard deviation (over n)] rounded to steps, or four None without a sample. Starts anew."""
        n = self._n
        if not n:
            return [None] * 4
        self._n = 0
        spread = n * (self._squares + self._carried) - self._sum * self._sum   # n^2 times the variance
        return [self._low, self._first + (2 * self._sum + n) // (2 * n), self._high, (_root(4 * spread) + n) // (2 * n)]


def _root(square: int) -> int:
    """The integer square root, by Newton's method from above."""
    if not square:
        return 0
    root = 1 << 2 * len("%x" % square)
    while True:
        below = (root + square // root) // 2
        if below >= root:
            return root
        root = below
