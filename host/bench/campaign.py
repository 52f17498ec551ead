"""A whole fleet updated while power and links fail at random: who arrives, who does not, who is gone for good.

Boards of real MicroPython on their own flash files, with the real broker, enrolment, update server and ingest. From the start of
the rollout each board loses its power a number of times, at random instants, and the links to both servers break again and
again, by a close or by silence. A board has arrived by the update server's word and, once all are unplugged, by its flash: it
boots a whole slot of the release and no trial is under way. Bricked is one with power and good links that is not heard any more.

The seed fixes the waits between cuts; what they hit is up to the processes of a shared machine. A failed run's folder is kept.
"""

import asyncio
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
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
from host.sim.plant import REPOSITORY, Pace, Plant, free_ports
from host.sim.processes import Child, stop_all
from ota.client import OtaClient, OtaError
from provisioning.line.fetch import fetch_umqtt

FIRST, NEXT = "1.0.0", "1.1.0"
PACE = Pace(row_ms=500, batch_samples=8, trial_s=60)
LINK = Link(rtt_s=0.02, loss=0.01)
CUT_GAP_S = (0.5, 15.0)    # with power, between two cuts: a download takes about 2 s, a trial 10 s
OFF_S = (0.2, 2.0)         # without power
BREAK_GAP_S = (5.0, 25.0)  # between two breaks of a board's connections, on average
PLUG_GAP_S = 0.15          # between two boards at the line: births are not what is measured
BIRTHS_S, ARRIVE_S = 240.0, 600.0   # given up after so long, for 50 boards on two cores
HOME_S = 120.0             # for the last readings of all
SILENT_S = 60.0            # a board with power checks in each 4 s, after a failure each 8 s
LOOK_S = 1.0               # between looks at the update server
POLICY: dict[str, Any] = {"stages": [10, 100], "soak_s": 2, "min_reports": 1, "retry_s": 5, "quarantine_after": 100, "lease_s": 300,
          "max_failure_pct": 50}   # cuts in a trial are falls back, and here they are meant: the gate is not what is tried


class Report(TypedDict):
    """What became of the fleet.

    `arrived`, `bricked`: devices. `power_cuts`, `breaks`: of power and of connections. `fell_back`: returns to the old release that
    devices told, each tried again. `arrival_s`: from the rollout's start, the middle device and the last. `down_bytes`: from the
    update server, TLS included, a device; `artifact_bytes`: of the release. `lost`: readings committed but not stored.
    """

    devices: int
    seed: int
    arrived: int
    bricked: int
    power_cuts: int
    breaks: int
    fell_back: int
    arrival_s: tuple[float, float]
    down_bytes: float
    artifact_bytes: int
    lost: int
    seconds: float
    kept: str | None


class CampaignError(RuntimeError):
    """The fleet did not come up before the rollout; the message says how far it came."""


@dataclass(frozen=True)
class Case:
    """What is tried. `cuts`: of power, a device."""

    devices: int = 50
    cuts: int = 5
    seed: int = 1


