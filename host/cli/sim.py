"""`tenfold sim`: boards that are emulated on this machine."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from host.db import open_engine
from host.sim import door
from host.sim.esp32 import efuse, line
from host.sim.esp32.board import Emulated
from host.sim.esp32.qemu import EmulatorError
from host.sim.plant import Plant
from host.store.queries import Queries

app = typer.Typer(no_args_is_help=True, help="Boards that are emulated on this machine.")
PASSWORD_ENV = "TENFOLD_WIFI_PASSWORD"  # noqa: S105  the variable's name
LOOK_S = 1.0

Qemu = Annotated[Path, typer.Option("--qemu", help="QEMU with Espressif's chips, e.g. …/qemu-system-xtensa.")]
Image = Annotated[Path, typer.Option("--image", help="Full MicroPython image for the board, as micropython.org offers it (.bin).")]
Roms = Annotated[Path | None, typer.Option(help="Folder of the chips' ROM files, if QEMU does not find them by itself.")]
Ssid = Annotated[str, typer.Option(help="Wi-Fi network to join.")]
PasswordFile = Annotated[Path | None, typer.Option(
    help=f"File with the Wi-Fi password in its first line; else the environment's {PASSWORD_ENV}, else none.")]


@app.callback()
def _group() -> None:
    """Keep `esp32` a command of a group."""


@app.command()
def esp32(
    qemu: Qemu,
    image: Image,
    chip: Annotated[str | None, typer.Option(help="esp32 or esp32c3; without it the image tells.")] = None,
    count: Annotated[int, typer.Option(min=1, max=16, help="How many boards; each is one process of about 150 MB.")] = 1,
    roms: Roms = None,
    ssid: Ssid = line.SSID,
    password_file: PasswordFile = None,
    build: Annotated[Path, typer.Option(help="Folder of the demo that they join.")] = Path("build"),
) -> None:
    """Emulate ESP32 boards that join the running demo (`make demo KEEP=1`), until Ctrl-C.

    Each is flashed, provisioned over its serial port, born, and runs the firmware on unmodified MicroPython.

    Example: tenfold sim esp32 --qemu qemu-system-xtensa --image ESP32_GENERIC.bin --count 2
    """
    parts = line.Parts.find(qemu, image, wifi(ssid, password_file), chip, roms)
    plant = door.join(build)
    print(f"{parts.stock.chip}, MicroPython {parts.stock.version or 'of unknown version'}, joins {plant.folder}")
    asyncio.run(_run(parts, plant, count))


def wifi(ssid: str, password_file: Path | None) -> line.Wifi:
    """Read the password where the user left it; never on a command line, which every process can read."""
    if password_file is None:
        return line.Wifi(ssid, os.environ.get(PASSWORD_ENV, ""))
    return line.Wifi(ssid, password_file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r"))


async def _run(parts: line.Parts, plant: Plant, count: int) -> None:
    bench = line.Bench(plant, count)
    teller = _Teller(bench)
    teller.boards = await parts.boards(plant, *plant.factory(), teller.hear, _free(plant, count))
    boards = list(teller.boards.values())
    task = asyncio.gather(*(_live(board, parts, plant, bench.lot, teller) for board in boards), teller.watch(plant))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        print("stopped by you; the boards have no power, their flash files stay in " + str(plant.flash("").parent))
    finally:
        await asyncio.gather(*(board.unplug() for board in boards))


async def _live(board: Emulated, parts: line.Parts, plant: Plant, lot: str, teller: "_Teller") -> None:
    teller.say(board.device, f"power on; serial port {board.port}, console in {board.log}")
    await parts.bring(board, plant, lot)
    teller.say(board.device, "provisioned over its serial port, starts into its life")


def _free(plant: Plant, count: int) -> list[str]:
    """Device ids that nobody bears: one that was born with another board's key could not be born again."""
    taken = set(plant.ledger.devices())
    numbers = range(1, 0x10000)
    free = [device for device in map(line.device, numbers) if device not in taken][:count]
    if len(free) < count:
        raise EmulatorError(f"{plant.folder}: every address {efuse.MAC_PREFIX.hex()}… is taken; start the demo anew")
    return free


class _Teller:
    """Says on the terminal what boards do, with the seconds since their power came on."""

    def __init__(self, bench: line.Bench) -> None:
        self.boards: dict[str, Emulated] = {}
        self._bench = bench

    def say(self, device: str, text: str) -> None:
        board = self.boards[device]
        seconds = time.monotonic() - board.started_s if board.started_s else 0.0
        print(f"{device} {seconds:7.1f} s  {text}", flush=True)

    def hear(self, device: str, word: str, values: dict[str, object]) -> None:
        if word == "BIRTH":
            refused = self._bench.hear(values)
            self.say(device, f"birth refused: {refused}" if refused else "made its key; its birth is in the ledger")
        else:
            self.say(device, f"{values.get('event')} {values.get('detail')}".rstrip())

    async def watch(self, plant: Plant) -> None:
        """Tell what the plant has of the boards; ends only by being cancelled."""
        queries = Queries(open_engine(plant.url("telemetry"), read_only=True))
        told: dict[str, tuple[bool, int]] = {}
        while True:
            for row in await asyncio.to_thread(queries.devices):
                if row.device in self.boards:
                    self._changed(told, row.device, bool(row.online), int(row.readings or 0), self.say)
            if not door.is_open(plant.build):
                raise EmulatorError(f"the demo in {plant.build} has ended; start it again: make demo KEEP=1")
            await asyncio.sleep(LOOK_S)

    @staticmethod
    def _changed(told: dict[str, tuple[bool, int]], device: str, online: bool, readings: int, say: Callable[[str, str], None],
                 ) -> None:
        before_online, before = told.get(device, (False, 0))
        if online != before_online:
            say(device, "connected to the broker" if online else "lost its connection")
        if readings and not before:
            say(device, f"first readings in the database: {readings}")
        elif readings // 1000 > before // 1000:
            say(device, f"{readings:,} readings in the database")
        told[device] = (online, readings)
