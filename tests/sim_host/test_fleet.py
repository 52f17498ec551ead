"""The power supply: a board that resets or crashes starts again, one without power does not, a starved watchdog resets."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from host.sim import radio
from host.sim.fleet import Board
from host.sim.plant import PARTITIONS
from provisioning.line.image import build_flash

MAC = "0242ac110001"
DEVICE = f"hall-{MAC}"
COUNT = b"""
import os
n = len(os.listdir("/bench"))
with open("/bench/start%d" % n, "w"):
    pass
"""
RESETS = COUNT + b"import simchip\nsimchip.reset()\n"
CRASHES = COUNT + b"raise RuntimeError('x')\n"
TELLS = COUNT + b"""
import sys
print('LOG {"event": "up", "detail": "%s"}' % sys.implementation.name)
print('LOG not json')
print('x' * 9000)
print('BIRTH {"device": "d"}')
import time
time.sleep(60)
"""
HEARS = b"""
import simchip, sys, time
while simchip.rssi() is None:   # on a cable until the simulation says otherwise
    time.sleep_ms(20)
print('LOG {"rssi": %d}' % simchip.rssi())
time.sleep(60)
"""
HANGS = COUNT + b"import simchip, time\nsimchip.Watchdog(timeout=1000)\ntime.sleep(60)\n"


def board(folder: Path, boot: bytes, heard: list[tuple[str, dict[str, object]]] | None = None) -> Board:
    bench = folder / "bench"
    bench.mkdir()
    flash = folder / "flash.bin"
    flash.write_bytes(build_flash(PARTITIONS, {"/boot.py": boot, "/state/site.json": b'{"product":"hall"}'}))
    said: list[tuple[str, dict[str, object]]] = [] if heard is None else heard

    def listen(_device: str, word: str, values: dict[str, object]) -> None:
        said.append((word, values))

    return Board(DEVICE, MAC, flash, folder / "log", listen, bench=bench)


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        await asyncio.sleep(0.02)


def starts(one: Board) -> int:
    return len(list(one.bench.glob("start*")))


def run(one: Board, story: Callable[[], object]) -> None:
    async def told() -> None:
        one.power_on()
        try:
            await story()  # type: ignore[misc]
        finally:
            await one.unplug()
        assert one.pid is None

    asyncio.run(told())


def test_board_that_resets_itself_starts_again(tmp_path: Path) -> None:
    one = board(tmp_path, RESETS)
    run(one, lambda: until(lambda: one.resets >= 2))
    assert one.crashes == 0


def test_board_that_crashes_starts_again(tmp_path: Path) -> None:
    one = board(tmp_path, CRASHES)
    run(one, lambda: until(lambda: one.crashes >= 2))


def test_power_cut_keeps_it_dark_until_power_returns(tmp_path: Path) -> None:
    one = board(tmp_path, TELLS)

    async def story() -> None:
        await until(lambda: starts(one) == 1)
        await one.unplug()
        assert one.pid is None
        one.power_on()
        await until(lambda: starts(one) == 2)

    run(one, story)


def test_noise_on_the_console_does_not_stop_the_listener(tmp_path: Path) -> None:
    heard: list[tuple[str, dict[str, object]]] = []
    run(board(tmp_path, TELLS, heard), lambda: until(lambda: len(heard) == 2))
    assert heard == [("LOG", {"event": "up", "detail": "micropython"}), ("BIRTH", {"device": "d"})]


def test_chip_hears_the_access_point_that_the_simulation_sets(tmp_path: Path) -> None:
    heard: list[tuple[str, dict[str, object]]] = []
    run(board(tmp_path, HEARS, heard), lambda: until(lambda: heard))
    value = heard[0][1]["rssi"]
    assert isinstance(value, int)
    assert -90 < value < -35


def test_signals_of_a_hall_differ_and_wander_within_what_radios_hear() -> None:
    boards = [f"hall-0242ac11{number:04x}" for number in range(200)]
    now = [radio.rssi(each, 1.8e9) for each in boards]
    assert min(now) >= radio.FAR_DBM - 8
    assert max(now) <= radio.NEAR_DBM + 8
    assert len(set(now)) > 20
    day = [radio.rssi(boards[0], 1.8e9 + at_s) for at_s in range(0, 86_400, 60)]
    assert 4 <= max(day) - min(day) <= 15
    assert radio.rssi(boards[0], 1.8e9) == radio.rssi(boards[0], 1.8e9 + 0.1)


def test_starved_watchdog_resets_the_board(tmp_path: Path) -> None:
    one = board(tmp_path, HANGS)
    run(one, lambda: until(lambda: one.starved >= 1 and starts(one) >= 2))
    assert one.crashes >= 1
