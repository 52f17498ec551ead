"""From a bare board to a running fleet without hardware: `tenfold up`, simulated boards, `tenfold line demo`. Slow tier."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from host.sim import door
from host.sim.boards.bench import Bench
from host.sim.boards.faults import Fault
from host.sim.ports import free_ports

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TENFOLD = (sys.executable, "-c", "from host.cli import main; main()")
UP_S = 300      # servers and one device on a machine that is busy with other things; a tenth of it is usual
LINE_S = 600    # three boards; likewise


@contextmanager
def plant_up(build: Path, port: int) -> Iterator[None]:
    """A plant of one device that takes boards from others."""
    (build / "umqtt").mkdir(parents=True)
    for file in (ROOT / "build/umqtt").iterdir():   # spares the registry a download
        shutil.copy(file, build / "umqtt")
    up = subprocess.Popen([*TENFOLD, "up", "--devices", "1", "--port", str(port), "--build", str(build)], stdout=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + UP_S
        while not door.is_open(build):
            assert up.poll() is None, "it has ended"
            assert time.monotonic() < deadline_s, "it did not come up"
            time.sleep(0.2)
        yield
        up.send_signal(signal.SIGINT)
        assert up.wait(UP_S) == 0
    finally:
        up.kill()
        up.wait()


def line(build: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    command = [*TENFOLD, "line", "demo", "--ports", str(folder / "tty*"), "--build", str(build), "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LINE_S, check=False)
    assert done.stdout, done
    return done.returncode, json.loads(done.stdout)


def operators_devices(build: Path) -> dict[str, dict[str, Any]]:
    """What an operator sees who types what `tenfold up` told him."""
    shell = f'. "{build}/demo/operator.env"; "$@" devices list --json'
    told = subprocess.run(["sh", "-c", shell, "sh", *TENFOLD], capture_output=True, text=True, timeout=LINE_S, check=True)
    return {row["device"]: row for row in json.loads(told.stdout)}


def console_devices(port: int) -> dict[str, dict[str, Any]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/devices", timeout=30) as answer:
        return {row["device"]: row for row in json.load(answer)["devices"]}


def test_board_that_the_line_calls_done_never_comes_into_the_fleet_or_is_made_twice(tmp_path: Path) -> None:
    build, folder, port = tmp_path / "build", tmp_path / "boards", free_ports(1)[0]
    folder.mkdir()
    with plant_up(build, port), Bench(folder, 3) as bench:
        plant = door.join(build)
        bench.boards[2].inject(Fault.parse("wrong-chip"))
        names = ["hall-" + board.mac.replace(":", "") for board in bench.boards[:2]]
        code, said = line(build, folder)
        assert code == 1   # one board is set aside
        assert (said["done"], said["faulty"], said["faults"]) == (2, 1, {"detect": 1})
        assert ({one["device"]: one["release"] for one in said["fleet"]}, said["missing"]) == (dict.fromkeys(names, "1.0.0"), {})
        assert sorted(path.stem for path in Path(said["labels"]).glob("*.png")) == names
        born = {name: plant.ledger.birth(name) for name in names}
        assert all(one is not None and one.lot == "line-1" for one in born.values())
        seen, shown = operators_devices(build), console_devices(port)
        for name in names:
            assert (seen[name]["release"], seen[name]["trial"]) == ("1.0.0", False)
            assert shown[name]["online"]
            assert shown[name]["readings"]
            assert len(plant.ledger.certificates(name)) == 1
        before = [dict(board.commands) for board in bench.boards[:2]]
        code, said = line(build, folder)   # all that is done is known
        assert (code, said["done"], said["first_pass_yield"]) == (1, 2, 2 / 3)
        assert {one["device"] for one in said["fleet"]} == set(names)
        for board, commands in zip(bench.boards, before, strict=False):
            assert board.commands["flash-defl-begin"] == commands["flash-defl-begin"]
        assert {name: plant.ledger.birth(name) for name in names} == born
        plant.ledger._engine.dispose()
    assert os.listdir(build / "demo/line") == ["line-1-bench-1"]
