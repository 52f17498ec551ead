"""The app: samples on the grid, filters, alarms, and batches into the ring when they are due.

One loop, so that nothing is shared between tasks. It knows neither network nor agent: when a batch is due, how late samples
were and what happens after a commit come in as functions. It may crash: the supervisor starts a new one, and readings not
yet committed are the only loss.
"""

import asyncio

from node.app.alarms import Alarm
from node.app.batcher import Batcher
from node.app.filters import Chain
from node.app.sampler import Sampler, next_slot

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.batcher import Journal
    from node.hints import Callable
    from node.ports import Clock, Source
    from node.settings import Config


class Application:
    """Sampling to commit, for one configuration.

    Args:
        first_due_ms: the first sample's place on the grid, in ticks.
        next_flush_ms: gives the tick at which the batch is due after a given tick: the uplink's scattered period.
        on_late: told how late each sample was, ms.
    """

    def __init__(self, config: "Config", sources: "list[Source]", clock: "Clock", journal: "Journal", *, first_due_ms: int,
                 next_flush_ms: "Callable[[int], int]", on_late: "Callable[[int], None]") -> None:
        self._period_ms = config.period_ms
        self._batch_samples = config.batch_samples
        self._clock = clock
        self._next_flush_ms = next_flush_ms
        self._on_late = on_late
        self.sampler = Sampler(sources, len(config.channels))
        self._places = tuple(range(len(config.channels)))
        self._lead_ms = self.sampler.lead_ms(self._places)
        self._chains = [Chain(channel) for channel in config.channels]
        self._alarms = [Alarm(channel) for channel in config.channels]
        self._batcher = Batcher(journal, config.period_ms, len(config.channels))
        self._due_ms = first_due_ms
        self._flush_due_ms = next_flush_ms(first_due_ms)

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            await self._until(self._due_ms - self._lead_ms)
            ready_ms = self._clock.ticks_ms() + self._lead_ms   # when it comes late: a measurement takes its time all the same
            self.sampler.start(self._places)
            await self._until(max(self._due_ms, ready_ms))
            self.tick()

    async def _until(self, at_ms: int) -> None:
        await asyncio.sleep(max(at_ms - self._clock.ticks_ms(), 0) / 1000)

    def tick(self) -> None:
        """Take the sample that is due, commit the batch if it is, and plan the next sample."""
        now_ms = self._clock.ticks_ms()
        late_ms = max(now_ms - self._due_ms, 0)
        self._on_late(late_ms)
        row, alarmed = self._filter(self.sampler.take(self._places))
        self._batcher.add(self._due_ms, late_ms, row)
        if alarmed or self._batcher.samples >= self._batch_samples or now_ms >= self._flush_due_ms:
            self._batcher.flush()
            self._flush_due_ms = self._next_flush_ms(now_ms)
        self._due_ms, _missed = next_slot(self._due_ms, self._clock.ticks_ms(), self._period_ms)

    def _filter(self, row: list[int | None]) -> tuple[list[int | None], bool]:
        """The row to report, and whether an alarm began or ended."""
        alarmed = False
        reported: list[int | None] = []
        for i, value in enumerate(row):
            chain = self._chains[i]
            reported.append(chain.step(value))
            alarmed = self._alarms[i].step(chain.smooth) or alarmed
        return reported, alarmed
