"""Child processes of a plant on one machine: start, watch, restart, stop.

Decides when a child that died is started again (at once, then with growing gaps) and how all are stopped: politely, then
by force, each by its process id. Knows nothing of what the children do. If this process itself dies, the kernel takes the
children with it (Linux, PR_SET_PDEATHSIG): nothing is left behind.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

RESTART_FIRST_S = 0.2   # a killed server should be back before its clients have given up
RESTART_MAX_S = 5.0     # a server that dies at each start must not eat the machine
STABLE_S = 10.0         # a child that lived this long starts again with the first gap
STOP_GRACE_S = 3.0      # SIGTERM to SIGKILL; the user waits for this after Ctrl-C
READY_S = 120.0         # the slowest server takes 3 s on an idle machine, 30 s were too few at idle priority; a dead one is told
_PR_SET_PDEATHSIG = 1   # prctl(2)


class ProcessError(Exception):
    """A child could not be started or never became ready; the message carries its last words."""


@dataclass(frozen=True)
class Program:
    """What to run: name shown to people, command line, working folder, log file and the TCP port that says it is ready."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    log: Path
    port: int | None = None


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; runs in the child before exec. Linux only, else nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Child:
    """One supervised program. `held` keeps it down on purpose (an outage); otherwise it is restarted when it dies."""

    program: Program
    process: asyncio.subprocess.Process | None = None
    held: bool = False
    restarts: int = 0
    stopping: bool = False
    _watch: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    async def start(self) -> None:
        """Start and wait until ready; from now on it is restarted whenever it dies.

        Raises:
            ProcessError: it exited or was not ready in time; the message shows the end of its log.
        """
        await self._spawn()
        self._watch = asyncio.create_task(self._keep_alive(), name=f"watch {self.program.name}")
        await self.wait_ready()

    async def wait_ready(self) -> None:
        """Wait until its port accepts connections."""
        deadline = time.monotonic() + READY_S
        while self.program.port is not None and not await _accepts(self.program.port):
            if self.stopping or time.monotonic() > deadline or (self.restarts and not self.pid):
                raise ProcessError(f"{self.program.name} did not become ready:\n{self.last_words()}")
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as a crash would; unless held it is started again by the watcher."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    def hold(self) -> None:
        """Kill it and keep it down until `release`."""
        self.held = True
        self.kill()

    def release(self) -> None:
        """Let the watcher start it again."""
        self.held = False

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after a grace; returns when it is gone."""
        self.stopping = True
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self.process is None or self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_GRACE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def log(self) -> str:
        """Return what it wrote, as far as it wrote anything."""
        try:
            return self.program.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def last_words(self, lines: int = 12) -> str:
        """Return the end of its log, for an error message."""
        return "\n".join(self.log().splitlines()[-lines:]) or "(no log)"

    async def _spawn(self) -> None:
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        with self.program.log.open("ab") as log:
            try:
                self.process = await asyncio.create_subprocess_exec(
                    *self.program.argv, cwd=self.program.cwd, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, preexec_fn=die_with_parent,
                )
            except OSError as error:
                raise ProcessError(f"{self.program.name}: {self.program.argv[0]} cannot be started: {error}") from None

    async def _keep_alive(self) -> None:
        gap_s = RESTART_FIRST_S
        while True:
            assert self.process is not None  # noqa: S101  _spawn came first
            born = time.monotonic()
            await self.process.wait()
            gap_s = RESTART_FIRST_S if time.monotonic() - born > STABLE_S else min(gap_s * 2, RESTART_MAX_S)
            await asyncio.sleep(gap_s)
            while self.held:
                await asyncio.sleep(0.05)
            self.restarts += 1
            await self._spawn()


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def stop_all(children: list[Child]) -> None:
    """Stop all at the same time."""
    await asyncio.gather(*(child.stop() for child in children))
