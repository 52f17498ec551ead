"""The production line on simulated boards: boards a minute, and what a board costs this machine.

The line is the real one, with the real esptool and mpremote, and MicroPython on each board. The time of a serial cable, of a flash
and of a chip is not in it: a pseudo-terminal knows no baud rate. So the figures are what a station can do, not what a board takes.
CPU seconds are those of all processes, the simulated boards among them.
"""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from host.db import open_engine
from host.ecdsa import point
from host.sim.boards.bench import Bench
from host.sim.boards.stock import flash_image
from host.sim.plant import FIRMWARE, MODEL, PRODUCT
from ota.release import bundle
from provisioning.ca import make_key
from provisioning.ledger import Ledger
from provisioning.line import running
from provisioning.line.bench import RESTING, Line, Order
from provisioning.line.books import LedgerBooks
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.flashing import FlashImage
from provisioning.line.image import base_files
from provisioning.line.journal import Journal
from provisioning.line.prompt import make_kit
from provisioning.line.station import Pen
from provisioning.rules.line import Step
from provisioning.rules.selftest import limits
from provisioning.rules.tally import stories, tally

LOT, STATION = "bench", "bench-1"
CHIP, FLASH_BYTES = "esp32", 4 << 20
DAY_S = 86_400

Progress = Callable[[int], None]   # boards at rest


class Figures(TypedDict):
    """What `measure` tells.

    Attributes:
        first_pass_yield: 0..1; None when no board was decided. steps: mean seconds of each, `flash` with its verification.
    """

    boards: int
    done: int
    seconds: float
    boards_per_minute: float
    cpu_s_per_board: float
    first_pass_yield: float | None
    steps: dict[str, float]


def measure(boards: int, progress: Progress = lambda done: None) -> Figures:
    """Take so many erased boards through the line at once, in a folder of its own that is gone afterwards.

    Raises:
        FetchError, BundleError: the firmware cannot be built.
    """
    image = _image()
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder), boards, image, progress)


def _measure(folder: Path, boards: int, image: FlashImage, progress: Progress) -> Figures:
    key, now_s = make_key(), int(time.time())
    engine = open_engine(f"sqlite:///{folder}/ledger.db")
    ledger = Ledger(engine)
    ledger.open_lot(LOT, point(key.public_key()).hex(), boards, now_s + DAY_S, now_s)
    journal = Journal(folder / "journal.jsonl")
    order = Order(LOT, PRODUCT, MODEL, image, limits({}, {}))
    line = Line(order, Pen(LOT, STATION, key), LedgerBooks(ledger), journal, make_kit(FIRMWARE, folder / "kit"), folder)
    cpu_s, began_s = _cpu_s(), time.monotonic()
    try:
        with Bench(folder / "boards", boards, CHIP, flash_bytes=FLASH_BYTES) as bench:
            running.run(line, [str(one.port) for one in bench.boards], once=True,
                        show=lambda: progress(sum(face.step in RESTING for face in line.faces.values())))
            seconds = time.monotonic() - began_s
    finally:
        journal.close()
        engine.dispose()
    found = tally(stories(journal.entries).values())
    return {"boards": boards, "done": found.done, "seconds": seconds, "boards_per_minute": 60 * found.done / seconds,
            "cpu_s_per_board": (_cpu_s() - cpu_s) / boards, "first_pass_yield": found.first_pass_yield,
            "steps": _steps(journal.entries)}


def _image() -> FlashImage:
    """The firmware of this repository, beside an application that stands in for MicroPython."""
    named = {"release": "bench", "counter": 1, "manifest": "", "model": MODEL, "mpy": bundle.MPY_VERSION}
    files = base_files(FIRMWARE, bundle.compile_tree(FIRMWARE, fetch_umqtt()), named)
    return flash_image(CHIP, FLASH_BYTES, files)


def _cpu_s() -> float:
    """Of this process and of all that have ended under it."""
    return sum(os.times()[:4])


def _steps(entries: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    took: dict[str, list[float]] = defaultdict(list)
    for entry in entries:
        if "took_s" in entry:   # flashing has become verifying when it ends
            took[Step.FLASH if entry["step"] == Step.VERIFY else entry["step"]].append(entry["took_s"])
    return {step: sum(each) / len(each) for step, each in took.items()}
