"""Owns every task: restarts what fails, counts it, and lets the board reset when restarting does not help.

asyncio goes on without a task that raised; here no task is ever detached. A part of the agent that keeps failing resets the
board; the app never does: its crashes cost readings, not the way to a repair. Also decides whether the watchdog is fed:
every watched task must have shown itself in its time, and some server must have been heard in SILENCE_RESET_MS. Starts
nothing by itself and knows nothing of what the tasks do.
"""

import asyncio

from node.agent.scatter import backoff_ms

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.metrics import Metrics
    from node.hints import Any, Callable, Coroutine
    from node.ports import Clock, Random, System

RESTART_BASE_MS = 500       # first wait is 0..500 ms, then 0.5..1 s and so on
RESTART_CAP_MS = 60_000     # an app that always crashes is tried at least this often
STABLE_MS = 60_000          # a task that ran this long starts with a clean record
MAX_FAILURES = 8            # of an agent's task without a stable minute: about 1-2 min of trying, then reset
SILENCE_RESET_MS = 7_200_000   # 2 h without a word from any server: the last remedy; committed readings are in flash
HEARTBEAT_MS = 1000         # well below the watchdog's 30 s

SILENCE = "silence"   # reason of that reset
RESTART = "restart"
RESET = "reset"


def verdict(failures: int, ran_ms: int, vital: bool) -> tuple[str, int]:
    """What to do with a task that ended.

    Args:
        failures: in a row before this one.
        ran_ms: how long it ran this time.
        vital: part of the agent.

    Returns:
        (RESTART or RESET, failures in a row including this one).
    """
    failures = 1 if ran_ms >= STABLE_MS else failures + 1
    return (RESET if vital and failures > MAX_FAILURES else RESTART), failures


class Supervisor:
    """Runs tasks made by factories until the board resets.

    Args:
        clock, chance, system: ports.
        metrics: counts app_crashes, task_restarts and faults by class.
    """

    def __init__(self, clock: "Clock", chance: "Random", system: "System", metrics: "Metrics") -> None:
        self._clock = clock
        self._chance = chance
        self._system = system
        self._metrics = metrics
        self._factories: list[tuple[str, Callable[[], Coroutine[Any, Any, Any]], bool]] = []
        self._deadlines: dict[str, tuple[int, int]] = {}   # name -> (limit_ms, last shown at)
        self._tasks: list[Any] = []   # a task that nobody holds may be collected
        self._heard_ms = clock.ticks_ms()

    def add(self, name: str, factory: "Callable[[], Coroutine[Any, Any, Any]]", vital: bool = True) -> None:
        """Have `factory()` run for ever. vital=False for the app."""
        self._factories.append((name, factory, vital))

    def watch(self, name: str, limit_ms: int) -> "Callable[[], None]":
        """A function which a task calls to show that it lives; once it has, silence beyond limit_ms resets the board."""

        def alive() -> None:
            self._deadlines[name] = (limit_ms, self._clock.ticks_ms())

        return alive

    def heard(self) -> None:
        """A server answered: an ack or a check-in."""
        self._heard_ms = self._clock.ticks_ms()

    def stuck(self) -> str | None:
        """The name of a watched task past its limit, or None."""
        now = self._clock.ticks_ms()
        for name, (limit_ms, shown_ms) in self._deadlines.items():
            if now - shown_ms > limit_ms:
                return name
        return None

    async def run(self) -> None:
        """Run everything; returns only by an exception, such as the one that resets the board."""
        self._tasks = [asyncio.create_task(self._keep(*one)) for one in self._factories]
        while True:
            self.beat()
            await asyncio.sleep(HEARTBEAT_MS / 1000)

    def beat(self) -> None:
        """Feed the watchdog if all is well; reset at once when a task is stuck or the world has been silent too long."""
        name = self.stuck()
        if name is not None:
            self._system.reset("stuck:" + name, True)
        if self._clock.ticks_ms() - self._heard_ms > SILENCE_RESET_MS:
            self._system.reset(SILENCE, False)   # no proof against the release
        self._system.feed_watchdog()

    async def _keep(self, name: str, factory: "Callable[[], Coroutine[Any, Any, Any]]", vital: bool) -> None:
        failures = 0
        while True:
            started_ms = self._clock.ticks_ms()
            try:
                await factory()
                fault = name + ":returned"
            except Exception as error:   # whatever a task raises, the others go on
                fault = self._metrics.fault(name, error)
            self._metrics.add("task_restarts" if vital else "app_crashes")
            self._system.log("task", fault)
            action, failures = verdict(failures, self._clock.ticks_ms() - started_ms, vital)
            if action == RESET:
                self._system.reset(fault, True)
            wait_ms = backoff_ms(failures, RESTART_BASE_MS, RESTART_CAP_MS, self._chance.urandom(4))
            await asyncio.sleep(wait_ms / 1000)
