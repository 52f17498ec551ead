"""A plant at work on this machine, from its first certificate until all is stopped: what the demo and `tenfold up` share.

Decides in which order a plant comes up and how long each step may take: every wait has an end, and a step that does not come is a
failure that names the step and the logs. What happens to the plant then is the subclass's.
"""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from host.sim import door
from host.sim.errors import DemoError
from host.sim.esp32 import line
from host.sim.esp32.board import Emulated
from host.sim.fleet import Board
from host.sim.plant import LOT, BuiltRelease, Pace, Plant
from host.sim.powered import Powered
from host.sim.processes import Child, stop_all
from host.sim.programs import Programs
from host.sim.replay import Replay
from host.sim.view import State, Step, View
from host.sim.watch import Watch
from ota.client import UNREACHABLE, OtaError
from provisioning.errors import ProvisioningError

T = TypeVar("T")
FIRST = "1.0.0"
EMULATED_PATIENCE = 4.0   # an emulated board's flash, TLS and boot take longer than a simulated one's by a factor of up to ten
SETTLE_S = 90.0      # births, drains and recoveries of a fleet on two loaded cores take a third of it
PLUG_GAP_S = 0.1     # the line plugs in one board after the other
COMING_UP = {
    "prepare": "certificates, release keys, birth ledger, sensor signals",
    "build": f"release {FIRST} built and signed, a flash for each board",
    "servers": "broker, enrolment, OTA server, ingest, console, alerts, upkeep",
    "births": "every device makes its key, is born, enrols",
    "first": f"everybody on {FIRST}, readings arriving",
}


@dataclass(frozen=True)
class RunOptions:
    """What every run is told.

    Attributes:
        build: the run's folder lies in it. keys: the operator's own, made by `tenfold keys init`; None: throw-away ones.
    """

    devices: int
    console_port: int
    build: Path
    keys: Path | None = None
    esp32: line.Parts | None = None   # one emulated board more


