"""`tenfold up`: a plant on this machine to try an operator's commands on."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from host.cli.display import shown
from host.sim.door import exclusive
from host.sim.run import RunOptions
from host.sim.up import Up
from host.sim.view import View


def up(
    devices: Annotated[int, typer.Option(min=1, max=200, help="How many devices; each is one process.")] = 6,
    keys: Annotated[Path | None, typer.Option(help="Your release keys, from `tenfold keys init`; else throw-away ones.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the console on 127.0.0.1.")] = 8000,
    build: Annotated[Path, typer.Option(help="Folder for everything that it makes.")] = Path("build"),
) -> None:
    """Bring a plant up and leave it running until Ctrl-C: broker, all servers, alerts, upkeep, devices of real MicroPython.

    Release 1.0.0 runs on all of them. `. build/demo/operator.env` in another terminal makes you its operator.

    Example: tenfold up --keys keys --devices 6
    """
    with exclusive(build):
        asyncio.run(_run(RunOptions(devices, port, build, keys)))


async def _run(options: RunOptions) -> None:
    console = Console(soft_wrap=True)
    view = View()
    await shown(Up(options, view), view, console)
    console.print("stopped by you; every process is stopped", highlight=False)
