"""`tenfold sim board`: simulated boards that esptool and mpremote take for boards."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from host.cli.server import AsJson
from host.sim.boards.bench import MAX_BOARDS, Bench
from host.sim.boards.errors import BoardError
from host.sim.boards.faults import FAULTS, Fault
from provisioning.line.esp_image import CHIPS, flash_size

LOOK_S = 1.0
AWAY_S = 3.0   # a cable or the power that a fault took away comes back

Faulty = Annotated[list[str] | None, typer.Option("--fault", help="May be given more than once; @N at its end: board N alone. "
                                                                  + "; ".join(FAULTS.values()) + ".")]


def board(
    count: Annotated[int, typer.Option(min=1, max=MAX_BOARDS, help="How many.")] = 1,
    chip: Annotated[str, typer.Option(help="One of " + ", ".join(CHIPS) + ".")] = "esp32",
    folder: Annotated[Path, typer.Option(help="Where their ports appear, and their flashes stay when they are switched off.")] =
        Path("build/boards"),
    size: Annotated[str, typer.Option("--flash-size", help="Of each chip.")] = "4MB",
    fault: Faulty = None,
    as_json: AsJson = False,
) -> None:
    """Simulate ESP32 boards behind pseudo-terminals until Ctrl-C: flash them, talk to them, provision them with the real tools.

    A board runs what is flashed: its file system, under real MicroPython. A new one is erased. DTR and RTS do not pass such a port:
    a SYNC means the loader, and closing the port after it a reset.

    Example: tenfold sim board --count 8 --fault corrupt:0x10000@3

    In another terminal: esptool --port build/boards/tty1 write-flash 0 flash.bin; mpremote connect build/boards/tty1 fs ls
    """
    faults: dict[int, list[Fault]] = {}
    for text in fault or []:
        word, _, number = text.partition("@")
        if number and not (number.isdecimal() and 1 <= int(number) <= count):
            raise BoardError(f"fault {text!r}: got board {number!r}, expected 1 to {count}")
        for one in [int(number)] if number else range(1, count + 1):
            faults.setdefault(one, []).append(Fault.parse(word))
    stop = threading.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(wanted, lambda *_: stop.set())
    folder.mkdir(parents=True, exist_ok=True)
    with Bench(folder, count, chip, flash_bytes=flash_size(size), faults=faults) as bench:
        for each in bench.boards:
            shown = {"board": each.number, "port": str(each.port), "mac": each.mac, "chip": each.chip}
            print(json.dumps(shown) if as_json else "  ".join(str(value) for value in shown.values()), flush=True)
        if not as_json:
            print("Ctrl-C switches them off", flush=True)
        _keep(bench, stop, as_json)


def _keep(bench: Bench, stop: threading.Event, as_json: bool) -> None:
    """Put back what a fault took away, until somebody says stop."""
    away_s: dict[int, float] = {}
    while not stop.wait(LOOK_S):
        for each in bench.boards:
            if each.alive:
                continue
            since_s = away_s.setdefault(each.number, time.monotonic())
            if time.monotonic() - since_s >= AWAY_S:
                del away_s[each.number]
                each.power_on()
                event = {"board": each.number, "event": "back"}
                print(json.dumps(event) if as_json else f"{each.port}: plugged in again", flush=True)
