"""When the next sample is taken, which sources are started and read for it, and what a failing one costs: its own readings.

Times are monotonic ticks on the device's own grid; a sample that comes late keeps its place on the grid and its lateness is
reported; places that went by are skipped, never made up. A source that fails is tried again with each sample, its bus recovered in
between; after some failures in a row it is bad, and tried at growing gaps only; it is well as soon as it answers. A value is
given once, to the sample that its measurement was started for. Filters nothing, stores nothing and reads no clock.
"""

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Iterable, Sequence
    from node.ports import Source

RECOVER_AT = (3, 6)   # failures in a row: one glitch is common, three are a stuck bus
BAD_AFTER = 8         # failures in a row: a channel that gives nothing for so many samples has no sensor
MAX_DOUBLINGS = 3     # gaps of a bad source: 2, 4, 8, 16 samples. Trying costs its bus some milliseconds; a sensor that is plugged
#                       in again is seen a quarter of a minute later at a sample a second


def next_slot(due_ms: int, now_ms: int, period_ms: int) -> tuple[int, int]:
    """The grid place after `due_ms` that is not yet over.

    Returns:
        (its time, how many places were skipped because they went by).
    """
    missed = max(0, (now_ms - due_ms) // period_ms)
    return due_ms + (missed + 1) * period_ms, missed


def plan(failures: int) -> tuple[int, bool]:
    """What follows so many failures in a row, at least one.

    Returns:
        (samples that go by before the source is tried again, whether its bus is recovered first).
    """
    if failures < BAD_AFTER:
        return 0, failures in RECOVER_AT
    return (2 << min(failures - BAD_AFTER, MAX_DOUBLINGS)) - 1, True


class _Health:
    """One source and how it stands.

    Attributes:
        failures: in a row; 0 while it is well.
    """

    def __init__(self, source: "Source") -> None:
        self.source = source
        self.failures = 0
        self._skip = 0
        self._due: set[int] = set()   # channels that a measurement was started for, their values not yet taken
        self._row: Sequence[int | None] | None = None   # None: it has not been read since it was started

    def start(self, places: "Sequence[int]") -> None:
        wanted = {channel for channel in self.source.channels if channel in places}
        if not wanted:
            return
        under_way = len(self._due) > 0 and self._row is None and not wanted & self._due   # started for other channels just now
        self._due |= wanted
        if under_way:
            return
        self._row = None
        if self._skip:
            self._skip -= 1
            self._row = self._nothing()
            return
        try:
            self.source.start()
        except Exception:   # a driver may raise anything; sampling goes on
            self._failed()

    def take(self, places: "Sequence[int]", row: "list[int | None]") -> None:
        if not self.source.lead_ms:
            self.start(places)
        for i, channel in enumerate(self.source.channels):
            if channel in self._due and channel in places:
                if self._row is None:
                    self._read()
                row[places.index(channel)] = self._row[i]   # type: ignore[index]  # _read() has set it
                self._due.remove(channel)

    def _nothing(self) -> "list[int | None]":
        return [None] * len(self.source.channels)

    def _read(self) -> None:
        try:
            self._row = self.source.read()
            whole = len(self._row) == len(self.source.channels)
        except Exception:   # as above
            whole = False
        if whole:
            self.failures = 0
        else:
            self._failed()

    def _failed(self) -> None:
        self._row = self._nothing()
        self.failures += 1
        self._skip, recover = plan(self.failures)
        if recover:
            try:
                self.source.recover()
            except Exception:   # as above; the next attempt is planned
                return


class Sampler:
    """Reads channels from a board's sources and survives them.

    Channels are named by their places in the configuration. What is overdue is taken before the next is started: a source that is
    already measuring for other channels is not started again for these.
    """

    def __init__(self, sources: "Iterable[Source]", channels: int) -> None:
        self._all = [_Health(source) for source in sources]
        self._channels = channels

    def lead_ms(self, places: "Sequence[int]") -> int:
        """How long before a sample of these channels start() is to be called; 0: it need not be."""
        return max([each.source.lead_ms for each in self._all if any(one in places for one in each.source.channels)] + [0])

    def start(self, places: "Sequence[int]") -> None:
        """Start the measurements that take time."""
        for each in self._all:
            if each.source.lead_ms:
                each.start(places)

    def take(self, places: "Sequence[int]") -> "list[int | None]":
        """The values of these channels, in their order; None where there is none now."""
        row: list[int | None] = [None] * len(places)
        for each in self._all:
            each.take(places, row)
        return row

    @property
    def bad(self) -> int:
        """How many channels have a bad source, or none."""
        return self._channels - sum(len(each.source.channels) for each in self._all if each.failures < BAD_AFTER)
