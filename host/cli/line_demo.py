"""`tenfold line demo`: simulated boards through the line and into the fleet of the demo that runs."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from host.cli import line_display as display
from host.cli.line_work import EXIT_FAULTY, KEY_FILE, work
from host.cli.server import AsJson
from host.sim import commission, door
from host.sim.commission import Arrivals, Seen
from host.sim.errors import DemoError
from host.sim.plant import Plant
from ota.client import UNREACHABLE, OtaError
from provisioning.errors import ProvisioningError
from provisioning.line import ports
from provisioning.line.bench import RESTING
from provisioning.line.books import LedgerBooks
from provisioning.line.image import ImageError
from provisioning.rules.line import Step
from provisioning.rules.tally import stories, tally

LOOK_S = 1.0
COME_S = 180.0   # from a site to all that counts as come: a boot, enrolment, an uplink, a check-in; the rest for a loaded machine

Say = Callable[[str], None]


def demo(
    port: Annotated[list[str] | None, typer.Option("--ports", help="Ports of simulated boards, or a pattern; repeat. "
                                                                   "Default: build/boards/tty*.")] = None,
    build: Annotated[Path, typer.Option(help="Folder of the demo that they join.")] = Path("build"),
    as_json: AsJson = False,
) -> None:
    """Take simulated boards (`tenfold sim board`) through the line and into the running demo (`make demo KEEP=1`, `tenfold up`).

    Each is flashed with the demo's firmware, tested, born and labelled as by `tenfold line run`, in a lot of the demo's ledger;
    then it gets its site, enrols, and is waited for until its readings are acknowledged and it has checked in.

    Example: tenfold line demo
    """
    plant = door.join(build)
    where = [name for name in ports.candidates(port or ["build/boards/tty*"]) if Path(name).exists()]   # some may be left of a kill
    if not where:
        raise ProvisioningError("port.absent", "no simulated board; in another terminal: tenfold sim board --count 8")
    order = commission.order(plant, [Path(name) for name in where])
    place = plant.folder / commission.FOLDER / f"{commission.LOT}-{commission.STATION}"
    pen = commission.station(plant, place / KEY_FILE, int(time.time()))
    line = work(order, pen, LedgerBooks(plant.ledger), place, where, once=True, as_json=as_json)
    found = tally(stories(line.journal.entries).values())
    if not as_json:
        print(display.figures(found))
        print(f"labels: {place / 'labels'}")
    made = {face.device: Path(face.port) for face in line.faces.values() if face.step is Step.DONE}
    if any(face.step not in RESTING for face in line.faces.values()):
        raise DemoError("stopped by you; the same command goes on")
    come, missing = _bring(plant, made, (lambda _: None) if as_json else print)
    if as_json:
        print(json.dumps({**display.as_object(commission.LOT, found), "labels": str(place / "labels"), "missing": missing,
                          "fleet": [{"device": device, **asdict(seen)} for device, seen in sorted(come.items())]}))
    if len(come) < len(where):
        raise typer.Exit(EXIT_FAULTY)


def _bring(plant: Plant, made: dict[str, Path], say: Say) -> tuple[dict[str, Seen], dict[str, str]]:
    """Put boards in their places, and wait until the last one has come; gives who came, and who did not and why."""
    missing: dict[str, str] = {}

    def put(device: str) -> None:
        try:
            fresh = commission.commission(plant, made[device], device)
            say(f"{device}  {made[device]}  " + ("has its site, starts into its life" if fresh else "had its site, and was reset"))
        except (DemoError, ImageError, ProvisioningError) as error:
            missing[device] = str(error)
            say(f"{device}  {error}")

    with ThreadPoolExecutor(max(1, len(made))) as pool:
        list(pool.map(put, made))
    with plant.desk() as client:
        come = _wait(plant, Arrivals(plant, client), [device for device in made if device not in missing], say)
    for device in made.keys() - come.keys() - missing.keys():
        missing[device] = (f"did not come within {COME_S:.0f} s; see what it says with tenfold monitor --port {made[device]}, and "
                           f"the servers in {plant.folder / 'logs'}")
        say(f"{device}  {missing[device]}")
    return come, missing


def _wait(plant: Plant, arrivals: Arrivals, devices: Sequence[str], say: Say) -> dict[str, Seen]:
    come: dict[str, Seen] = {}
    deadline_s = time.monotonic() + COME_S
    while len(come) < len(devices) and time.monotonic() < deadline_s:
        if not door.is_open(plant.build):
            raise DemoError(f"the demo in {plant.build} has ended; start it again: make demo KEEP=1")
        for device, seen in _look(arrivals, [device for device in devices if device not in come]).items():
            if seen.has_come:
                come[device] = seen
                say(f"{device}  in the fleet: online, {seen.readings:,} readings in the database, acknowledged, "
                    f"checked in with {seen.release}")
        time.sleep(LOOK_S)
    return come


def _look(arrivals: Arrivals, devices: Sequence[str]) -> dict[str, Seen]:
    """One look; a server that is away for a moment is asked again."""
    try:
        return dict(arrivals.look(devices))
    except OtaError as error:
        if error.code != UNREACHABLE:
            raise
        return {}
