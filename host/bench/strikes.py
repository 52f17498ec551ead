"""The faults of `bench faults`, and whether they happened: what did not happen, or when nothing was on its way, proves nothing.

Killing is SIGKILL, and the process is started again at once; of PostgreSQL all processes are killed. A stall is a held write lock
(SQLite) or SIGSTOP of all processes of PostgreSQL. A full disk is a limit on the size of the files that ingest, or PostgreSQL, may
write (RLIMIT_FSIZE), lifted after a while: writes fail as they do when a disk is full, with another error number. PostgreSQL
panics, since it cannot write its log, and does not come up again until there is room.

Decides nothing of what is stored: faults.py does.
"""

import asyncio
import contextlib
import os
import re
import resource
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from host.bench import postgres
from host.bench.talking import Done, Progress
from host.sim.processes import Child

FULL_BYTES = 64 << 10   # logs of these runs stay below, so that they tell; databases are above it
STILL_S = 0.5           # acks of what was committed before a stall have come when there was none for so long
STILL_LIMIT_S = 30.0    # if they never end, nothing stalls
LOOK_S = 0.1
# What is said when a write fails: by ingest of SQLite, by PostgreSQL itself (strerror of EFBIG).
FAILED_WRITE = {"sqlite": re.compile(r"cannot store, .*(?:disk I/O error|disk is full)"),
                "postgresql": re.compile(r"(?:PANIC|FATAL|ERROR): .*: File too large")}


@dataclass(frozen=True)
class Case:
    """One run: what happens at its marks, and what the devices do all the time."""

    name: str
    database: str
    kill: tuple[str, ...] = ()
    stall: bool = False
    full: bool = False
    duplicate_pct: float = 0.0
    garbage_pct: float = 0.0
    reorder: bool = False
    steps: bool = False

    @property
    def strikes(self) -> bool:
        """Whether something happens at the marks."""
        return bool(self.kill or self.stall or self.full)


def not_happened(case: Case, times: int, wanted: int, done: Done, clock_steps: int) -> list[str]:
    """Which faults of a case did not happen, or not as often as they should have.

    Args:
        times: strikes that hit. wanted: how many should have.
        clock_steps: jumps of the devices' clocks in what was sent.
    """
    happened = {
        "strike": times >= wanted or not case.strikes,
        "duplicates": bool(done["duplicates"]) or not case.duplicate_pct,
        "garbage": bool(done["garbage"]) or not case.garbage_pct,
        "reordering": bool(done["reordered"]) or not case.reorder,
        "clock steps": bool(clock_steps) or not case.steps,
    }
    return [name for name, so in happened.items() if not so]


class Strikes:
    """Makes a case's fault happen; `times`: how often it truly did, with records on their way."""

    def __init__(
        self, case: Case, children: Mapping[str, Child], cluster: postgres.Cluster | None, url: str, stall_s: float,
    ) -> None:
        self._case, self._children, self._cluster, self._url, self._stall_s = case, children, cluster, url, stall_s
        self._heard = Progress(acked=0, under_way=0, at_s=0.0)
        self.times = 0

    def hear(self, progress: Progress) -> None:
        """Take what the devices say while they talk."""
        self._heard = progress

    async def strike(self) -> None:
        """Let it happen once, and end."""
        began_s = time.monotonic()
        if self._case.kill:
            hit, began_s = self._killed(), time.monotonic()
        elif self._case.stall:
            async with self._stopped() if self._cluster is not None else self._locked():
                hit = await self._still()
        else:
            hit = await self._filled()
        if hit and await self._until(lambda: self._heard["at_s"] > began_s):
            self.times += self._heard["under_way"] > 0

    def _killed(self) -> bool:
        """Kill all that the case names, at once; whether all of them ran."""
        pids = {name: [self._children[name].pid or 0] for name in self._case.kill}
        if "database" in pids and self._cluster is not None:
            pids["database"] = self._cluster.processes() or [0]
        for pid in (pid for each in pids.values() for pid in each if pid):
            with contextlib.suppress(ProcessLookupError):   # a worker of PostgreSQL's that ended by itself
                os.kill(pid, signal.SIGKILL)
        return all(all(each) for each in pids.values())

    async def _still(self) -> bool:
        """Wait for the length of a stall; whether no record was acked meanwhile."""
        acked = -1

        def quiet() -> bool:
            nonlocal acked
            acked, before = self._heard["acked"], acked
            return acked == before

        if not await self._until(quiet, STILL_S):
            return False
        await asyncio.sleep(self._stall_s)
        return self._heard["acked"] == acked

    @contextlib.asynccontextmanager
    async def _stopped(self) -> AsyncIterator[None]:
        pids = [] if self._cluster is None else self._cluster.processes()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        connection = sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=60, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    async def _filled(self) -> bool:
        """Let no file grow for a while, also of processes that are started meanwhile; whether a write failed."""
        failed, end_s = self._failed_writes(), time.monotonic() + self._stall_s
        try:
            while time.monotonic() < end_s:
                self._limit(FULL_BYTES)
                await asyncio.sleep(LOOK_S)
        finally:
            self._limit(None)
        return self._failed_writes() > failed

    def _limit(self, size: int | None) -> None:
        pid = self._children["ingest"].pid
        if self._cluster is not None:
            self._cluster.limit_files(size)
        elif pid is not None:
            with contextlib.suppress(ProcessLookupError):
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def _failed_writes(self) -> int:
        told = self._children["ingest" if self._cluster is None else "database"].log()
        return len(FAILED_WRITE[self._case.database].findall(told))

    @staticmethod
    async def _until(is_so: Callable[[], bool], look_s: float = LOOK_S) -> bool:
        end_s = time.monotonic() + STILL_LIMIT_S
        while not (so := is_so()) and time.monotonic() < end_s:
            await asyncio.sleep(look_s)
        return so
