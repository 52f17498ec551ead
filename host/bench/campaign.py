"""A whole fleet updated while power and links fail at random: who arrives, who does not, who is gone for good.

Boards of real MicroPython on their own flash files, with the real broker, enrolment, update server and ingest. From the start of
the rollout each board loses its power a number of times, by turns while it installs and at any time, at random instants, and the
links to both servers break again and again, by a close or by silence. A board has arrived by what the update server heard since its
last cut and, once all are unplugged, by its flash: it boots a whole slot of the release and no trial is under way. Bricked is one
with power and good links that is not heard any more. Many boards on little CPU are slowed down together with what happens to
them, and given up is who makes no progress, not who is late.

The seed fixes the waits between cuts; what they hit is up to the processes of a shared machine. A failed run's folder is kept.
"""

import asyncio
import math
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from sqlalchemy import text

from host.bench.lossy import Path as Link
from host.bench.lossy import Proxy
from host.db import open_engine
from host.sim import audit, releases
from host.sim.fleet import Board
from host.sim.plant import REPOSITORY, Pace, Plant
from host.sim.ports import free_ports
from host.sim.processes import Child, stop_all
from host.sim.programs import Programs
from ota.client import OtaClient, OtaError
from provisioning.line.fetch import fetch_umqtt

FIRST, NEXT = "1.0.0", "1.1.0"
BOARDS_A_CORE = 12         # that keep PACE, servers included; with more, everything takes its time
PACE = Pace(row_ms=500, batch_samples=8, trial_s=60)
LINK = Link(rtt_s=0.02, loss=0.01)
CUT_GAP_S = (0.5, 15.0)    # with power, before each second cut: a trial takes about 10 s
INSTALL_S = 2.0            # a first guess at how long a board installs; the others are measured
LATE = 1.2                 # each other cut comes while the board installs, or so much later
OFF_S = (0.2, 2.0)         # without power
BREAK_GAP_S = (5.0, 25.0)  # between two breaks of a board's connections, on average
PLUG_GAP_S = 0.15          # between two boards at the line: births are not what is measured
BIRTHS_S, ARRIVE_S = 120.0, 300.0   # given up when in so long not one more board made it; an attempt that fails takes 70 s
HOME_S = 60.0              # the same for the last readings of all
SILENT_S = 60.0            # a board with power checks in each 4 s, after a failure each 8 s
LEASE_S = 300              # of an offer
LOOK_S = 1.0               # between looks at the update server
POLICY: dict[str, Any] = {"stages": [10, 100], "soak_s": 2, "min_reports": 1, "retry_s": 5, "quarantine_after": 100,
          "max_failure_pct": 50}   # cuts in a trial are falls back, and here they are meant: the gate is not what is tried


class Report(TypedDict):
    """What became of the fleet.

    `cores`, `slower`: see Case. `arrived`, `bricked`: devices. `power_cuts`, `breaks`: of power and of connections. `installing`:
    cuts of boards that installed, by their console; `midway`: cuts after which a slot held some of a bundle and not all. `starved`:
    resets by a watchdog that a busy machine let no board feed. `fell_back`: returns to the old release that devices told, each
    tried again. `arrival_s`: from the rollout's start, the middle device and the last. `by_delta`: devices that were given nothing
    of the bundle, only a delta to it. A device, on average, from the update server: `fetched_bytes` of both, by its log, and
    `down_bytes` in all, TLS and check-ins included; `artifact_bytes`: of the bundle. `lost`: readings committed but not stored.
    """

    devices: int
    seed: int
    cores: float
    slower: float
    arrived: int
    bricked: int
    power_cuts: int
    installing: int
    midway: int
    starved: int
    breaks: int
    fell_back: int
    arrival_s: tuple[float, float]
    by_delta: int
    fetched_bytes: float
    down_bytes: float
    artifact_bytes: int
    lost: int
    seconds: float
    kept: str | None


class CampaignError(RuntimeError):
    """The fleet did not come up before the rollout; the message says how far it came."""


