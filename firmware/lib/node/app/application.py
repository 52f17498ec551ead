"""The app: samples on the grid, filters, alarms, and batches into the ring when they are due.

One loop, so that nothing is shared between tasks: it takes what is due next. It knows neither network nor agent: when a batch is
due, how late samples were and what happens after a commit come in as functions. It may crash: the supervisor starts a new one,
and readings not yet committed are the only loss. assembly.py puts it together; what a configuration does not ask for is not here.
"""

import asyncio

from node.app.batcher import Batcher
from node.app.sampler import next_slot

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.batcher import Journal
    from node.app.filters import Filters
    from node.app.sampler import Sampler
    from node.hints import Callable
    from node.ports import Clock


class Group:
    """Channels that are sampled and reported together: one grid, one batcher, one schema.

    Args:
        number: of the group, which names its schema in the journal.
        places: of its channels in the configuration.
        due_ms: the first sample's place on the grid, in ticks.
        filters: what each channel asks for, from assembly.py: (stages, deadband or None, alarm or None).
        columns: of a row.

    Attributes:
        places: of the channels to be sampled next. due_ms: when.
        wake_ms: when there is something to do: then, or earlier, when conversions must be begun.
    """

    def __init__(self, journal: "Journal", number: int, places: tuple[int, ...], period_ms: int, due_ms: int,
                 filters: "list[Filters]", columns: int) -> None:
        self.batcher = Batcher(journal, number, period_ms, columns)
        self.places = places
        self.due_ms = self.wake_ms = due_ms
        self._period_ms = period_ms
        self._filters = filters
        self._alarmed = False

    def take(self, values: list[int | None], late_ms: int) -> bool:
        """Filter what was sampled at due_ms and hand it on; whether an alarm began or ended."""
        self._alarmed = False
        row = []
        for i, value in enumerate(values):
            value = self._smooth(i, value)
            band = self._filters[i][1]
            row.append(value if band is None else band.step(value))
        self.batcher.add(self.due_ms, late_ms, row)
        return self._alarmed

    def _smooth(self, i: int, value: int | None) -> int | None:
        """The i-th channel's value through its filters and past its alarm, which so sees what a deadband holds back."""
        stages, _band, alarm = self._filters[i]
        for stage in stages:
            if value is not None:
                value = stage.step(value)
        if alarm is not None and alarm.step(value, self.due_ms):
            self._alarmed = True
        return value

    def flush(self) -> None:
        """Commit the rows, and what alarms have to tell."""
        self.batcher.flush()
        for _stages, _band, alarm in self._filters:
            if alarm is not None:
                alarm.flush()

    def alarms(self) -> int:
        """How many of its channels are beyond a limit."""
        return len([1 for _stages, _band, alarm in self._filters if alarm is not None and alarm.state])

    def advance(self, now_ms: int) -> None:
        """On to the next place on the grid."""
        self.due_ms, _missed = next_slot(self.due_ms, now_ms, self._period_ms)


class Application:
    """Sampling to commit, for one configuration.

    Args:
        groups: one or more.
        sampler: also an attribute, for whoever reports how many channels are bad.
        batch_samples: a group commits its batch when it has so many rows.
        next_flush_ms: gives the tick at which all batches are due after a given tick: the uplink's scattered period.
        on_late: told how late each sample was, ms.
    """

    def __init__(self, groups: list[Group], sampler: "Sampler", clock: "Clock", *, batch_samples: int,
                 next_flush_ms: "Callable[[int], int]", on_late: "Callable[[int], None]") -> None:
        self._groups = groups
        self.sampler = sampler
        self._clock = clock
        self._batch_samples = batch_samples
        self._next_flush_ms = next_flush_ms
        self._on_late = on_late
        for group in groups:
            group.wake_ms -= sampler.lead_ms(group.places)
        self._flush_due_ms = next_flush_ms(self._next(self._clock.ticks_ms()).due_ms)

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            now_ms = self._clock.ticks_ms()
            await asyncio.sleep(max(self._next(now_ms).wake_ms - now_ms, 0) / 1000)
            self.tick()

    def tick(self) -> None:
        """Do what is due next: begin conversions; or take a sample, commit what is due, and plan the group's next sample."""
        now_ms = self._clock.ticks_ms()
        group = self._next(now_ms)
        if group.wake_ms < group.due_ms:
            group.wake_ms = max(group.due_ms, now_ms + self.sampler.lead_ms(group.places))   # a late one takes its time too
            self.sampler.start(group.places)
            return
        late_ms = max(now_ms - group.due_ms, 0)
        self._on_late(late_ms)
        if group.take(self.sampler.take(group.places), late_ms) or now_ms >= self._flush_due_ms:
            self._flush(self._groups, now_ms)
        elif group.batcher.samples >= self._batch_samples:
            self._flush([group], now_ms)
        group.advance(self._clock.ticks_ms())
        group.wake_ms = group.due_ms - self.sampler.lead_ms(group.places)

    def _flush(self, groups: list[Group], now_ms: int) -> None:
        """Commit their batches; the next is planned when that has left nothing behind."""
        flushed = 0
        for group in groups:
            flushed += group.batcher.samples
            group.flush()
        if flushed and not any(group.batcher.samples for group in self._groups):
            self._flush_due_ms = self._next_flush_ms(now_ms)

    def alarms(self) -> int:
        """How many channels are beyond a limit."""
        return sum([group.alarms() for group in self._groups])

    def _next(self, now_ms: int) -> Group:
        """The group whose turn it is: one that is overdue to be taken before another's start, which might be of the same source."""
        return min(self._groups, key=lambda group: group.wake_ms if group.wake_ms > now_ms else group.wake_ms < group.due_ms)
