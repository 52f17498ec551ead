"""One emulated board: QEMU on a flash file, its serial port a TCP socket on this machine.

Has the face of `host.sim.fleet.Board`: power switch, counters, a listener for what the board says. A reset inside the chip is
QEMU's own business; SIGKILL of QEMU is a power cut. QEMU hands each write of the chip to the kernel at once, without a buffer of
its own: SIGKILL loses at most the writes of the last millisecond, which no peer can have heard of.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from host.sim.esp32 import efuse
from host.sim.esp32.qemu import Emulator, EmulatorError
from host.sim.fleet import MAX_LINE_BYTES, REBOOT_S, Board, Listener
from host.sim.processes import die_with_parent

PROMPT = b">>> "   # MicroPython's; only a board on the line shows it
PROMPT_S = 60.0   # to the prompt: 3 s on an idle machine
WORDS = ("BIRTH", "LOG")
_RESET = re.compile(rb"rst:0x[0-9a-f]+ \((\w+)\)")   # the chip's ROM tells each start and its cause
_PANICS = (b"Guru Meditation Error", b"abort() was called")
_WATCHDOG = b"Task watchdog got triggered"


@dataclass
class Emulated:
    """One board. `on_line` is told each line of its console as it stands, for people; `listener` what it says in JSON."""

    device: str
    mac: str
    flash: Path
    log: Path
    listener: Listener
    emulator: Emulator
    on_line: Callable[[str], None] | None = None
    powered: bool = True
    resets: int = 0       # starts that were no power-on, whatever the cause
    crashes: int = 0      # panics, and ends of the emulator by a kill from outside
    power_cuts: int = 0
    starved: int = 0      # resets by the watchdog
    started_s: float = 0.0   # time.monotonic() of the last power-on
    on_the_line: asyncio.Event = field(default_factory=asyncio.Event, repr=False)   # at its prompt: it has no site
    _listener: socket.socket | None = field(default=None, repr=False)
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, repr=False)
    _free: asyncio.Event = field(default_factory=asyncio.Event, repr=False)   # nobody else has the serial port
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._free.set()

    @property
    def pid(self) -> int | None:
        """Process id while it has power, else None."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def port(self) -> str:
        """The serial port, as mpremote takes it; the same over power cuts."""
        host, number = self._socket().getsockname()
        return f"socket://{host}:{number}"

    def power_on(self) -> None:
        """Plug it in."""
        self.powered = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self.device)

    def cut_power(self) -> None:
        """Pull the plug at this instant."""
        self.powered = False
        self.power_cuts += 1
        self._kill()

    def crash(self) -> None:
        """End it at this instant; the power stays on, so it starts again."""
        self._kill()

    async def unplug(self) -> None:
        """Cut the power for good: the process is gone and the flash file at rest afterwards, the serial port is closed."""
        self.powered = False
        self._kill()
        if self._task is not None:
            await self._task
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def wait_for_line(self, timeout_s: float = PROMPT_S) -> None:
        """Wait until the board waits for the production line.

        Raises:
            EmulatorError: it does not; the message shows its last words.
        """
        try:
            await asyncio.wait_for(self.on_the_line.wait(), timeout_s)
        except TimeoutError:
            raise EmulatorError(f"{self.device}: no prompt within {timeout_s:.0f} s; its last words, from {self.log}:\n"
                                f"{self.last_words()}") from None

    @contextlib.asynccontextmanager
    async def serial(self) -> AsyncIterator[str]:
        """Lend the serial port: nobody listens here meanwhile. Gives it as mpremote takes it."""
        self._free.clear()
        if self._writer is not None:
            self._writer.close()
        try:
            yield self.port
        finally:
            self._free.set()

    def last_words(self, lines: int = 12) -> str:
        """Return the end of its log, for an error message."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    async def _run(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        fuses = self.flash.with_suffix(".efuse")
        if not fuses.exists():
            fuses.write_bytes(efuse.image(self.emulator.chip, bytes.fromhex(self.mac)))
        while self.powered:
            self.on_the_line.clear()
            listener = self._socket()
            with self.log.open("ab") as log:
                self.started_s = time.monotonic()
                self._process = await asyncio.create_subprocess_exec(
                    *self.emulator.argv(self.flash, fuses, listener.fileno()), stdin=asyncio.subprocess.DEVNULL,
                    stdout=log, stderr=log, pass_fds=(listener.fileno(),), start_new_session=True, preexec_fn=die_with_parent)
                if not self.powered:   # cut while it was being started
                    self._kill()
                hearing = asyncio.create_task(self._hear(log.fileno()))
                await self._process.wait()
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
            if self.powered:
                self.crashes += 1
                await asyncio.sleep(REBOOT_S)

    async def _hear(self, log: int) -> None:
        """Listen to the console for as long as the process lives, except while somebody else has the port."""
        while True:
            await self._free.wait()
            host, number = self._socket().getsockname()
            try:
                reader, self._writer = await asyncio.open_connection(host, number)
            except OSError:
                await asyncio.sleep(REBOOT_S)
                continue
            try:
                await self._read(reader, log)
            except OSError:
                pass   # QEMU is gone
            finally:
                self._writer.close()
                self._writer = None
            await asyncio.sleep(0.05)   # QEMU is gone or going

    async def _read(self, reader: asyncio.StreamReader, log: int) -> None:
        rest = b""
        while got := await reader.read(MAX_LINE_BYTES):
            os.write(log, got)
            *lines, rest = (rest + got).split(b"\n")
            for line in lines:
                self._take(line.rstrip(b"\r"))
            if rest == PROMPT:
                self.on_the_line.set()
            rest = rest[-MAX_LINE_BYTES:]   # longer ones are noise

    def _take(self, line: bytes) -> None:
        if reset := _RESET.search(line):
            self.resets += reset[1] != b"POWERON_RESET"
        self.starved += _WATCHDOG in line
        self.crashes += any(panic in line for panic in _PANICS)
        text = line.decode("utf-8", "replace")
        if self.on_line is not None:
            self.on_line(text)
        word, _, rest = text.strip().partition(" ")
        if word in WORDS:
            with contextlib.suppress(ValueError):
                values = json.loads(rest)
                if isinstance(values, dict):
                    self.listener(self.device, word, values)

    def _socket(self) -> socket.socket:
        """The listening socket, which QEMU inherits: no port can be lost to somebody else between two starts."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
        return self._listener

    def _kill(self) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


AnyBoard = Board | Emulated
