"""`tenfold flash`: a flash image onto one board, or onto every board at once, with a line for each."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from host.cli import boards
from host.cli.ports import SomePorts, chosen
from host.cli.server import AsJson
from provisioning.errors import ProvisioningError
from provisioning.line import flashing
from provisioning.line.loader import BAUD
from provisioning.line.ports import MAX_AT_ONCE

EXIT_FAILED = 2
WORDS = {"look": "looks at the board", "erase": "erases", "write": "writes", "verify": "verifies", "done": "done"}

Tell = Callable[[flashing.Progress], None]
Outcome = flashing.Flashed | ProvisioningError


def flash(
    image: Annotated[Path, typer.Argument(help="Flash image of `tenfold image build`.")],
    port: SomePorts = None,
    board: Annotated[str | None, typer.Option(help="What it is expected to be: a profile in firmware/image/boards, or a file of "
                                                   "that form. Default: any with the image's chip.")] = None,
    baud: Annotated[int, typer.Option(min=9600, help="Of the serial line; lower it for a poor cable.")] = BAUD,
    erase_identity: Annotated[bool, typer.Option("--erase-identity", help="Also where a device key is in the flash: that device is "
                                                                          "given up for good.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a board, write the image, verify it by digest. `--port all`: every board that is plugged in, all at once.

    A board of another chip, one with a smaller flash, and one that has a device key are refused before anything is changed. After a
    pulled cable the same command starts from the beginning.

    Example: tenfold flash build/flash-esp32.bin --port /dev/ttyUSB0 --board esp32-generic

    Example: tenfold flash build/flash-esp32.bin --port all
    """
    loaded = flashing.read_image(image)
    chip = None
    if board is not None:
        wanted = boards.load(board)
        chip = wanted.chip
        if loaded.flash_bytes > wanted.flash_bytes:
            raise ProvisioningError("image.size", f"{image}: is for a flash of {loaded.flash_bytes >> 20} MiB, {board} has "
                                                  f"{wanted.flash_bytes >> 20}; build it for that board")
    if port is None:
        raise typer.BadParameter("name the board's serial port, or all: --port /dev/ttyUSB0 (tenfold ports lists them)")
    where = chosen(port)

    def one(place: str, tell: Tell) -> Outcome:
        try:
            return flashing.flash(place, loaded, chip=chip, erase_identity=erase_identity, baud=baud, progress=tell)
        except ProvisioningError as error:
            return error

    done = dict(zip(where, _side_by_side(where, one, quiet=as_json), strict=True))
    if as_json:
        print(json.dumps([_shown(place, outcome) for place, outcome in done.items()]))
    else:
        for place, outcome in done.items():
            if isinstance(outcome, ProvisioningError):
                print(f"tenfold: {outcome}", file=sys.stderr)
            else:
                print(f"{place}: {outcome.mac}  {outcome.chip}, written and verified, sha256 {outcome.sha256[:16]}…")
        if not any(isinstance(outcome, ProvisioningError) for outcome in done.values()):
            print(f"Next: tenfold monitor --port {where[0]}, or tenfold provision --help (make monitor, make provision)")
    if any(isinstance(outcome, ProvisioningError) for outcome in done.values()):
        raise typer.Exit(EXIT_FAILED)


def _side_by_side(where: list[str], one: Callable[[str, Tell], Outcome], *, quiet: bool) -> list[Outcome]:
    """Do all at once; esptool is a process of its own for each. A bar for each on a terminal, a line for each step elsewhere."""
    console = Console(stderr=True, quiet=quiet)
    with ThreadPoolExecutor(min(MAX_AT_ONCE, len(where))) as pool:
        if not console.is_terminal:
            told: dict[str, str] = {}

            def line(step: flashing.Progress) -> None:
                if told.get(step.port) != step.phase:
                    told[step.port] = step.phase
                    console.print(f"{step.port}: {WORDS[step.phase]}", markup=False, highlight=False, soft_wrap=True)

            return list(pool.map(lambda place: one(place, line), where))
        with Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
                      TextColumn("{task.fields[step]}"), TimeElapsedColumn(), console=console) as bars:
            rows = {place: bars.add_task(place, total=None, step="waits") for place in where}

            def bar(step: flashing.Progress) -> None:
                bars.update(rows[step.port], total=step.total or None, completed=step.done, step=WORDS[step.phase])

            def drawn(place: str) -> Outcome:
                outcome = one(place, bar)
                if isinstance(outcome, ProvisioningError):
                    bars.update(rows[place], total=1, step=f"[red]{outcome.code}[/]")
                bars.stop_task(rows[place])
                return outcome

            return list(pool.map(drawn, where))


def _shown(place: str, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, ProvisioningError):
        return {"port": place, "code": outcome.code, "message": outcome.message}
    return {"port": place, "chip": outcome.chip, "mac": outcome.mac, "sha256": outcome.sha256}
