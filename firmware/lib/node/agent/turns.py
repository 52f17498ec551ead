"""Who may have a connection: a chip without PSRAM has room for one TLS session, and several parts of the agent want one.

The uplink's session is long, check-ins and enrolment are short. So the uplink steps aside when somebody else asks, and comes back
when nobody does; however often they ask, it has LEAST_MS in between. Decides only whose turn it is; on boards with room for
several sessions nobody waits for anybody (`room=True`).
"""

import asyncio

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Callable
    from node.ports import Clock

POLL_MS = 50   # between looks whether the turn is free
LEAST_MS = 10_000   # of the uplink between others' turns: connected in 2 s, it gets some windows through


class Turns:
    """The turns of one board's connections.

    Args:
        room: there is memory for several sessions at once. clock: for LEAST_MS.

    Attributes:
        asked: called when somebody wants the uplink to step aside.
    """

    def __init__(self, room: bool, clock: "Clock") -> None:
        self._room, self._clock = room, clock
        self._others = 0   # that wait or hold
        self._held = False
        self._uplink_in = False
        self._entered_ms = 0   # when the uplink came
        self.asked: Callable[[], None] | None = None

    def wanted(self) -> bool:
        """Whether the uplink should step aside."""
        return self._others > 0 and self._clock.ticks_ms() - self._entered_ms >= LEAST_MS

    async def enter(self, alive: "Callable[[], None]") -> None:
        """The uplink comes into memory as soon as nobody else wants a turn, and has it until leave()."""
        while self._others:
            alive()
            await asyncio.sleep(POLL_MS / 1000)
        self._uplink_in = True
        self._entered_ms = self._clock.ticks_ms()

    def leave(self) -> None:
        """The uplink's session is closed, and it has left memory."""
        self._uplink_in = False

    async def take(self, alive: "Callable[[], None]") -> None:
        """Wait until there is room for a short session.

        Args:
            alive: called while waiting: an update may hold the turn for half an hour.
        """
        if self._room:
            return
        self._others += 1
        try:
            if self.asked is not None:
                self.asked()
            while self._held or self._uplink_in:
                alive()
                await asyncio.sleep(POLL_MS / 1000)
            self._held = True
        except BaseException:
            self._others -= 1
            raise

    def give(self) -> None:
        """The short session is closed."""
        if not self._room:
            self._held = False
            self._others -= 1