@dataclass(frozen=True)
class Case:
    """What is tried. `cuts`: of power, a device. `cores`: CPU that there is for it, see cores.py."""

    devices: int = 50
    cuts: int = 5
    seed: int = 1
    cores: float = 2.0

    @property
    def slower(self) -> float:
        """How much slower everything goes than with as many boards as this CPU carries; at least 1."""
        return max(1.0, self.devices / (BOARDS_A_CORE * self.cores))

    @property
    def pace(self) -> Pace:
        """What the boards are told."""
        return replace(PACE, row_ms=round(PACE.row_ms * self.slower), uplink_s=math.ceil(PACE.uplink_s * self.slower),
                       checkin_s=math.ceil(PACE.checkin_s * self.slower), ack_timeout_s=math.ceil(PACE.ack_timeout_s * self.slower),
                       trial_s=math.ceil(PACE.trial_s * self.slower))


class Patience:
    """Tells when something has made no progress for too long. Pure: the time comes in."""

    def __init__(self, limit_s: float, now_s: float) -> None:
        self._limit_s, self._since_s, self._best = limit_s, now_s, -math.inf

    def is_over(self, done: float, now_s: float) -> bool:
        """Look at how much is done; what was undone since counts as no progress."""
        if done > self._best:
            self._best, self._since_s = done, now_s
        return now_s - self._since_s > self._limit_s


@dataclass
class _Fleet:
    """One run's boards and what the server says of them."""

    case: Case
    plant: Plant
    chance: random.Random
    boards: dict[str, Board] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    powered_s: dict[str, float] = field(default_factory=dict)   # Unix seconds of the last time that power came back; inf: none
    turn: dict[str, asyncio.Event] = field(default_factory=dict)   # set while a device installs, and once it has arrived
    fetching_s: dict[str, float] = field(default_factory=dict)     # devices that install now, since when
    took_s: list[float] = field(default_factory=list)   # how long installing took
    arrived_s: dict[str, float] = field(default_factory=dict)   # since the rollout's start
    breaks: int = 0
    installing: int = 0
    midway: int = 0

    def heard(self, device: str, event: object) -> None:
        """A board tells of its update."""
        if event == "fetching":
            self.fetching_s[device] = time.monotonic()
            self.turn[device].set()
        elif event == "staged" and device in self.fetching_s:
            self.took_s.append(time.monotonic() - self.fetching_s.pop(device))

    def on(self, release: str) -> list[str]:
        return heard_on(self.rows, release, self.powered_s)


def heard_on(rows: Mapping[str, Mapping[str, Any]], release: str, powered_s: Mapping[str, float]) -> list[str]:
    """Which devices run a release, not on trial, by what they told since they last got power."""
    return [device for device, row in rows.items()
            if row["release"] == release and not row["trial"] and row["last_seen_s"] > powered_s.get(device, 0.0)]


async def measure(case: Case, tell: Callable[[str, int], None]) -> Report:
    """Run a campaign.

    Args:
        tell: called with a step's name and how many devices have made it.

    Raises:
        CampaignError: not all devices were born and heard.
        DemoError, ProcessError: servers that could not be started.
    """
    folder = Path(tempfile.mkdtemp(prefix="tenfold-campaign-"))
    umqtt = folder / "umqtt" / "simple.py"
    umqtt.parent.mkdir()
    shutil.copy(await asyncio.to_thread(fetch_umqtt, REPOSITORY / "build"), umqtt)
    plant = Plant.make(folder, case.devices, free_ports(1)[0], case.pace)
    await asyncio.to_thread(plant.make_authorities)
    await asyncio.to_thread(plant.make_signals, None)
    programs = Programs(plant)
    programs.write_broker()
    children = [Child(program) for program in (programs.broker(), programs.enrol(), programs.ota(), programs.ingest())]
    ota, mqtt = Proxy(LINK, plant.ports.ota, case.seed), Proxy(LINK, plant.ports.mqtt, case.seed + 1)
    fleet = _Fleet(case, plant, random.Random(case.seed))   # noqa: S311  repeatable
    try:
        await asyncio.gather(*(child.start() for child in children))
        with plant.desk() as client:
            plant.ports = replace(plant.ports, ota=await ota.start(), mqtt=await mqtt.start())   # as the boards see them
            report = await _campaign(fleet, client, (ota, mqtt), tell)
    finally:
        await asyncio.gather(*(board.unplug() for board in fleet.boards.values()))
        await asyncio.gather(ota.stop(), mqtt.stop())
        await stop_all(children)
    if report["arrived"] == case.devices and not report["lost"]:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        report["kept"] = str(plant.folder)
    return report


