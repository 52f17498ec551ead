"""The check-in: once per scattered period the device tells the update server what runs, and hears what should.

One exchange a cycle, over mutual TLS, also while the broker is down. Decides when the next cycle is due; what to do with a
direction is update.py's. An idle check-in verifies nothing and writes nothing.
"""

from node.agent.scatter import backoff_ms, place_in_ms, uniform
from node.compat import const, hexstr
from node.errors import FormatError, NetworkError
from node.wire import checkin
from node.wire.batch import QUALITY_SERVER
from node.wire.limits import NONCE_BYTES

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.clock import DeviceClock
    from node.agent.server import Server
    from node.hints import Any, Callable
    from node.ports import Random

RETRY_BASE_MS = const(2000)   # first wait after an update that failed is 0..2 s, doubling up to one and a half periods


class CheckIn:
    """One device's check-ins. When the next is due is its answer; waiting for it is the caller's.

    Args:
        metrics: gives the metrics by name. missed: called when the server has not answered.
        boot: number of this boot.
        period_s: until the server says another.
        heard: called when the server has answered. log: (event, detail), rarely.
        kept: what keep() of the CheckIn before in this boot said.

    Attributes:
        answered: whether the server has heard the last request.
        config: a configuration that the last answer brought: (name, bytes), or None.
    """

    def __init__(self, server: "Server", clock: "DeviceClock", chance: "Random", *, device: str, boot: int, period_s: int,
                 metrics: "Callable[[], dict[str, int]]", missed: "Callable[[str], None]", heard: "Callable[[], None]",
                 log: "Callable[[str, str], None]", kept: tuple[int, int] | None = None) -> None:
        self._server, self._clock, self._chance = server, clock, chance
        self._device, self._boot = device, boot
        self._period_ms = period_s * 1000
        self._metrics, self._missed, self._heard, self._log = metrics, missed, heard, log
        self._attempts = 0   # in a row that brought a direction, or failed in a trial
        self.answered = False
        self.config: tuple[str, bytes] | None = None
        if kept is not None:
            self._period_ms, self._attempts = kept

    async def ask(self, facts: "dict[str, Any]") -> "tuple[int, bytes | None, str]":
        """One check-in.

        Args:
            facts: what Update.facts() says; its keys are added to.

        Returns:
            Milliseconds until the next; a direction to act upon before that, or None; the nonce that it answers, in hex.
        """
        nonce = hexstr(self._chance.urandom(NONCE_BYTES))
        facts.update({"boot": self._boot, "nonce": nonce, "metrics": self._metrics()})
        self.answered = False
        try:
            answer = checkin.parse_response(await self._server.checkin(checkin.encode_request(facts)))
        except (NetworkError, FormatError) as error:
            self._log("checkin", str(error))
            self._missed("sync_failure")
            return self._failed_in_ms(facts["trial"]), None, nonce
        self._clock.learn(answer["now_s"] * 1000, QUALITY_SERVER)
        self._period_ms = answer["period_s"] * 1000
        self._heard()
        self.answered = True
        self.config = answer["config"]
        if answer["direction"] is None:
            self._attempts = 0
            return self._due_in_ms(), None, nonce
        return self._retry_in_ms(), answer["direction"], nonce   # after an update that failed or was interrupted

    def keep(self) -> tuple[int, int]:
        """What the next CheckIn of this boot must know, as its `kept`: this one may leave memory."""
        return self._period_ms, self._attempts

    def _due_in_ms(self) -> int:
        return place_in_ms(self._device, self._clock.ticks_ms(), self._period_ms, self._chance.urandom(4))

    def _failed_in_ms(self, trial: bool) -> int:
        """When the server asked for it; else in the next period: a fleet whose server is back is no larger a crowd than ever.

        A trial ends soon, and few devices are in one: it is tried again before.
        """
        if self._server.retry_after_s:
            return self._server.retry_after_s * 1000 + uniform(self._chance.urandom(4), RETRY_BASE_MS)
        return self._retry_in_ms() if trial else self._due_in_ms()

    def _retry_in_ms(self) -> int:
        self._attempts += 1
        return backoff_ms(self._attempts, RETRY_BASE_MS, self._period_ms * 3 // 2, self._chance.urandom(4))
