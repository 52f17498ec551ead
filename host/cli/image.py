"""`tenfold image`: what is flashed onto a board."""

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.boards.device import PATH as PROFILE_PATH
from host.boards.device import device_file
from host.boards.profile import Board
from host.cli import boards
from host.cli.server import AsJson
from host.cli.shipped import Configs, chosen_drivers
from host.sim.plant import FIRMWARE, MODEL
from ota.release import bundle
from provisioning.interpreter.build import has_agent
from provisioning.line import esp_image
from provisioning.line import stock as pinned
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import ImageError, base_files, boots_at

LOCK = FIRMWARE / "image" / "stock.lock.json"
SMALLEST = "4MB"

app = typer.Typer(no_args_is_help=True, help="Build what is flashed onto a board.")


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="The flash image to write, of the whole flash.")],
    board: Annotated[str | None, typer.Option(help="A profile (tenfold boards list), or a file of that form.")] = None,
    stock: Annotated[Path | None, typer.Option(
        help="Full image of MicroPython for the board, as micropython.org offers it (.bin). Default: the pinned one.")] = None,
    size: Annotated[str | None, typer.Option("--flash-size", help="Without a board: its flash, which chooses the table.")] = None,
    release: Annotated[str, typer.Option(help="Name of the factory release.")] = "1.0.0",
    counter: Annotated[int, typer.Option(min=1, help="Its counter.")] = 1,
    model: Annotated[str, typer.Option(help="Device model.")] = MODEL,
    firmware: Annotated[Path, typer.Option(help="The firmware's folder.")] = FIRMWARE,
    config: Configs = None,
    frozen: Annotated[bool, typer.Option(
        "--frozen", help="The factory release is the agent that is frozen into the image (tenfold firmware build).")] = False,
    as_json: AsJson = False,
) -> None:
    """Put stock MicroPython, our partition table, the board's profile and the firmware as factory release into one flash image.

    It names no plant and no device: trust, network and site are written on the line.

    Example: tenfold image build --board wt32-eth01 --out build/wt32.bin
    """
    profile = boards.load(board) if board is not None else None
    if profile is None and stock is None:
        raise ImageError("image: got neither a board nor a stock image; expected --board (tenfold boards list) or --stock "
                         "(make: BOARD=…, STOCK=…)")
    parts = _stock(profile, board, stock)
    if profile is None:
        flash_bytes = esp_image.flash_size(size or SMALLEST)
        csv = esp_image.layout(firmware / "image", flash_bytes)
    else:
        flash_bytes = profile.flash_bytes
        if size is not None and esp_image.flash_size(size) != flash_bytes:
            raise ImageError(f"flash size: got {size}, but {board} has {_mb(flash_bytes)}")
        csv = firmware / "image" / profile.partitions
    named = {"release": release, "counter": counter, "manifest": "", "model": model, "mpy": bundle.MPY_VERSION}
    if frozen and not has_agent(parts.app):
        raise ImageError(f"{stock}: --frozen: got an image without an agent of ours; build one (tenfold firmware build), "
                         "or leave --frozen out")
    compiled = None if frozen else bundle.compile_tree(firmware, fetch_umqtt(), drivers=chosen_drivers(config))
    files = base_files(firmware, compiled, named, boots=boots_at(int(time.time())))
    if profile is not None:
        files[PROFILE_PATH] = device_file(Path(board or "").stem, profile)
    flash = esp_image.build_esp_flash(parts, csv, files, flash_bytes)
    rooms = esp_image.rooms(parts, flash)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(flash)
    digest = hashlib.sha256(flash).hexdigest()
    if as_json:
        print(json.dumps({"out": str(out), "size": len(flash), "sha256": digest, "chip": parts.chip, "board": board,
                          "version": parts.version,
                          "idf": parts.idf, "parts": [asdict(room) for room in rooms]}))
        return
    table = Table("part")
    for name in ("used", "of", "free", "used %"):
        table.add_column(name, justify="right")
    for room in rooms:
        table.add_row(room.part, f"{room.used:,}", f"{room.size:,}", f"{room.free:,}", f"{100 * room.used / room.size:.0f}")
    Console().print(table)
    words = (parts.chip, parts.project, parts.version, f"ESP-IDF {parts.idf}" if parts.idf else "")
    print(f"{out}: {', '.join(word for word in words if word)}; {_mb(flash_bytes)} flash, sha256 {digest}")
    print(f"Next: tenfold flash {out} --port /dev/ttyUSB0 (tenfold ports lists the boards)")


@app.command("pin")
def pin_stock(
    board: Annotated[str, typer.Option(help="The profile whose stock image this is.")],
    stock: Annotated[Path, typer.Option(help="The file, with the name that it has on the download page.")],
    why: Annotated[str, typer.Option(help="Who looked at it, and how: stands in the lock file.")],
    lock: Annotated[Path, typer.Option(help="The lock file.")] = LOCK,
) -> None:
    """Enter a downloaded image into firmware/image/stock.lock.json: from then on a board is built from that file and no other.

    Example: tenfold image pin --board esp32-c6 --stock ESP32_GENERIC_C6-20250911-v1.26.1.bin --why "fetched by two networks"
    """
    profile = boards.load(board)
    parts = _stock(profile, board, stock)
    new = pinned.pin(lock, profile.stock.image, stock, why)
    print(f"{profile.stock.image}: {new.file}, {parts.version or 'no version told'}, sha256 {new.sha256}")


def _stock(profile: Board | None, board: str | None, path: Path | None) -> esp_image.Stock:
    """The stock image that was named, or the board's; of the board's chip."""
    if path is None and profile is not None:
        path = pinned.obtain(profile.stock.image, LOCK)
    elif path is not None:
        pinned.check_named(path, LOCK)
    found = esp_image.read_stock(path or Path())
    if profile is not None and found.chip != profile.chip:
        raise ImageError(f"{path}: got an image for {found.chip}, but {board} has an {profile.chip}")
    return found


def _mb(size: int) -> str:
    return f"{size // esp_image.MIB}MB"
