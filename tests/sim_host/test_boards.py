"""Simulated boards with the real tools: esptool, espefuse and mpremote take them for boards, and faults are found by the tools."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from host.sim.boards.bench import Bench
from host.sim.boards.board import Board
from host.sim.boards.errors import BoardError
from host.sim.boards.faults import Fault
from host.sim.boards.stock import stand_in
from node.agent.paths import KEY_PATH
from node.wire import identity
from ota.release.bundle import MPY_VERSION, compile_tree
from provisioning.line.esp_image import build_esp_flash
from provisioning.line.image import ImageError, base_files, compact
from provisioning.line.serial import SITE, provision
from provisioning.line.station import parse_line
from tests.provisioning.secure_boards import CSV, flash_image

ROOT = Path(__file__).parents[2]
WAIT_S = 120   # the longest that a tool or a board may take on a machine that is busy with other things
BY_HAND = ("--before", "no-reset", "--after", "no-reset")   # a pseudo-terminal has no DTR and RTS; esptool warns otherwise
TITLES = {"esp32": "ESP32", "esp32s3": "ESP32-S3", "esp32c3": "ESP32-C3", "esp32c6": "ESP32-C6"}

Make = Callable[..., Board]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Boards in the test's folder, switched off at its end."""
    boards: list[Board] = []

    def one(chip: str = "esp32c3", number: int = 1) -> Board:
        boards.append(Board(tmp_path, number, chip))
        return boards[-1]

    yield one
    for board in boards:
        board.close()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A file that compresses, but not to one block."""
    path = tmp_path / "content"
    path.write_bytes(random.Random(1).randbytes(50_000).hex().encode())
    return path


def tool(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=WAIT_S, check=False)


def esptool(board: Board, *words: object) -> subprocess.CompletedProcess[str]:
    return tool("esptool", "--port", board.port, *BY_HAND, *words)


def mpremote(board: Board, *words: object) -> str:
    done = tool("mpremote", "connect", board.port, *words)
    assert done.returncode == 0, done
    return done.stdout


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


def hear(port: serial.Serial, word: str) -> str:
    """The next line of a console that begins with this word."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        line = port.readline().decode()
        if line.startswith(word):
            return line
    raise AssertionError(f"no {word} line")


def console(board: Board) -> serial.Serial:
    return serial.Serial(str(board.port), 115200, timeout=1)


@pytest.mark.parametrize("chip", TITLES)
def test_esptool_detects_each_chip_and_finds_what_it_wrote(make: Make, content: Path, chip: str) -> None:
    board = make(chip)
    done = esptool(board, "write-flash", "0x20000", content)
    assert done.returncode == 0, done
    assert f"Connected to {TITLES[chip]} on" in done.stdout
    assert board.mac in done.stdout
    assert "Hash of data verified" in done.stdout
    assert board.flash()[0x20000:0x20000 + 100_000] == content.read_bytes()
    assert "flash-defl-data" in board.commands


def test_rom_without_the_stub_and_without_compression(make: Make, content: Path, tmp_path: Path) -> None:
    board = make("esp32")
    content.write_bytes(content.read_bytes()[:5000])
    done = esptool(board, "--no-stub", "write-flash", "--no-compress", "0x10000", content)
    assert done.returncode == 0, done
    assert {"flash-data", "read-reg"} <= set(board.commands)
    assert not {"mem-end", "flash-defl-data"} & set(board.commands)
    assert esptool(board, "--no-stub", "read-flash", "0x10000", "128", tmp_path / "read").returncode == 0
    assert (tmp_path / "read").read_bytes() == content.read_bytes()[:128]


def test_flash_is_told_read_and_erased(make: Make, content: Path, tmp_path: Path) -> None:
    board = make("esp32s3")
    board.load(content.read_bytes())
    assert "Detected flash size: 4MB" in esptool(board, "flash-id").stdout
    assert esptool(board, "read-flash", "0x1000", "20000", tmp_path / "read").returncode == 0
    assert (tmp_path / "read").read_bytes() == content.read_bytes()[0x1000:0x1000 + 20000]
    assert esptool(board, "erase-region", "0x1000", "0x1000").returncode == 0
    assert board.flash()[:0x3000] == content.read_bytes()[:0x1000] + b"\xff" * 0x1000 + content.read_bytes()[0x2000:0x3000]
    assert esptool(board, "erase-flash").returncode == 0
    assert not board.flash().strip(b"\xff")


