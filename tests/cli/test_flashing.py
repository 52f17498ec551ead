"""`tenfold ports`, `flash`, `app`, `monitor`, `shell` and `provision` at simulated boards, as a person or a script calls them."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from host.cli.root import app
from host.db import open_engine
from host.sim.boards.faults import Fault
from node.agent.paths import KEY_PATH
from ota.release.bundle import MPY_VERSION, compile_tree
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.line.esp_image import Stock, bootloader_offset, build_esp_flash
from provisioning.line.flashing import check_image
from provisioning.line.image import base_files
from tests.provisioning.esp_images import ESP32, application, esp_image_file
from tests.provisioning.flash_boards import BORN, boards, image
from tests.provisioning.secure_boards import CSV

ROOT = Path(__file__).parents[2]
WAIT_S = 120


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def told(*words: object) -> Any:
    """What a command that succeeds says to machines."""
    done = call(*words, "--json")
    assert done.exit_code == 0, (done.exception, done.stderr)
    return json.loads(done.stdout)


def test_ports_says_what_each_board_is_and_which_does_not_answer(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32", "esp32c6") as made:
        made[0].load(image("esp32", BORN).content)
        made[1].inject(Fault.parse("silent"))
        first, second = told("ports", "--port", tmp_path / "tty*", "--timeout", 300)
    assert (first["chip"], first["mac"], first["contents"]["device"]) == ("esp32", made[0].mac, "hall-0242ac130001")
    assert (second["chip"], second["fault"]["code"]) == ("", "board.silent")


def test_no_port_at_all_says_what_to_do(tmp_path: Path) -> None:
    done = call("ports", "--port", tmp_path / "tty*")
    assert isinstance(done.exception, ProvisioningError)
    assert done.exception.code == "port.none"
    assert "sim board" in done.exception.message


def test_all_boards_are_flashed_at_once_and_one_that_fails_does_not_stop_the_others(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "flash.bin"
    file.write_bytes(image("esp32c3").content)
    monkeypatch.setenv("TENFOLD_PORTS", str(tmp_path / "tty*"))
    with boards(tmp_path, "esp32c3", "esp32", "esp32c3") as made:
        done = call("flash", file, "--port", "all", "--json")
        outcomes = json.loads(done.stdout)
        assert made[0].flash() == made[2].flash() == file.read_bytes()
    assert done.exit_code == 2
    assert [one.get("mac") for one in outcomes] == [made[0].mac, None, made[2].mac]
    assert outcomes[1]["code"] == "board.chip"


def test_board_that_was_named_must_be_the_images(tmp_path: Path) -> None:
    file = tmp_path / "flash.bin"
    file.write_bytes(image("esp32").content)
    with boards(tmp_path, "esp32c3") as (board,):
        done = call("flash", file, "--port", board.port, "--board", "esp32-c3")
        assert not board.commands
    assert done.exit_code == 2
    assert "image.chip" in done.stderr
    assert "looks at" not in done.stderr


def test_steps_and_the_next_one_are_told_without_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "flash.bin"
    file.write_bytes(image("esp32").content)
    with boards(tmp_path, "esp32") as (board,):
        done = call("flash", file, "--port", board.port)
    assert done.exit_code == 0
    steps = [line.rpartition(": ")[2] for line in done.stderr.splitlines()]
    assert steps == ["looks at the board", "erases", "writes", "verifies", "done"]
    assert board.mac in done.stdout
    assert "Next: " in done.stdout


def test_shell_without_a_terminal_is_refused(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32") as (board,):
        done = call("shell", "--port", board.port)
    assert isinstance(done.exception, ProvisioningError)
    assert done.exception.code == "shell.terminal"


@pytest.mark.parametrize("target", ["flash", "app", "monitor", "shell", "provision"])
def test_make_without_a_port_says_how_to_name_it(target: str) -> None:
    done = subprocess.run(["make", "-o", ".venv/.demo", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"make {target} PORT=/dev/ttyUSB0 (make ports lists them)" in done.stderr


@pytest.mark.slow
def test_monitor_stamps_lines_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32") as (board,):
        board.load(image("esp32", {"/boot.py": b"print('here I am')\n"}).content)
        command = [sys.executable, "-c", "from host.cli import main; main()", "monitor", "--port", str(board.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert "connected" in process.stdout.readline()
            board.reset()
            lines = iter(process.stdout.readline, "")
            assert any(line[2] == ":" and line.endswith("  here I am\n") for line in lines)
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_S) == 0


@pytest.mark.slow
def test_new_board_is_flashed_provisioned_and_keeps_its_key(tmp_path: Path) -> None:
    boot = esp_image_file(0, [(0x3FFF0030, b"\x07" * 0x1000)])
    release = {"release": "1.0.0", "counter": 1, "manifest": "", "model": "hall", "mpy": MPY_VERSION}
    files = base_files(ROOT / "firmware", compile_tree(ROOT / "firmware", ROOT / "build/umqtt/simple.py"), release)
    stock = Stock("esp32", bootloader_offset("esp32"), boot, application(ESP32))
    file = tmp_path / "flash.bin"
    file.write_bytes(check_image(build_esp_flash(stock, CSV, files), "x").content)
    (tmp_path / "ca.der").write_bytes(b"\x30none")
    (tmp_path / "root.bin").write_bytes(b"none")
    url = f"sqlite:///{tmp_path}/ledger.db"
    words = ["--site", ROOT / "firmware/image/site.json", "--ca", tmp_path / "ca.der", "--root", tmp_path / "root.bin",
             "--ledger", url, "--lot", "desk-1", "--key", tmp_path / "station.pem"]
    with boards(tmp_path, "esp32") as (board,):
        place = ["--port", board.port]
        early = call("provision", *place, *words, "--open-lot", 1).exception
        assert isinstance(early, ProvisioningError)
        assert early.code == "board.firmware"
        assert call("flash", file, *place).exit_code == 0
        copied = told("app", *place)   # another name of the release
        assert list(copied["written"]) == ["/factory/release.json"]
        born = told("provision", *place, *words)
        assert born["birth"] == "birth.new"
        assert Ledger(open_engine(url)).devices() == [born["device"]]
        assert told("provision", *place, *words) == {**born, "birth": "birth.known", "site_kept": True}
        shown = told("ports", *place, "--timeout", 300)[0]["contents"]
        assert (shown["device"], shown["release"], shown["has_identity"]) == (born["device"], "desk", True)
        refused = json.loads(call("flash", file, *place, "--json").stdout)[0]
        assert refused["code"] == "board.identity"
        no_prompt = call("app", *place).exception
        assert isinstance(no_prompt, ProvisioningError)
        assert no_prompt.code == "board.prompt"
        board.power_off()
        assert KEY_PATH in board.files()
