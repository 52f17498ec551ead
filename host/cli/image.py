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

from host.cli.server import AsJson
from host.cli.shipped import Configs, chosen_drivers
from host.sim.plant import FIRMWARE, MODEL
from ota.release import bundle
from provisioning.line import esp_image
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import base_files, boots_at

app = typer.Typer(no_args_is_help=True, help="Build what is flashed onto a board.")


@app.command()
def build(
    stock: Annotated[Path, typer.Option(help="Full image of MicroPython for the board, as micropython.org offers it (.bin).")],
    out: Annotated[Path, typer.Option(help="The flash image to write, of the whole flash.")],
    size: Annotated[str, typer.Option("--flash-size", help="The chip's flash; it chooses the partition table.")] = "4MB",
    release: Annotated[str, typer.Option(help="Name of the factory release.")] = "1.0.0",
    counter: Annotated[int, typer.Option(min=1, help="Its counter.")] = 1,
    model: Annotated[str, typer.Option(help="Device model.")] = MODEL,
    firmware: Annotated[Path, typer.Option(help="The firmware's folder.")] = FIRMWARE,
    config: Configs = None,
    as_json: AsJson = False,
) -> None:
    """Put stock MicroPython, our partition table and the firmware as factory release into one flash image.

    It names no plant and no device: trust, Wi-Fi and site are written on the line.

    Example: tenfold image build --stock ESP32_GENERIC.bin --out build/esp32.bin --flash-size 4MB
    """
    parts = esp_image.read_stock(stock)
    flash_bytes = esp_image.flash_size(size)
    csv = esp_image.layout(firmware / "image", flash_bytes)
    named = {"release": release, "counter": counter, "manifest": "", "model": model, "mpy": bundle.MPY_VERSION}
    compiled = bundle.compile_tree(firmware, fetch_umqtt(), drivers=chosen_drivers(config))
    files = base_files(firmware, compiled, named, boots=boots_at(int(time.time())))
    flash = esp_image.build_esp_flash(parts, csv, files, flash_bytes)
    rooms = esp_image.rooms(parts, flash)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(flash)
    digest = hashlib.sha256(flash).hexdigest()
    if as_json:
        print(json.dumps({"out": str(out), "size": len(flash), "sha256": digest, "chip": parts.chip, "version": parts.version,
                          "idf": parts.idf, "parts": [asdict(room) for room in rooms]}))
        return
    table = Table("part")
    for name in ("used", "of", "free", "used %"):
        table.add_column(name, justify="right")
    for room in rooms:
        table.add_row(room.part, f"{room.used:,}", f"{room.size:,}", f"{room.free:,}", f"{100 * room.used / room.size:.0f}")
    Console().print(table)
    words = (parts.chip, parts.project, parts.version, f"ESP-IDF {parts.idf}" if parts.idf else "")
    print(f"{out}: {', '.join(word for word in words if word)}; {size} flash, sha256 {digest}")
    print(f"Next: tenfold flash {out} --port /dev/ttyUSB0 (tenfold ports lists the boards)")
