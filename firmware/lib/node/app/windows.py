"""Groups whose rows are more than the samples of their channels: statistics of windows in place of values, scores beside them.

A row lies at the end of its windows: they hold the samples after the row before, up to and with its own place. Channels of
different periods end their windows together, since a group's period is a multiple of each and its phase is theirs.
"""

from node.app.anomaly import Score
from node.app.application import Group
from node.app.sampler import next_slot
from node.app.stats import Window

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.batcher import Journal
    from node.app.filters import Filters
    from node.settings import Channel


class _Cell:
    """What one channel puts into a row."""

    def __init__(self, channel: "Channel") -> None:
        self._value: int | None = None
        self._worst: int | None = None   # the highest score since the last row
        self._window = Window() if channel.edge and channel.stats > 1 else None
        self._score = Score() if channel.edge and channel.anomaly else None
        self.columns = (1 if self._window is None else 4) + (self._score is not None)

    def add(self, reported: int | None, smooth: int | None) -> None:
        self._value = reported
        if self._window is not None:
            self._window.add(smooth)
        if self._score is not None:
            score = self._score.step(smooth)
            if score is not None and (self._worst is None or score > self._worst):
                self._worst = score

    def result(self) -> list[int | None]:
        row = [self._value] if self._window is None else self._window.result()
        if self._score is not None:
            row.append(self._worst)
        self._value = self._worst = None
        return row


class Windows(Group):
    """A group with such channels.

    Args:
        due_ms: of its first row. channels: its own, in the order of places. now_ms: its first samples come after it.
    """

    def __init__(self, journal: "Journal", number: int, places: tuple[int, ...], period_ms: int, due_ms: int,
                 filters: "list[Filters]", channels: "list[Channel]", now_ms: int) -> None:
        self._cells = [_Cell(channel) for channel in channels]
        columns = sum([cell.columns for cell in self._cells])
        super().__init__(journal, number, places, period_ms, due_ms, filters, columns)
        periods = [period_ms // channel.stats if channel.edge else period_ms for channel in channels]
        self._grids = [_Grid(one, due_ms - (due_ms - now_ms - 1) // one * one, [i for i, each in enumerate(periods) if each == one])
                       for one in sorted(set(periods))]
        self._all = places
        self._row_ms = due_ms
        self._fresh = False   # something was sampled since the last row
        self._look()
        self.wake_ms = self.due_ms

    def take(self, values: list[int | None], late_ms: int) -> bool:
        """Filter what was sampled. It makes a row where windows end, and where an alarm must not wait for that."""
        self._alarmed = False
        for i, value in zip(self._due, values):   # noqa: B905 MicroPython's zip has no strict
            smooth = self._smooth(i, value)
            band = self._filters[i][1]
            self._cells[i].add(smooth if band is None else band.step(smooth), smooth)
        self._fresh = True
        if self.due_ms < self._row_ms:
            if not self._alarmed:
                return False
            self.batcher.flush()   # what comes is off the grid of the rows: a batch of its own
        self._row(self.due_ms, late_ms)
        return self._alarmed

    def advance(self, now_ms: int) -> None:
        """On to the next place of some channel. A row whose own place went by is made of what there is."""
        for grid in self._grids:
            if grid.due_ms == self.due_ms:
                grid.due_ms, _missed = next_slot(grid.due_ms, now_ms, grid.period_ms)
        self._look()
        if self._row_ms < self.due_ms:
            if self._fresh:
                self._row(self._row_ms, 0)
            self._row_ms += (self.due_ms - self._row_ms + self._period_ms - 1) // self._period_ms * self._period_ms

    def _look(self) -> None:
        """Find out which channels are due next, and when."""
        self.due_ms = min([grid.due_ms for grid in self._grids])
        self._due = [i for grid in self._grids if grid.due_ms == self.due_ms for i in grid.channels]
        self.places = tuple([self._all[i] for i in self._due])

    def _row(self, due_ms: int, late_ms: int) -> None:
        self._fresh = False
        row: list[int | None] = []
        for cell in self._cells:
            row.extend(cell.result())
        self.batcher.add(due_ms, late_ms, row)


class _Grid:
    """Channels of one period: when they are due next."""

    def __init__(self, period_ms: int, due_ms: int, channels: list[int]) -> None:
        self.period_ms = period_ms
        self.due_ms = due_ms
        self.channels = channels
