"""`tenfold firmware`: MicroPython of our own, with the agent frozen in."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.boards.profile import Board
from host.cli import boards
from host.cli.server import AsJson
from host.cli.shipped import Configs, chosen_drivers
from host.sim.plant import FIRMWARE, MODEL
from node.errors import CallerError
from ota.release import bundle
from provisioning.interpreter import build as building
from provisioning.interpreter import checkout
from provisioning.interpreter.check import check as check_definition
from provisioning.interpreter.check import smallest_slot
from provisioning.interpreter.definition import board_name, frozen_sources, render
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import read_partitions

PIN = FIRMWARE / "image" / "micropython.json"
OUT = Path("build/firmware")

app = typer.Typer(no_args_is_help=True, help="MicroPython of our own for a board, with the agent frozen in.")

Release = Annotated[str, typer.Option(help="Name of the frozen release, which is the factory's.")]
Counter = Annotated[int, typer.Option(min=1, help="Its counter.")]
Model = Annotated[str, typer.Option(help="Device model.")]


@app.command()
def build(
    board: Annotated[str, typer.Option(help="A profile (tenfold boards list), or a file of that form.")],
    out: Annotated[Path, typer.Option(help="Folder for the image, the application alone and the log.")] = OUT,
    idf: Annotated[Path | None, typer.Option(help="Build with this ESP-IDF, of the pinned version, in no container.")] = None,
    container: Annotated[str | None, typer.Option(help="docker or podman. Default: the one that is installed.")] = None,
    folder: Annotated[Path, typer.Option("--sources", help="Where the pinned MicroPython is, or is cloned to.")] = checkout.FOLDER,
    release: Release = "1.0.0",
    counter: Counter = 1,
    model: Model = MODEL,
    config: Configs = None,
) -> None:
    """Build MicroPython from the pinned tag for a board, with our partition table and the agent frozen in.

    Needs git, the network once, and ESP-IDF or a container. What comes out is used like MicroPython's own image.

    Example: tenfold firmware build --board esp32-s3 --container docker
    """
    profile, pin, name = boards.load(board), checkout.read_pin(PIN), board_name(Path(board).stem)
    program = building.tool(pin, idf, container)
    table = _table(profile)
    files = _definition(name, profile, _agent(config), _record(release, counter, model))
    check_definition(profile, table, files, pin)   # what can be known before an hour of compiling
    out.mkdir(parents=True, exist_ok=True)
    log = out / f"{name}.log"
    log.write_text("", encoding="utf-8")
    with Console(stderr=True).status("") as status:
        status.update(f"MicroPython {pin.tag}: {folder / pin.tag}")
        sources = checkout.obtain(pin, folder)
        building.place(sources, name, files)
        for step in building.steps(pin, name, sources, program, idf, (os.getuid(), os.getgid())):
            building.run(step, log, status.update)
    image, alone = building.results(sources, name)
    parts = building.verify(image, profile.chip, table)
    to = out / f"{name}-{pin.tag}.bin"
    shutil.copyfile(image, to)
    shutil.copyfile(alone, to.with_suffix(".app-bin"))
    print(f"{to}: {parts.chip}, {parts.version}, ESP-IDF {parts.idf}; the application takes {len(parts.app)} of "
          f"{smallest_slot(read_partitions(table))} bytes; sha256 {hashlib.sha256(to.read_bytes()).hexdigest()}")
    print(f"Next: tenfold image build --board {board} --stock {to} --frozen --out build/flash-{Path(board).stem}.bin "
          f"(make image BOARD={board} STOCK={to} FROZEN=1)")


@app.command()
def check(
    board: Annotated[str | None, typer.Option(help="A profile, or a file of that form.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every profile of firmware/image/boards.")] = False,
    config: Configs = None,
    as_json: AsJson = False,
) -> None:
    """Check what can be checked without ESP-IDF: table, manifest, every frozen module for the board's chip, sizes.

    Example: tenfold firmware check --all
    """
    if every == (board is not None):
        raise CallerError("firmware.board", "expected either --board NAME or --all")
    pin, agent, record = checkout.read_pin(PIN), _agent(config), _record("0", 1, MODEL)
    found = {}
    for each in boards.names() if board is None else [board]:
        profile = boards.load(each)
        files = _definition(board_name(Path(each).stem), profile, agent, record)
        found[each] = check_definition(profile, _table(profile), files, pin)
    if as_json:
        print(json.dumps({each: asdict(result) for each, result in found.items()}))
        return
    shown = Table("BOARD", "modules", "agent", "slot", "fits", "")
    for each, result in found.items():
        shown.add_row(each, str(result.modules), f"{result.agent_bytes:,}", f"{result.slot_bytes:,}", result.fits, result.why)
    Console().print(shown)
    print(f"MicroPython {pin.tag} ({pin.commit}), ESP-IDF {pin.idf}. Not built: that takes tenfold firmware build")


def _agent(config: list[Path] | None) -> dict[str, bytes]:
    return bundle.bundle_sources(FIRMWARE, fetch_umqtt(), drivers=chosen_drivers(config))


def _record(release: str, counter: int, model: str) -> dict[str, object]:
    return {"release": release, "counter": counter, "manifest": "", "model": model, "mpy": bundle.MPY_VERSION}


def _definition(name: str, profile: Board, agent: Mapping[str, bytes], record: Mapping[str, object]) -> dict[str, bytes]:
    try:
        return render(name, profile, _table(profile).read_text(encoding="utf-8"), frozen_sources(agent, record))
    except ValueError as error:
        raise CallerError("firmware.definition", f"{profile.name}: {error}") from None


def _table(profile: Board) -> Path:
    return FIRMWARE / "image" / profile.partitions