async def _campaign(
    fleet: _Fleet, client: OtaClient, links: tuple[Proxy, Proxy], tell: Callable[[str, int], None],
) -> Report:
    case, plant = fleet.case, fleet.plant
    began_s = time.monotonic()
    first = await asyncio.to_thread(plant.make_release, FIRST, 1)
    good = await asyncio.to_thread(plant.make_release, NEXT, 2, releases.overlay(releases.CHANGE), [first])
    await asyncio.to_thread(plant.make_flashes, first)
    for built in (first, good):
        await asyncio.to_thread(built.publish, client)
    await _bring_up(fleet, client, tell)
    down_bytes = links[0].down_bytes
    start_s = time.monotonic()
    await asyncio.to_thread(lambda: client.start_rollout(
        str(good.named["manifest"]), lease_s=math.ceil(LEASE_S * case.slower), **POLICY))
    breaking = asyncio.create_task(_break(fleet, links))
    cutting = [asyncio.create_task(_cut(fleet, board, random.Random(f"{case.seed} {device}")))   # noqa: S311  repeatable
               for device, board in fleet.boards.items()]
    try:
        await _until_all(fleet, client, NEXT, start_s, lambda done: tell("updated", done))
        for task in cutting:
            if task.done():
                task.result()
    finally:
        for task in (breaking, *cutting):
            task.cancel()
    for device, board in fleet.boards.items():   # of those that were given up, one may be without
        if not board.powered:
            fleet.powered_s[device] = time.time()
            board.power_on()
    down_bytes = links[0].down_bytes - down_bytes
    await asyncio.to_thread(_look, fleet, client)
    here, now_s = set(fleet.on(NEXT)), time.time()
    silent = [device for device, row in fleet.rows.items()
              if now_s - max(row["last_seen_s"], fleet.powered_s.get(device, 0.0)) > SILENT_S * case.slower]
    fell_back = sum(each["count"] for device in plant.devices for each in client.explain(device)["failures"])
    await _everything_home(fleet)
    await asyncio.gather(*(board.unplug() for board in fleet.boards.values()))
    truths = await asyncio.to_thread(lambda: [audit.read_device(device, plant.flash(device)) for device in plant.devices])
    arrived = [truth.device for truth in truths if truth.device in here and truth.release == NEXT and not truth.trial]
    fetched = await asyncio.to_thread(audit.fetched, plant.log("ota"), good.artifact, [delta.sha256 for delta in good.deltas])
    times = sorted(fleet.arrived_s.values()) or [0.0]
    return Report(
        devices=case.devices, seed=case.seed, cores=case.cores, slower=case.slower, arrived=len(arrived), bricked=len(silent),
        power_cuts=sum(board.power_cuts for board in fleet.boards.values()), installing=fleet.installing, midway=fleet.midway,
        starved=sum(board.starved for board in fleet.boards.values()), breaks=fleet.breaks, fell_back=fell_back,
        arrival_s=(statistics.median(times), times[-1]), by_delta=len(fetched.by_delta),
        fetched_bytes=sum(fetched.given.values()) / case.devices, down_bytes=down_bytes / case.devices,
        artifact_bytes=len(good.artifact), lost=await asyncio.to_thread(_lost, plant, truths),
        seconds=time.monotonic() - began_s, kept=None)