def test_espefuse_reads_a_chip_fresh_from_its_factory(make: Make) -> None:
    for number, chip in enumerate(("esp32", "esp32c6"), 1):
        board = make(chip, number)
        done = tool("espefuse", "--port", board.port, "--before", "no-reset", "summary", "--format", "json")
        assert done.returncode == 0, done
        fuses = json.loads(done.stdout[done.stdout.index("{"):])
        assert fuses["MAC"]["value"].split()[0] == board.mac
    info = esptool(board, "get-security-info")
    assert re.search(r"Secure Boot: +Disabled", info.stdout), info


def test_wrong_chip_is_refused(make: Make, content: Path) -> None:
    board = make("esp32")
    board.inject(Fault.parse("wrong-chip"))
    done = esptool(board, "--chip", "esp32", "write-flash", "0x20000", content)
    assert done.returncode == 2
    assert "This chip is ESP32-S3, not ESP32" in done.stdout + done.stderr
    assert not board.flash().strip(b"\xff")


def test_corrupt_sector_is_found_by_verification(make: Make, content: Path) -> None:
    board = make()
    board.inject(Fault.parse("corrupt:0x22000"))
    done = esptool(board, "write-flash", "0x20000", content)
    assert done.returncode == 2
    assert "MD5" in done.stdout + done.stderr
    assert esptool(board, "verify-flash", "0x20000", content).returncode == 2
    assert esptool(board, "write-flash", "0x20000", content).returncode == 0


@pytest.mark.parametrize("fault", [   # esptool tries for some seconds to find the port again
    "cable-command:flash-defl-data*2", *(pytest.param(one, marks=pytest.mark.slow) for one in ("cable-bytes:60000", "power:30"))])
def test_pulled_cable_or_lost_power_ends_esptool_and_a_second_run_succeeds(make: Make, content: Path, fault: str) -> None:
    board = make()
    board.inject(Fault.parse(fault))
    done = esptool(board, "write-flash", "0x20000", content)
    assert done.returncode, done
    assert not board.alive
    assert not board.port.is_symlink()
    board.power_on()
    assert esptool(board, "write-flash", "0x20000", content).returncode == 0
    assert board.flash()[0x20000:0x20000 + 100_000] == content.read_bytes()


def test_silent_board_is_given_up(make: Make) -> None:
    board = make()
    board.inject(Fault.parse("silent"))
    done = esptool(board, "--connect-attempts", "1", "chip-id")
    assert done.returncode == 2
    assert "No serial data received" in done.stdout + done.stderr
    board.heal()
    assert esptool(board, "chip-id").returncode == 0


def test_noise_on_the_line_ends_esptool_and_a_healed_board_works(make: Make, content: Path) -> None:
    board = make()
    board.inject(Fault.parse("noise:7"))
    board.inject(Fault.parse("slow:1"))
    assert esptool(board, "write-flash", "0x20000", content).returncode == 2
    board.heal()
    assert esptool(board, "write-flash", "0x20000", content).returncode == 0


