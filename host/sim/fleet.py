"""The power supply and the wiring of simulated boards: each board is one process of real MicroPython on its own flash file.

Decides only what electricity decides: a reset starts the program again, a crash does too, a power cut is SIGKILL at any
instant, and a watchdog that was not fed in time resets the board. What a board does is the firmware's business (firmware/).
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from host.sim.processes import die_with_parent

HEAP = "320k"            # an update needs 272 KB on this 64-bit port; what an ESP32 needs, firmware/DESIGN.md, "Memory"
RESET_EXIT = 75          # what the simulated chip exits with for machine.reset()
REBOOT_S = 0.3           # a board takes about this long from reset to the first line of Python
MAX_LINE_BYTES = 4096    # a console line; longer ones are noise
ROM = Path(__file__).parents[2] / "firmware" / "board" / "unix" / "rom.py"

Listener = Callable[[str, str, dict[str, object]], None]   # device id, word ("BIRTH", "LOG"), values


def micropython() -> Path:
    """Return the MicroPython interpreter of this environment."""
    return Path(sys.prefix) / "bin" / "micropython"


@dataclass
class Board:
    """One board: its flash, its socket in the wall, and a serial console that somebody may listen to."""

    device: str
    mac: str
    flash: Path
    bench: Path
    log: Path
    listener: Listener
    powered: bool = True
    resets: int = 0       # by itself: machine.reset()
    crashes: int = 0      # the interpreter ended in another way, a kill from outside included
    power_cuts: int = 0
    starved: int = 0      # resets by the watchdog
    armed_at_s: float = 0.0   # Unix seconds of the last start; an older pulse belongs to the life before
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

    async def _run(self) -> None:
        while self.powered:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    micropython(), "-X", f"heapsize={HEAP}", ROM,
                    "--flash", self.flash, "--mac", self.mac, "--bench", self.bench,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, limit=MAX_LINE_BYTES,
                    start_new_session=True, preexec_fn=die_with_parent,
                )
                self.armed_at_s = time.time()
                guard = asyncio.create_task(self._watchdog())
                await self._listen(log.fileno())
                code = await self._process.wait()
                guard.cancel()
            if not self.powered:
                return
            if code == RESET_EXIT:
                self.resets += 1
            else:
                self.crashes += 1
            await asyncio.sleep(REBOOT_S)

    async def _listen(self, log: int) -> None:
        assert self._process is not None and self._process.stdout is not None  # noqa: S101,PT018  set by _run
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:   # longer than MAX_LINE_BYTES: the reader dropped it
                continue
            if not line:
                return
            os.write(log, line)
            word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if word in ("BIRTH", "LOG"):
                with contextlib.suppress(ValueError):
                    values = json.loads(rest)
                    if isinstance(values, dict):
                        self.listener(self.device, word, values)

    async def _watchdog(self) -> None:
        fed = self.bench / f"{self.device}.wdt"
        while True:
            await asyncio.sleep(1)
            try:
                timeout_s = int(fed.read_text() or 0) / 1000
                last_s = max(fed.stat().st_mtime, self.armed_at_s)
            except (OSError, ValueError):
                continue   # not armed yet
            if timeout_s and time.time() - last_s > timeout_s:
                self.starved += 1
                (self.bench / f"{self.mac}.rtc").write_text("watchdog")   # the reset cause that the chip will tell
                self._kill()

    def _kill(self) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
