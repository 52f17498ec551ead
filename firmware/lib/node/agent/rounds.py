"""When a check-in is due, and that a trial is judged while waiting for it.

Stays in memory; what a round needs (HTTP, check-in, update, slots) is loaded for as long as it takes. Decides nothing that those
decide.
"""

import asyncio

from node.compat import const
from node.loading import Loaded

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.checkin import CheckIn
    from node.agent.turns import Turns
    from node.agent.update import Update
    from node.hints import Any, Callable
    from node.ports import Clock

SLICE_MS = const(1000)   # between looks at the clock


class Rounds:
    """The check-in task.

    Args:
        make: builds (update, check-in) from what their keep() said last in this boot: (None, None) at first.
        look_ms: between looks at a release on trial; each look loads the code that judges it.
        alive: called in every slice.
    """

    def __init__(self, turns: "Turns", clock: "Clock", make: "Callable[[Any, Any], tuple[Update, CheckIn]]", *, look_ms: int,
                 alive: "Callable[[], None]") -> None:
        self._turns, self._clock, self._make, self._look_every_ms, self._alive = turns, clock, make, look_ms, alive
        self._kept: tuple[Any, Any] = (None, None)
        self._trial = True   # until looked at
        self._look_ms = 0    # when to look next
        self._due_ms: int | None = None   # of the next round; None until there is a certificate

    async def run(self, ready: "Callable[[], bool]") -> None:
        """Check in for ever; raises only what the supervisor should count.

        Args:
            ready: says whether there is a certificate to check in with; a trial is judged, and ends, without one too.
        """
        while True:
            self._alive()
            now_ms = self._clock.ticks_ms()
            news = False
            if self._trial and now_ms >= self._look_ms:
                news = self._look()
                self._look_ms = now_ms + self._look_every_ms
            if ready():
                if self._due_ms is None:
                    self._due_ms = now_ms + self._first_wait_ms()
                if news or now_ms >= self._due_ms:
                    await self._round()
            await asyncio.sleep(SLICE_MS / 1000)

    def _look(self) -> bool:
        """Judge the trial; whether the server should hear news at once."""
        with Loaded():
            update, checkin = self._make(*self._kept)
            news = update.tick()
            self._keep(update, checkin)
        return news

    def _first_wait_ms(self) -> int:
        with Loaded():
            return self._make(*self._kept)[1].first_wait_ms()

    async def _round(self) -> None:
        await self._turns.take(self._alive)
        try:
            with Loaded():
                update, checkin = self._make(*self._kept)
                update.tick()
                wait_ms = await checkin.cycle()
                self._keep(update, checkin)
                del update, checkin   # they would keep their modules
            self._due_ms = self._clock.ticks_ms() + wait_ms
        finally:
            self._turns.give()

    def _keep(self, update: "Update", checkin: "CheckIn") -> None:
        self._kept = (update.keep(), checkin.keep())
        self._trial = update.facts()["trial"]