@dataclass
class _Fleet:
    """One run's boards and what the server says of them."""

    plant: Plant
    chance: random.Random
    boards: dict[str, Board] = field(default_factory=dict)
    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    arrived_s: dict[str, float] = field(default_factory=dict)   # since the rollout's start
    breaks: int = 0

    def on(self, release: str) -> list[str]:
        return [device for device, row in self.rows.items() if row["release"] == release and not row["trial"]]


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
    plant = Plant.make(folder, case.devices, free_ports(1)[0], PACE)
    await asyncio.to_thread(plant.make_authorities)
    await asyncio.to_thread(plant.make_signals, None)
    plant.write_broker()
    plant.write_broker_users(plant.devices)
    children = [Child(program) for program in (plant.broker(), plant.enrol(), plant.ota(), plant.ingest())]
    ota, mqtt = Proxy(LINK, plant.ports.ota, case.seed), Proxy(LINK, plant.ports.mqtt, case.seed + 1)
    fleet = _Fleet(plant, random.Random(case.seed))   # noqa: S311  repeatable
    try:
        await asyncio.gather(*(child.start() for child in children))
        with plant.desk() as client:
            plant.ports = replace(plant.ports, ota=await ota.start(), mqtt=await mqtt.start())   # as the boards see them
            report = await _campaign(case, fleet, client, (ota, mqtt), tell)
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
    case: Case, fleet: _Fleet, client: OtaClient, links: tuple[Proxy, Proxy], tell: Callable[[str, int], None],
) -> Report:
    plant = fleet.plant
    began_s = time.monotonic()
    first = await asyncio.to_thread(plant.make_release, FIRST, 1)
    good = await asyncio.to_thread(plant.make_release, NEXT, 2, releases.overlay(releases.CHANGE))
    await asyncio.to_thread(plant.make_flashes, first)
    for built in (first, good):
        await asyncio.to_thread(client.publish, built.manifest, built.artifact)
    await _bring_up(fleet, client, tell)
    down_bytes = links[0].down_bytes
    start_s = time.monotonic()
    await asyncio.to_thread(lambda: client.start_rollout(str(good.named["manifest"]), **POLICY))
    breaking = asyncio.create_task(_break(fleet, links))
    cutting = [asyncio.create_task(_cut(board, case.cuts, random.Random(f"{case.seed} {device}")))   # noqa: S311  repeatable
               for device, board in fleet.boards.items()]
    try:
        await _until_all(fleet, client, NEXT, start_s, lambda done: tell("updated", done), cutting)
    finally:
        breaking.cancel()
        await asyncio.gather(*cutting, return_exceptions=True)
    down_bytes = links[0].down_bytes - down_bytes
    await asyncio.to_thread(_look, fleet, client)
    silent = [device for device, row in fleet.rows.items()
              if device not in fleet.arrived_s and time.time() - float(str(row["last_seen_s"])) > SILENT_S]
    fell_back = sum(each["count"] for device in plant.devices for each in client.explain(device)["failures"])
    await _everything_home(plant)
    await asyncio.gather(*(board.unplug() for board in fleet.boards.values()))
    truths = await asyncio.to_thread(lambda: [audit.read_device(device, plant.flash(device)) for device in plant.devices])
    arrived = [truth.device for truth in truths if truth.device in fleet.arrived_s and truth.release == NEXT and not truth.trial]
    times = sorted(fleet.arrived_s.values()) or [0.0]
    return Report(
        devices=case.devices, seed=case.seed, arrived=len(arrived), bricked=len(silent),
        power_cuts=sum(board.power_cuts for board in fleet.boards.values()), breaks=fleet.breaks, fell_back=fell_back,
        arrival_s=(statistics.median(times), times[-1]), down_bytes=down_bytes / case.devices,
        artifact_bytes=len(good.artifact), lost=await asyncio.to_thread(_lost, plant, truths),
        seconds=time.monotonic() - began_s, kept=None)


async def _bring_up(fleet: _Fleet, client: OtaClient, tell: Callable[[str, int], None]) -> None:
    plant = fleet.plant

    def hear(_device: str, word: str, values: dict[str, object]) -> None:
        if word == "BIRTH":
            plant.enter(values)

    for device in plant.devices:
        fleet.boards[device] = board = Board(
            device, device[-12:], plant.flash(device), plant.log(device), hear, bench=plant.bench)
        board.power_on()
        await asyncio.sleep(PLUG_GAP_S)
    end_s = time.monotonic() + BIRTHS_S
    while len(fleet.on(FIRST)) < len(fleet.boards):
        if time.monotonic() > end_s:
            raise CampaignError(f"{len(fleet.on(FIRST))} of {len(fleet.boards)} boards checked in within {BIRTHS_S:.0f} s; "
                                f"see {plant.folder / 'logs'}")
        await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(_look, fleet, client)
        tell("born", len(fleet.on(FIRST)))


async def _until_all(
    fleet: _Fleet, client: OtaClient, release: str, start_s: float, tell: Callable[[int], None], cutting: list[asyncio.Task[None]],
) -> None:
    """Until all cuts are made and each device runs the release since, or time is up."""
    while time.monotonic() < start_s + ARRIVE_S:
        await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(_look, fleet, client)
        now_s = time.monotonic() - start_s
        for device in fleet.on(release):
            fleet.arrived_s.setdefault(device, now_s)
        tell(len(fleet.arrived_s))
        if len(fleet.arrived_s) == len(fleet.boards) and all(task.done() for task in cutting):
            return


def _look(fleet: _Fleet, client: OtaClient) -> None:
    with suppress(OtaError):   # asked again in a moment
        fleet.rows = {row["device"]: row for row in client.devices()}


async def _cut(board: Board, times: int, chance: random.Random) -> None:
    for _ in range(times):
        await asyncio.sleep(chance.uniform(*CUT_GAP_S))
        board.cut_power()
        await board.unplug()
        await asyncio.sleep(chance.uniform(*OFF_S))
        board.power_on()


async def _break(fleet: _Fleet, links: tuple[Proxy, Proxy]) -> None:
    while True:
        await asyncio.sleep(fleet.chance.uniform(*BREAK_GAP_S) / len(fleet.boards))
        fleet.breaks += fleet.chance.choice(links).break_one(silently=fleet.chance.random() < 0.5)


async def _everything_home(plant: Plant) -> None:
    """Take the sensors away, then wait until every ring's readings are in the database, or time is up."""
    for table in (plant.bench / "signals").glob("*.bin"):
        table.unlink()
    end_s = time.monotonic() + HOME_S
    while time.monotonic() < end_s and await asyncio.to_thread(_under_way, plant) > 0:
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