class Run(ABC):
    """One plant, its processes and its boards."""

    def __init__(self, options: RunOptions, pace: Pace, steps: Mapping[str, str], view: View) -> None:
        self._options, self._pace, self._view = options, pace, view
        self._titles = steps
        self._steps = {key: Step(title) for key, title in steps.items()}
        view.steps = list(self._steps.values())
        self._children: dict[str, Child] = {}
        self._boards: dict[str, Powered] = {}
        self._helpers: list[asyncio.Task[None]] = []
        self._main: asyncio.Task[Any] | None = None
        self._enough = asyncio.Event()
        self._staying = False
        self._published: list[BuiltRelease] = []

    @abstractmethod
    async def _tell(self) -> None:
        """What happens, from the first step to the last."""

    def interrupt(self) -> None:
        """Ctrl-C: end the staying, or the run itself."""
        if self._staying:
            self._enough.set()
        elif self._main is not None:
            self._main.cancel()

    async def run(self) -> bool:
        """Do all of it.

        Returns:
            False when the user stopped it before the end.

        Raises:
            DemoError, ProcessError, ReplayError: it cannot start or a step did not happen; everything is stopped by then.
        """
        self._main = asyncio.current_task()
        try:
            await self._tell()
        except asyncio.CancelledError:
            return False
        finally:
            await self._end_helpers()
            await self._stop()
        return True

    async def _come_up(self, replay: Replay | None) -> None:
        """Everything from the certificates to the first readings of the last device."""
        options = self._options
        emulated = [line.device(1)] if options.esp32 else []
        self._plant = Plant.make(options.build, options.devices, options.console_port, self._pace, emulated, options.keys)
        async with self._step("prepare"):
            await asyncio.to_thread(self._plant.make_authorities)
            await asyncio.to_thread(self._plant.make_signals, replay)
        async with self._step("build"):
            first = await asyncio.to_thread(self._plant.make_release, FIRST, 1)
            await asyncio.to_thread(self._plant.make_flashes, first)
            if options.esp32 is not None:
                self._boards.update(await options.esp32.boards(self._plant, first.files, first.named, self._on_console))
        async with self._step("servers"):
            await self._start_servers()
            self._plant.write_operator()
            self._client = self._plant.desk()
            await self._ask(lambda: first.publish(self._client))
            self._published = [first]
            self._watch = Watch(self._plant, self._client, self._boards, self._children, self._view)
            self._helpers.append(asyncio.create_task(self._watch.run()))
        self._servers_are_up()
        await self._births()

    async def _stay(self, note: str) -> None:
        """Run on until the user has had enough; others may bring boards meanwhile."""
        self._staying = True
        self._view.notes.append(note)
        with door.held_open(self._plant):
            await self._enough.wait()
        self._staying = False

    def _servers_are_up(self) -> None:  # noqa: B027  most have nothing to do then
        """Before the first board has power."""

    async def _start_servers(self) -> None:
        for program in Programs(self._plant).all():
            self._children[program.name] = Child(program)
        await asyncio.gather(*(child.start() for child in self._children.values()))
        self._view.console_url = f"http://127.0.0.1:{self._plant.ports.console}"

    async def _births(self) -> None:
        devices = self._plant.simulated
        async with self._step("births") as step:
            on_the_line = [asyncio.create_task(self._options.esp32.bring(board, self._plant, LOT))
                           for board in self._boards.values() if self._options.esp32 and isinstance(board, Emulated)]
            for number, device in enumerate(devices, 1):
                self._boards[device] = simulated = Board(
                    device, device[-12:], self._plant.flash(device), self._plant.log(device), self._on_console,
                    bench=self._plant.bench)
                simulated.power_on()
                step.detail = f"{number} of {len(devices)} boards have power"
                await asyncio.sleep(PLUG_GAP_S)
            await asyncio.gather(*on_the_line)
            await self._until("births", lambda: self._born(step), SETTLE_S)
        async with self._step("first"):
            await self._until("first", lambda: self._watch.all_on(FIRST), SETTLE_S)
            await self._until("first", self._watch.all_reported, SETTLE_S)

    async def _born(self, step: Step) -> bool:
        born = await asyncio.to_thread(self._plant.ledger.devices)
        step.detail = f"{len(born)} of {len(self._plant.devices)} in the ledger"
        return len(born) == len(self._plant.devices)

    def _on_console(self, device: str, word: str, values: dict[str, object]) -> None:
        """Hear a board's serial console."""
        if word == "BIRTH":
            try:
                self._plant.enter(values)
            except ProvisioningError as error:
                self._view.notes.append(f"birth refused: {error}")
        else:
            self._heard(device, values)

    def _heard(self, device: str, values: dict[str, object]) -> None:  # noqa: B027  most need not listen
        """What a board says of its life."""

    async def _ask(self, question: Callable[[], T]) -> T:
        """Ask the OTA server, again while it is away: somebody may have killed it at this moment."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            try:
                return await asyncio.to_thread(question)
            except OtaError as error:
                if error.code != UNREACHABLE or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.5)

    @contextlib.asynccontextmanager
    async def _step(self, key: str) -> AsyncIterator[Step]:
        step = self._steps[key]
        step.state, step.started_s = State.RUNNING, time.monotonic()
        try:
            yield step
        except BaseException:
            step.state = State.FAILED
            raise
        finally:
            step.ended_s = time.monotonic()
        step.state = State.DONE

    async def _until(self, key: str, condition: Callable[[], Awaitable[bool]], limit_s: float) -> None:
        limit_s *= EMULATED_PATIENCE if self._plant.emulated else 1
        deadline = time.monotonic() + limit_s
        while not await condition():
            if time.monotonic() > deadline:
                raise self._late(key, limit_s)
            await asyncio.sleep(0.2)

    def _late(self, key: str, limit_s: float) -> DemoError:
        detail = self._steps[key].detail
        logs = self._plant.folder / "logs"
        return DemoError(f"“{self._titles[key]}” did not happen within {limit_s:.0f} s ({detail}); see {logs}")

    async def _end_helpers(self) -> None:
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)

    async def _stop(self) -> None:
        """Stop every process: the boards by their plugs, the servers politely."""
        for board in self._boards.values():
            board.powered = False
        await asyncio.gather(*(board.unplug() for board in self._boards.values()), stop_all(list(self._children.values())))