def test_mpremote_runs_code_copies_files_and_they_survive_the_power_and_no_erasure(make: Make, content: Path, tmp_path: Path,
                                                                                     ) -> None:
    board = make("esp32")
    board.load(flash_image("esp32"))
    assert mpremote(board, "exec", "x = 6 * 7; print(x)").split() == ["42"]
    content.write_bytes(content.read_bytes()[:6000])
    mpremote(board, "resume", "fs", "cp", content, ":/content", "+", "fs", "mkdir", ":/folder")
    assert mpremote(board, "resume", "exec", "print(x)").split() == ["42"]   # no reset in between
    mpremote(board, "soft-reset")
    assert "NameError" in tool("mpremote", "connect", board.port, "resume", "exec", "print(x)").stdout
    assert board.files()["/content"] == content.read_bytes()
    board.power_off()
    assert board.pid is None
    board.power_on()
    mpremote(board, "fs", "cp", ":/content", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content.read_bytes()
    assert esptool(board, "erase-flash").returncode == 0
    with pytest.raises(ImageError):
        board.files()
    with console(board) as port:
        board.reset()
        assert hear(port, "invalid header").strip() == "invalid header: 0xffffffff"


def test_program_that_runs_for_ever_is_interrupted_and_one_that_resets_starts_again(make: Make) -> None:
    board = make("esp32")
    board.load(flash_image("esp32"))
    mpremote(board, "exec", "with open('main.py', 'w') as f: f.write('print(\"MAIN\")\\nwhile True: pass\\n')")
    with console(board) as port:
        board.reset()
        hear(port, "MAIN")
        port.write(b"\r\x03")
        hear(port, "KeyboardInterrupt")
    resets = board.resets
    mpremote(board, "reset")
    until(lambda: board.resets > resets)


def test_what_a_former_user_did_not_read_is_not_heard_by_the_next(make: Make) -> None:
    board = make("esp32")
    board.load(flash_image("esp32"))
    mpremote(board, "exec", "with open('main.py', 'w') as f: f.write('print(\"OLD \" * 5000)')")
    with console(board):
        board.reset()
        until(lambda: board.at_prompt)
    until(lambda: not board.is_heard)
    port = os.open(board.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)   # not pyserial, which throws away what it finds
    try:
        assert os.read(port, 1) == b""   # at once, as pyserial has set the terminal
    finally:
        os.close(port)


def test_board_that_is_switched_on_is_not_switched_on_twice(make: Make, tmp_path: Path) -> None:
    make()
    with pytest.raises(BoardError, match="switched on already"):
        Board(tmp_path, 1, "esp32c3")


def test_boards_keep_what_they_are_and_a_folder_is_not_taken_for_another_chip(tmp_path: Path) -> None:
    with Bench(tmp_path, 2, "esp32c3") as bench:
        first, second = bench.boards
        assert first.mac != second.mac
        first.load(b"kept")
    assert not first.port.is_symlink()
    with Bench(tmp_path, 1, "esp32c3") as bench:
        assert bench.boards[0].flash().startswith(b"kept")
        assert bench.boards[0].mac == first.mac
    with pytest.raises(BoardError, match="another folder"):
        Bench(tmp_path, 1, "esp32")
    with pytest.raises(BoardError, match="expected one of esp32"):
        Bench(tmp_path, 1, "esp8266")


def test_eight_boards_at_their_prompts_cost_nothing(tmp_path: Path) -> None:
    def turns() -> int:
        """How often the kernel has let seven of the boards' threads and programs run."""
        threads = {thread.name: thread.native_id for thread in threading.enumerate()}
        tasks = [Path(f"/proc/self/task/{threads[f'board {board.number}']}/status") for board in bench.boards[1:]]
        tasks += [Path(f"/proc/{board.pid}/status") for board in bench.boards[1:]]
        return sum(int(count) for task in tasks for count in re.findall(r"ctxt_switches:\s*(\d+)", task.read_text()))

    image = flash_image("esp32")
    with Bench(tmp_path, 8) as bench:
        for board in bench.boards:
            board.load(image)
        until(lambda: all(board.at_prompt for board in bench.boards))
        mpremote(bench.boards[0], "exec", "print(1)")
        before = turns()
        mpremote(bench.boards[0], "exec", "import time; time.sleep(2)")
        assert turns() == before


@pytest.mark.slow
def test_the_command_tells_ports_and_macs_and_ends_with_its_boards(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from host.cli import main; main()", "sim", "board", "--count", "2", "--chip", "esp32c6",
               "--folder", str(tmp_path / "boards"), "--json", "--fault", "cable-command:sync@2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [(one["board"], one["chip"]) for one in told] == [(1, "esp32c6"), (2, "esp32c6")]
        for one, returns in zip(told, (0, 2), strict=True):
            done = tool("esptool", "--port", one["port"], *BY_HAND, "--connect-attempts", "1", "read-mac")
            assert bool(done.returncode) == bool(returns), done
            assert returns or one["mac"] in done.stdout
        assert json.loads(process.stdout.readline()) == {"board": 2, "event": "back"}
        assert Path(told[1]["port"]).exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
        assert not os.listdir(tmp_path / "boards/1/bench")
        assert not Path(told[0]["port"]).is_symlink()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_firmware_of_this_repository_is_provisioned_and_born_with_a_key_in_its_flash(make: Make) -> None:
    umqtt = ROOT / "build/umqtt/simple.py"
    release = {"release": "1.0.0", "counter": 1, "manifest": "", "model": "hall", "mpy": MPY_VERSION}
    files = base_files(ROOT / "firmware", compile_tree(ROOT / "firmware", umqtt), release)
    board = make("esp32")
    board.load(build_esp_flash(stand_in("esp32"), CSV, files))
    with console(board) as port:
        board.reset()
        hear(port, "LINE no site.json")
    site = json.loads((ROOT / "firmware/image/site.json").read_text())
    written = {"/trust/ca.der": b"none", "/trust/root.bin": b"none", SITE: compact({**site, "product": "hall", "model": "hall"})}
    provision(str(board.port), written)
    with console(board) as port:
        board.reset()
        born = parse_line(hear(port, "BIRTH"))
    assert born is not None
    assert born.device == "hall-" + board.mac.replace(":", "")
    assert identity.birth_proof_holds(born.device, born.key, born.proof)
    board.power_off()
    assert KEY_PATH in board.files()
    board.power_on()
    with console(board) as port:
        board.reset()
        again = parse_line(hear(port, "BIRTH"))
    assert again is not None
    assert again.key == born.key
    assert esptool(board, "erase-flash").returncode == 0
    assert not board.flash().strip(b"\xff")