async def _bring_up(fleet: _Fleet, client: OtaClient, tell: Callable[[str, int], None]) -> None:
    plant = fleet.plant

    def hear(device: str, word: str, values: dict[str, object]) -> None:
        if word == "BIRTH":
            plant.enter(values)
        else:
            fleet.heard(device, values.get("event"))

    for device in plant.devices:
        fleet.turn[device] = asyncio.Event()
        fleet.boards[device] = board = Board(
            device, device[-12:], plant.flash(device), plant.log(device), hear, bench=plant.bench)
        board.power_on()
        await asyncio.sleep(PLUG_GAP_S)
    patience = Patience(BIRTHS_S * fleet.case.slower, time.monotonic())
    while len(fleet.on(FIRST)) < len(fleet.boards):
        if patience.is_over(len(fleet.on(FIRST)), time.monotonic()):
            raise CampaignError(f"{len(fleet.on(FIRST))} of {len(fleet.boards)} boards checked in, then for "
                                f"{BIRTHS_S * fleet.case.slower:.0f} s no other; see {plant.folder / 'logs'}")
        await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(_look, fleet, client)
        tell("born", len(fleet.on(FIRST)))


async def _until_all(fleet: _Fleet, client: OtaClient, release: str, start_s: float, tell: Callable[[int], None]) -> None:
    """Until all cuts are made and each device runs the release since, or nothing goes on any more."""
    case, patience = fleet.case, Patience(ARRIVE_S * fleet.case.slower, start_s)
    done = 0
    while not patience.is_over(done, time.monotonic()):
        await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(_look, fleet, client)
        now_s = time.monotonic() - start_s
        here, cuts = fleet.on(release), sum(board.power_cuts for board in fleet.boards.values())
        for device in here:
            fleet.arrived_s.setdefault(device, now_s)
            fleet.turn[device].set()
        tell(len(fleet.arrived_s))
        if len(here) == case.devices and cuts == case.devices * case.cuts:
            return
        done = len(fleet.arrived_s) + cuts + len(here)   # who is cut off and heard again makes it rise by one


def _look(fleet: _Fleet, client: OtaClient) -> None:
    with suppress(OtaError):   # asked again in a moment
        fleet.rows = {row["device"]: row for row in client.devices()}


async def _cut(fleet: _Fleet, board: Board, chance: random.Random) -> None:
    device = board.device
    for number in range(fleet.case.cuts):
        if number % 2:
            await asyncio.sleep(chance.uniform(*CUT_GAP_S) * fleet.case.slower)
        else:
            await fleet.turn[device].wait()
            await asyncio.sleep(chance.uniform(0, LATE * statistics.median(fleet.took_s or [INSTALL_S * fleet.case.slower])))
        fleet.powered_s[device] = math.inf
        board.cut_power()
        await board.unplug()
        fleet.installing += fleet.fetching_s.pop(device, None) is not None
        fleet.midway += bool((await asyncio.to_thread(audit.read_device, device, board.flash)).half_slots)
        fleet.turn[device].clear()
        await asyncio.sleep(chance.uniform(*OFF_S))
        fleet.powered_s[device] = time.time()
        board.power_on()


async def _break(fleet: _Fleet, links: tuple[Proxy, Proxy]) -> None:
    while True:
        await asyncio.sleep(fleet.chance.uniform(*BREAK_GAP_S) * fleet.case.slower / len(fleet.boards))
        fleet.breaks += fleet.chance.choice(links).break_one(silently=fleet.chance.random() < 0.5)


async def _everything_home(fleet: _Fleet) -> None:
    """Take the sensors away, then wait until every ring's readings are in the database, or no more come."""
    for table in (fleet.plant.bench / "signals").glob("*.bin"):
        table.unlink()
    patience = Patience(HOME_S * fleet.case.slower, time.monotonic())
    while (left := await asyncio.to_thread(_under_way, fleet.plant)) > 0 and not patience.is_over(-left, time.monotonic()):
        await asyncio.sleep(LOOK_S)


def _under_way(plant: Plant) -> int:
    """Readings that rings hold and the database does not."""
    engine = open_engine(plant.url("telemetry"), read_only=True)
    try:
        with engine.connect() as connection:
            stored = connection.execute(text("SELECT coalesce(sum(n_readings), 0) FROM batch")).scalar_one()
    finally:
        engine.dispose()
    return sum(audit.committed(plant.flash(device)) for device in plant.devices) - int(stored)


def _lost(plant: Plant, truths: list[audit.DeviceTruth]) -> int:
    """Readings that a ring committed and the database does not hold."""
    engine = open_engine(plant.url("telemetry"), read_only=True)
    try:
        return audit.compare(truths, engine).lost
    finally:
        engine.dispose()
