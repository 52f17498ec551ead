"""`tenfold demo`: a whole fleet on this machine, shown while it runs, judged at the end."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from host.cli.display import closing, shown
from host.cli.sim import PasswordFile, Roms, wifi
from host.sim.door import exclusive
from host.sim.errors import DemoError
from host.sim.esp32 import line
from host.sim.story import DemoOptions, Story
from host.sim.view import View

EXIT_BROKEN_PROMISE = 1
EXIT_INTERRUPTED = 130   # what a shell reports for a program ended by Ctrl-C


def demo(
    devices: Annotated[int, typer.Option(min=4, max=200, help="How many devices; each is one process.")] = 24,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the console on 127.0.0.1.")] = 8000,
    data: Annotated[Path | None, typer.Option(help="CSV to replay: a time, then one channel a column.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Headless and faster; exit code 0 only if every promise held.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Run on after the story until Ctrl-C.")] = False,
    chaos: Annotated[bool, typer.Option("--chaos", help="Kill a random process every few seconds meanwhile.")] = False,
    qemu: Annotated[Path | None, typer.Option(help="Add an emulated ESP32: QEMU with its chip. Needs --image.")] = None,
    image: Annotated[Path | None, typer.Option(help="Add an emulated ESP32: the board's full MicroPython image.")] = None,
    roms: Roms = None,
    ssid: Annotated[str, typer.Option(help="Wi-Fi network of the emulated ESP32.")] = line.SSID,
    password_file: PasswordFile = None,
    build: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path("build"),
) -> None:
    """Run a fleet: broker, certificates, enrolment, OTA server, ingest, console, alerts, upkeep, devices of real MicroPython.

    Examples:

        tenfold demo

        tenfold demo --data office.csv --port 8080

        tenfold demo --check && cat build/demo.json
    """
    if (qemu is None) != (image is None):
        raise DemoError("an emulated ESP32 needs both QEMU and an image: make demo ESP32=1 QEMU=…/qemu-system-xtensa IMAGE=….bin")
    esp32 = line.Parts.find(qemu, image, wifi(ssid, password_file), roms=roms) if qemu and image else None
    options = DemoOptions(
        devices=devices, console_port=port, data=data, check=check, keep=keep, chaos=chaos, build=build, esp32=esp32)
    with exclusive(build):
        raise typer.Exit(asyncio.run(_run(options)))


async def _run(options: DemoOptions) -> int:
    console = Console(soft_wrap=True)
    view = View()
    story = Story(options, view)
    finished = await shown(story, view, console)
    if view.promises:
        console.print(closing(view))
    if story.result:
        target = options.build / "demo.json"
        target.write_text(json.dumps(story.result) + "\n", encoding="utf-8")
        console.print(f"figures: {target}   logs: {options.build / 'demo' / 'logs'}", highlight=False)
    if not finished:
        console.print("stopped by you; every process of the demo is stopped", highlight=False)
        return EXIT_INTERRUPTED
    return 0 if all(promise.kept for promise in view.promises) else EXIT_BROKEN_PROMISE
