"""What every simulated board is to the plant: a plug, some counters, and a console that says things in JSON.

A board is one process. Decides only what electricity decides: a power cut is SIGKILL at any instant, and whatever ends the
process while the power is on is followed by a start. What runs in the process is the subclass's.
"""

import asyncio
import contextlib
import json
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

REBOOT_S = 0.3           # a board takes about this long from reset to the first line of Python
MAX_LINE_BYTES = 4096    # a console line; longer ones are noise
WORDS = ("BIRTH", "LOG")   # what a board says to machines begins with one of them

Listener = Callable[[str, str, dict[str, object]], None]   # device id, word, values


@dataclass
class Powered(ABC):
    """One board. `listener` is told what it says in JSON."""

    device: str
    mac: str
    flash: Path
    log: Path
    listener: Listener
    powered: bool = True
    resets: int = 0       # by itself
    crashes: int = 0      # the program ended in another way, a kill from outside included
    power_cuts: int = 0
    starved: int = 0      # resets by the watchdog
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Process id while it has power, else None."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def power_on(self) -> None:
        """Plug it in."""
        self.powered = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self.device)

    def cut_power(self) -> None:
        """Pull the plug at this instant: nothing is flushed, nothing is said."""
        self.powered = False
        self.power_cuts += 1
        self._kill()

    def crash(self) -> None:
        """End it at this instant; the power stays on, so it starts again."""
        self._kill()

    async def unplug(self) -> None:
        """Cut the power and wait until the process is gone; the flash file is at rest afterwards."""
        self.powered = False
        self._kill()
        if self._task is not None:
            await self._task

    @abstractmethod
    async def _run(self) -> None:
        """Run for as long as it is powered."""

    def _hear(self, line: str) -> None:
        """Pass on a line of its console that is meant for machines."""
        word, _, rest = line.strip().partition(" ")
        if word in WORDS:
            with contextlib.suppress(ValueError):
                values = json.loads(rest)
                if isinstance(values, dict):
                    self.listener(self.device, word, values)

    def _kill(self) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
