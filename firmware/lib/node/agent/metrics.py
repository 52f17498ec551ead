"""The device's counters since boot, as the check-in reports them.

Counts what others tell it; the names are those of node.wire.metrics.METRICS and no others. All are integers, cumulative
since boot unless the name says a state (ring_used, heap_free) or a maximum (late_max_ms). Also counts failures by class,
for the console of the board.
"""

from node.errors import CallerError, NodeError
from node.wire.metrics import METRICS


class Metrics:
    """A fixed set of integers, and the last failure of each part."""

    def __init__(self) -> None:
        self._values = dict.fromkeys(METRICS, 0)
        self.faults: dict[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        self._check(name)
        self._values[name] += amount

    def peak(self, name: str, value: int) -> None:
        """Keep the largest value seen."""
        self._check(name)
        self._values[name] = max(value, self._values[name])

    def low(self, name: str, value: int) -> None:
        """Keep the smallest value seen; 0 is none yet."""
        self._check(name)
        self._values[name] = min(value, self._values[name] or value)

    def put(self, name: str, value: int) -> None:
        """Replace a state such as ring_used."""
        self._check(name)
        self._values[name] = value

    def get(self, name: str) -> int:
        self._check(name)
        return self._values[name]

    def fault(self, where: str, error: BaseException) -> str:
        """Count an exception by the part and its class or code, and return that name, such as "uplink:OSError"."""
        kind = error.code if isinstance(error, NodeError) else type(error).__name__
        name = where + ":" + kind
        self.faults[name] = self.faults.get(name, 0) + 1
        return name

    def snapshot(self) -> dict[str, int]:
        return dict(self._values)

    def _check(self, name: str) -> None:
        if name not in self._values:
            raise CallerError("metrics.name", "got %s, expected one of node.wire.metrics.METRICS" % name)
