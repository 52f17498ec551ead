"""The whole firmware at work in a small heap of real MicroPython: what it takes at its peak, and the least heap in which it works.

One simulated board of the demo against the real broker, enrolment, update server and ingest, with the configuration of a device in
the field in fast motion. As on a chip without PSRAM it holds one TLS session, and what it needs for a while only is loaded by
turns. It is at work once the server's acks and check-ins have come back, over a shown number of each. What is used is what lives
after a collection, looked at where the firmware looks at its own low-water marks: at each commit, with the uplink's session in
memory, and at each check-in. This is the 64-bit port, whose objects are twice as large as a chip's; firmware/DESIGN.md has a chip's
figures. An update is not in it.
"""

import asyncio
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from host.sim.fleet import Board
from host.sim.plant import FIRMWARE, REPOSITORY, Pace, Plant
from host.sim.ports import free_ports
from host.sim.processes import Child, stop_all
from host.sim.programs import Programs
from ota.client import OtaClient, OtaError
from provisioning.line.fetch import fetch_umqtt

DEFAULT_KB = 160
LEAST_KB, STEP_KB = 64, 4   # of the search
ACKED, CHECKINS = 20, 2   # records acknowledged and check-ins answered before it counts as at work
WORK_S = 120.0   # it takes some 40: enrolment waits for the birth, and a check-in has the uplink step aside, 10 s apart at least
SPARE_BOARDS = 9   # a board a try: the search has at most 2 + log2 of its range
PACE = Pace(row_ms=100, batch_samples=10, uplink_s=1, checkin_s=2)
TLS_SESSIONS = b"self.tls_sessions = 2"
PROBE = b"""

class Watched(Device):
    def _measure_memory(self, settled):
        Device._measure_memory(self, settled)
        gc.collect()
        self.board.system.log("memory", "%d %d" % (gc.mem_alloc(), gc.mem_free()))


def run(info):
    asyncio.run(Watched(info).run())
"""


class Report(TypedDict):
    """Of one heap; KB are 1024 bytes. `smallest_kb` is None unless it was looked for."""

    heap_kb: int
    peak_kb: float
    free_kb: float
    free_pct: float
    acked: int
    checkins: int
    smallest_kb: int | None


class HeapError(RuntimeError):
    """The firmware did not get to work; the message says what was seen."""


@dataclass
class _Try:
    """What one board said and did."""

    heap_kb: int
    peak: int = 0
    size: int = 0
    acked: int = 0
    checkins: int = 0
    seen_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def works(self) -> bool:
        return self.acked >= ACKED and self.checkins >= CHECKINS and self.peak > 0

    def report(self, smallest_kb: int | None) -> Report:
        free = self.size - self.peak
        return Report(heap_kb=self.heap_kb, peak_kb=self.peak / 1024, free_kb=free / 1024, free_pct=100 * free / self.size,
                      acked=self.acked, checkins=self.checkins, smallest_kb=smallest_kb)


async def measure(heap_kb: int, search: bool) -> Report:
    """Run the firmware in a heap of so many KB, and, if `search`, in smaller ones until it fails.

    Raises:
        HeapError: it did not get to work in the given heap.
        DemoError, ProcessError: servers that could not be started.
    """
    with tempfile.TemporaryDirectory() as folder:
        umqtt = Path(folder) / "umqtt" / "simple.py"
        umqtt.parent.mkdir()
        shutil.copy(await asyncio.to_thread(fetch_umqtt, REPOSITORY / "build"), umqtt)
        plant = Plant.make(Path(folder), SPARE_BOARDS, free_ports(1)[0], PACE)
        await asyncio.to_thread(_prepare, plant)
        programs = Programs(plant)
        programs.write_broker()
        children = [Child(program) for program in (programs.broker(), programs.enrol(), programs.ota(), programs.ingest())]
        try:
            await asyncio.gather(*(child.start() for child in children))
            devices = iter(plant.devices)
            whole = await _work(plant, next(devices), heap_kb)
            if not whole.works:
                raise HeapError(f"not at work in {heap_kb} KB after {WORK_S:.0f} s: {whole.acked} records acknowledged, "
                                f"{whole.checkins} check-ins; {'; '.join(whole.faults) or 'no fault was told'}")
            low, high = LEAST_KB, heap_kb   # fails with low, works with high
            while search and high - low > STEP_KB:
                middle = (low + high) // 2 // STEP_KB * STEP_KB
                tried = await _work(plant, next(devices), middle)
                low, high = (low, middle) if tried.works else (middle, high)
        finally:
            await stop_all(children)
    return whole.report(high if search else None)


def _prepare(plant: Plant) -> None:
    """All that exists before the servers start; the release is that of a chip without PSRAM, and tells what it uses."""
    board = (FIRMWARE / "board/unix/board.py").read_bytes()
    if board.count(TLS_SESSIONS) != 1:
        raise HeapError("board/unix/board.py has changed: this would not be a chip's firmware")
    plant.make_authorities()
    plant.make_signals(None)
    plant.make_flashes(plant.make_release("1.0.0", 1, {
        "board/unix/board.py": board.replace(TLS_SESSIONS, b"self.tls_sessions = 1"),
        "device.py": (FIRMWARE / "device.py").read_bytes() + PROBE,
    }))


async def _work(plant: Plant, device: str, heap_kb: int) -> _Try:
    """Give one new board power until it is at work, has failed, or time is up."""
    tried = _Try(heap_kb)

    def hear(_device: str, word: str, values: dict[str, object]) -> None:
        if word == "BIRTH":
            plant.enter(values)
        elif values.get("event") == "memory":
            used, free = map(int, str(values.get("detail")).split())
            tried.peak, tried.size = max(tried.peak, used), used + free
        elif str(values.get("detail")).endswith(":MemoryError"):   # part and class, as the supervisor names a task's end
            tried.faults.append(str(values["detail"]))

    board = Board(device, device[-12:], plant.flash(device), plant.log(device), hear, bench=plant.bench, heap=f"{heap_kb}k")
    board.power_on()
    end_s = time.monotonic() + WORK_S
    try:
        with plant.desk() as client:
            while not (tried.works or tried.faults or board.crashes or board.starved) and time.monotonic() < end_s:
                await asyncio.sleep(0.2)
                await asyncio.to_thread(_look, client, device, tried)
    finally:
        await board.unplug()
    if board.crashes or board.starved:
        tried.faults.append(f"{board.crashes} crashes, {board.starved} watchdog resets; {plant.log(device)}")
    if tried.faults:
        tried.acked = 0   # it may have been at work before
    return tried


def _look(client: OtaClient, device: str, tried: _Try) -> None:
    """What the update server has heard of the board: only what came through counts."""
    try:
        row = client.explain(device)
    except OtaError:
        return   # it has not checked in yet
    if row["last_seen_s"] == tried.seen_s:
        return
    tried.seen_s = row["last_seen_s"]
    tried.checkins += 1
    tried.acked = row["metrics"].get("acked", 0)
    if row["metrics"].get("app_crashes") or row["metrics"].get("task_restarts"):
        tried.faults.append("a task failed")
