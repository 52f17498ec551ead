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
    from node.agent.server import Server
    from node.agent.turns import Turns
    from node.agent.update import Update
    from node.hints import Any, Callable, Protocol
    from node.ports import Clock

    class Parts(Protocol):
        """What is loaded for a round: parts.py."""

        def update(self, device: Any, kept: Any) -> Update:
            """The Update; `kept`: what keep() of the one before in this boot said, None at first."""

        def checkin(self, device: Any, kept: Any) -> CheckIn:
            """The CheckIn; `kept` as for the Update."""

        def config_facts(self, device: Any) -> dict[str, Any]:
            """What the check-in tells of the configuration."""

        def config_told(self, device: Any) -> None:
            """The server has heard that."""

        def config_came(self, device: Any, name: str, body: bytes) -> None:
            """Take a configuration that the server delivers; may restart the board."""

        def config_judged(self, device: Any, checked_in: bool) -> bool:
            """Judge the configuration on trial; whether it has been kept. May restart the board."""

        def server(self, device: Any) -> Server:
            """The update server's interface."""

        def first_wait_ms(self, device: Any) -> int:
            """Until the first check-in of this boot."""

SLICE_MS = const(1000)   # between looks at the clock


class Rounds:
    """The check-in task.

    Args:
        device: what Parts are made for. load: imports Parts.
        look_ms: between looks at a trial; each loads the code that judges it.
        alive: called in every slice.
    """

    def __init__(self, turns: "Turns", clock: "Clock", device: "Any", load: "Callable[[], Parts]", *, look_ms: int,
                 alive: "Callable[[], None]") -> None:
        self._turns, self._clock, self._device, self._load = turns, clock, device, load
        self._look_every_ms, self._alive = look_ms, alive
        self._update: Any = None    # what the last one keeps
        self._checkin: Any = None
        self._looking = True        # there is a release to judge: at first, whether there is
        self._checked_in = False    # this boot
        self._look_ms = 0           # when to look next
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
            if now_ms >= self._look_ms:
                news = self._look()
                self._look_ms = now_ms + self._look_every_ms
            if ready():
                if self._due_ms is None:
                    with Loaded():
                        self._due_ms = now_ms + self._load().first_wait_ms(self._device)
                if news or now_ms >= self._due_ms:
                    await self._round()
            await asyncio.sleep(SLICE_MS / 1000)

    def _look(self) -> bool:
        """Judge what is on trial; whether the server should hear news at once."""
        news = False
        if self._looking:
            with Loaded():
                update = self._made()
                news = update.tick()
                self._keep(update)
        if self._device.config_trial:
            with Loaded():
                news = self._load().config_judged(self._device, self._checked_in) or news
        return news

    async def _round(self) -> None:
        await self._turns.take(self._alive)
        try:
            wait_ms = await self._exchange()
            self._due_ms = self._clock.ticks_ms() + wait_ms
        finally:
            self._turns.give()

    async def _exchange(self) -> int:
        """One check-in, and what its answer asks for. The code of the update is not in memory while the server is asked."""
        (wait_ms, direction, nonce), answered, config = await self._ask(self._facts())
        if answered:
            self._told()
        if config is not None and direction is None and not (self._looking or self._device.config_trial):
            with Loaded():
                self._load().config_came(self._device, *config)
        if direction is not None and not self._device.config_trial:   # one thing at a time: what fails must be known
            with Loaded():   # the parts themselves are not waited for
                update = self._made()
            wait_ms += 1000 * await update.offered(direction, nonce, self._server)
            self._keep(update)
        return wait_ms

    async def _ask(self, facts: "dict[str, Any]") -> "tuple[tuple[int, bytes | None, str], bool, tuple[str, bytes] | None]":
        with Loaded():
            checkin = self._load().checkin(self._device, self._checkin)
        answer = await checkin.ask(facts)
        self._checkin = checkin.keep()
        return answer, checkin.answered, checkin.config

    def _facts(self) -> "dict[str, Any]":
        with Loaded():
            update = self._made()
            update.tick()
            self._keep(update)
            facts = update.facts()
            facts.update(self._load().config_facts(self._device))
            return facts

    def _told(self) -> None:
        with Loaded():
            update = self._made()
            update.checked_in()
            self._keep(update)
            self._load().config_told(self._device)
        self._checked_in = True

    def _server(self) -> "Server":
        with Loaded():
            return self._load().server(self._device)

    def _made(self) -> "Update":
        return self._load().update(self._device, self._update)

    def _keep(self, update: "Update") -> None:
        self._update = update.keep()
        self._looking = update.facts()["trial"]
