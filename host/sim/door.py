"""Who may come into a demo: one demo a build folder, and boards from other processes while it holds its door open.

Decides when a demo counts as running: its lock is held, which ends with its process however that ends.
"""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from host.db import open_engine
from host.sim import signals
from host.sim.errors import DemoError
from host.sim.plant import Pace, Plant
from host.sim.ports import Ports
from provisioning.ledger import Ledger

LOCK = "demo.lock"   # in the build folder; held by the demo that runs there
DOOR = "door.json"   # in the demo's folder while further boards may join


@contextlib.contextmanager
def exclusive(build: Path) -> Iterator[None]:
    """Hold the build folder for one demo.

    Raises:
        DemoError: another demo runs there, or the folder cannot be written.
    """
    try:
        build.mkdir(parents=True, exist_ok=True)
        with (build / LOCK).open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DemoError(f"another demo runs in {build.resolve()}; end it, or use --build FOLDER --port N") from None
            yield
    except OSError as error:
        raise DemoError(f"folder {build}: {error.strerror}; make it writable or use --build FOLDER") from None


@contextlib.contextmanager
def held_open(plant: Plant) -> Iterator[None]:
    """Tell other processes meanwhile how to bring further boards."""
    door = {"ports": asdict(plant.ports), "pace": asdict(plant.pace), "devices": plant.devices}
    place = plant.folder / DOOR
    place.write_text(json.dumps(door, indent=1) + "\n", encoding="utf-8")
    try:
        yield
    finally:
        place.unlink(missing_ok=True)


def is_open(build: Path) -> bool:
    """Say whether a demo runs in this build folder and takes further boards."""
    try:
        with (build / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return (build / "demo" / DOOR).exists()
    except OSError:
        pass   # there was never one
    return False


def join(build: Path) -> Plant:
    """Give the plant of the demo that runs in this build folder.

    Raises:
        DemoError: none is open to further boards.
    """
    if not is_open(build):
        raise DemoError(f"{build}: no demo is open to further boards there; in another terminal run `make demo KEEP=1`, "
                        f"wait until its story is over and come back, or name its folder: --build FOLDER")
    folder = (build / "demo").resolve()
    door = json.loads((folder / DOOR).read_text(encoding="utf-8"))
    pace = Pace(**{**door["pace"], "soak_s": tuple(door["pace"]["soak_s"])})
    plant = Plant(folder, build.resolve(), Ports(**door["ports"]), pace, door["devices"])
    plant.root = (folder / "root.bin").read_bytes()
    plant.ledger = Ledger(open_engine(plant.url("ledger")))
    plant.channels = signals.channels(plant.bench / signals.FOLDER)
    return plant
