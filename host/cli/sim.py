"""`tenfold sim`: boards that are emulated or simulated on this machine, and rollouts over fleets that are simulated."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.cli.drawn import BLOCKS, progress, right
from host.cli.server import AsJson
from host.cli.sim_board import board
from host.db import open_engine
from host.sim import door, rollout_runs
from host.sim.esp32 import efuse, line
from host.sim.esp32.board import Emulated
from host.sim.esp32.qemu import EmulatorError
from host.sim.plant import Plant
from host.sim.rollout import simulate
from host.sim.rollout_fleet import Scenario
from host.sim.rollout_outcome import Outcome, Stage
from host.store.queries import Queries

app = typer.Typer(no_args_is_help=True, help="Emulated and simulated boards, and rollouts over simulated fleets.")
app.command()(board)
PASSWORD_ENV = "TENFOLD_WIFI_PASSWORD"  # noqa: S105  the variable's name
LOOK_S = 1.0
CURVE = 12   # columns of a plot

Qemu = Annotated[Path, typer.Option("--qemu", help="QEMU with Espressif's chips, e.g. …/qemu-system-xtensa.")]
Image = Annotated[Path, typer.Option("--image", help="Full MicroPython image for the board, as micropython.org offers it (.bin).")]
Roms = Annotated[Path | None, typer.Option(help="Folder of the chips' ROM files, if QEMU does not find them by itself.")]
Ssid = Annotated[str, typer.Option(help="Wi-Fi network to join.")]
PasswordFile = Annotated[Path | None, typer.Option(
    help=f"File with the Wi-Fi password in its first line; else the environment's {PASSWORD_ENV}, else none.")]


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


@app.command()
def rollout(
    devices: Annotated[int, typer.Option(min=1, max=10_000_000, help="In the fleet.")] = 1_000_000,
    days: Annotated[float, typer.Option(min=0.1, max=365, help="To simulate.")] = 14.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same fleet and luck.")] = 1,
    defect_pct: Annotated[float, typer.Option(min=0, max=100, help="Devices that crash on the release, in percent.")] = 0.0,
    runs: Annotated[int, typer.Option(min=1, max=100_000, help="Rollouts, each with the next seed, in parallel processes.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Simulate a rollout through the update server's own rules: who is exposed before it halts, how long it takes, the load.

    Always-on devices, sleepers, bad links, devices that come out of storage or die. With more runs: how often it halts.

    Example: tenfold sim rollout --devices 1000000 --days 14 --seed 1 --defect-pct 2
    """
    scenario = Scenario(devices, days, seed, defect_pct)
    bar = progress(as_json)
    if runs > 1:
        with bar:
            task = bar.add_task("rollouts", total=runs)
            many = rollout_runs.measure(scenario, runs, os.cpu_count() or 1, lambda: bar.advance(task))
        if as_json:
            print(json.dumps(many))
        else:
            _print_runs(many)
        return
    with bar:
        task = bar.add_task("days", total=days)
        one = simulate(scenario, lambda day: bar.update(task, completed=day))
    if as_json:
        print(json.dumps(one))
    else:
        _print_rollout(one)


def _print_rollout(one: Outcome) -> None:
    console = Console()
    console.print(f"{one['devices']:,} devices, {one['days']:g} days, "
                  + (f"{one['defect_pct']:g} % crash on the release" if one["defect_pct"] else "nothing wrong with the release"))
    numbers = ("day", "open", "offered", "confirmed", "failed", "lost")
    table = Table("stage", *map(right, numbers), "meanwhile")
    for stage in one["stages"]:
        until = one["days"] if stage["closed_day"] is None else stage["closed_day"]
        table.add_row(
            f"{stage['pct']:g} %", f"{stage['opened_day']:.1f}", f"{until - stage['opened_day']:.1f} d", f"{stage['offered']:,}",
            f"{stage['confirmed']:,}", f"{stage['failed']:,}", f"{stage['lost']:,}", _curve(stage, one["devices"]))
    console.print(table)
    colour = {"done": "green", "halted": "red"}.get(one["state"], "yellow")
    ended = one["days_to_done"] if one["days_to_halt"] is None else one["days_to_halt"]
    console.print(f"[{colour}]{one['state']}[/]" + ("" if ended is None else f" after {ended:g} days") + ": ", end="")
    console.print(one["reason"], markup=False)
    console.print(f"{one['exposed_pct']:.2f} % of the fleet was offered it, {one['confirmed_pct']:.2f} % run it; at most "
                  f"{one['peak_checkins_per_s']:,} check-ins and {one['peak_downloads_per_s']:,} new downloads a second, "
                  f"a period of {one['period_s']} s")


def _curve(stage: Stage, devices: int) -> str:
    """Confirmed devices at even times of a stage as bars; a full one is what the stage may have."""
    whole, curve = max(1.0, devices * stage["pct"] / 100), stage["curve"]
    picked = [curve[number * len(curve) // CURVE] for number in range(CURVE)] if curve else []
    return "".join(BLOCKS[min(round(each / whole * 8), 8)] for each in picked)


def _print_runs(many: rollout_runs.Runs) -> None:
    low, high = many["halted_between_pct"]
    title = f"{many['runs']:,} rollouts of {many['devices']:,} devices, {many['defect_pct']:g} % crash"
    table = Table(title, right(""))
    table.add_row("halted", f"{many['halted']:,}: {many['halted_pct']:g} % (95 %: {low:g} to {high:g} %)")
    table.add_row("held in a stage before the last", f"{many['held']:,}")
    table.add_row("done", f"{many['done']:,}" + ("" if many["days_to_done"] is None else f", after {many['days_to_done']:g} days"))
    table.add_row("devices exposed", f"{many['exposed_pct']:.2f} % on average, {many['exposed_max_pct']:.2f} % at most")
    table.add_row("runs with more than 2 % exposed", f"{many['exposed_over_2']:,}")
    Console().print(table)
