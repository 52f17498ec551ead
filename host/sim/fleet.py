"""The power supply and the wiring of simulated boards: each board is one process of real MicroPython on its own flash file.

Decides only what the chip decides: a reset starts the program again, a crash does too, and a watchdog that was not fed in time
resets the board. What a board does is the firmware's business (firmware/).
"""

import asyncio
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from host.sim import radio
from host.sim.powered import MAX_LINE_BYTES, REBOOT_S, Powered
from host.sim.processes import die_with_parent

HEAP = "256k"            # an update needs 208 KB on this 64-bit port; what an ESP32 needs, firmware/DESIGN.md, "Memory"
RESET_EXIT = 75          # what the simulated chip exits with for machine.reset()
ROM = Path(__file__).parents[2] / "firmware" / "board" / "unix" / "rom.py"


def micropython() -> Path:
    """Return the MicroPython interpreter of this environment."""
    return Path(sys.prefix) / "bin" / "micropython"


@dataclass
class Board(Powered):
    """One board. Its resets are calls of machine.reset(), its crashes any other end of the interpreter."""

    bench: Path = field(kw_only=True)
    heap: str = field(default=HEAP, kw_only=True)
    armed_at_s: float = 0.0   # Unix seconds of the last start; an older pulse belongs to the life before

    async def _run(self) -> None:
        while self.powered:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    micropython(), "-X", f"heapsize={self.heap}", ROM,
                    "--flash", self.flash, "--mac", self.mac, "--bench", self.bench,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, limit=MAX_LINE_BYTES,
                    start_new_session=True, preexec_fn=die_with_parent,
                )
                self.armed_at_s = time.time()
                air = asyncio.create_task(self._air())
                guard = asyncio.create_task(self._watchdog())
                await self._listen(log.fileno())
                code = await self._process.wait()
                guard.cancel()
                air.cancel()
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
            self._hear(line.decode("utf-8", "replace"))

    async def _air(self) -> None:
        """How strong its access point comes in, which the board asks the chip."""
        while True:
            (self.bench / f"{self.mac}.rssi").write_text(str(radio.rssi(self.device, time.time())))
            await asyncio.sleep(radio.STEP_S)

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
