"""One emulated board: QEMU on a flash file, its serial port a TCP socket on this machine.

A reset inside the chip is QEMU's own business; SIGKILL of QEMU is a power cut. QEMU hands each write of the chip to the kernel
at once, without a buffer of its own: SIGKILL loses at most the writes of the last millisecond, which no peer can have heard of.
"""

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from host.sim.esp32 import efuse
from host.sim.esp32.qemu import Emulator, EmulatorError
from host.sim.powered import MAX_LINE_BYTES, REBOOT_S, Powered
from host.sim.processes import die_with_parent

PROMPT = b">>> "   # MicroPython's; only a board on the line shows it
PROMPT_S = 60.0   # to the prompt: 3 s on an idle machine
_RESET = re.compile(rb"rst:0x[0-9a-f]+ \((\w+)\)")   # the chip's ROM tells each start and its cause
_PANICS = (b"Guru Meditation Error", b"abort() was called")
_WATCHDOG = b"Task watchdog got triggered"


@dataclass
class Emulated(Powered):
    """One board. Its resets are starts that were no power-on, its crashes panics, and ends of the emulator.

    Attributes:
        emulator: what runs it.
        on_line: told each line of its console as it stands, for people.
        started_s: time.monotonic() of the last power-on.
        on_the_line: set when it is at its prompt: it has no site.
    """

    emulator: Emulator = field(kw_only=True)
    on_line: Callable[[str], None] | None = None
    started_s: float = 0.0
    on_the_line: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _listener: socket.socket | None = field(default=None, repr=False)
    _free: asyncio.Event = field(default_factory=asyncio.Event, repr=False)   # nobody else has the serial port
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._free.set()

    @property
    def port(self) -> str:
        """The serial port, as mpremote takes it; the same over power cuts."""
        host, number = self._socket().getsockname()
        return f"socket://{host}:{number}"

    async def unplug(self) -> None:
        """Cut the power for good: as any board, and the serial port is closed."""
        await super().unplug()
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
                hearing = asyncio.create_task(self._attend(log.fileno()))
                await self._process.wait()
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
            if self.powered:
                self.crashes += 1
                await asyncio.sleep(REBOOT_S)

    async def _attend(self, log: int) -> None:
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
        self._hear(text)

    def _socket(self) -> socket.socket:
        """The listening socket, which QEMU inherits: no port can be lost to somebody else between two starts."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
        return self._listener
