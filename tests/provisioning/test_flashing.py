"""Flashing simulated boards with the real esptool: what is refused before a board is touched, and what is found when it fails."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import serial

from host.sim.boards.faults import Fault
from node.agent.paths import KEY_PATH
from provisioning.errors import ProvisioningError
from provisioning.line.flashing import PHASES, Progress, check_image, flash, read_image
from tests.provisioning.flash_boards import BORN, ON_THE_LINE, boards, image


def refused(code: str) -> "pytest.RaisesExc[ProvisioningError]":
    return pytest.raises(ProvisioningError, match=rf"^{code}: .*[;.] ")


def test_board_is_erased_written_and_verified(tmp_path: Path) -> None:
    ours = image("esp32", ON_THE_LINE)
    told: list[Progress] = []
    with boards(tmp_path, "esp32") as (board,):
        board.load(b"\0" * 0x3F_0000)   # something old everywhere
        done = flash(str(board.port), ours, progress=told.append, erase_identity=True)
        assert board.flash() == ours.content
    assert (done.chip, done.mac, done.sha256) == ("esp32", board.mac, ours.sha256)
    assert list(dict.fromkeys(one.phase for one in told)) == list(PHASES)
    written = [one.done for one in told if one.phase == "write"]
    assert written == sorted(written)


def test_image_of_another_chip_is_refused_before_the_board_is_changed(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32s3") as (board,):
        with refused("image.chip"):
            flash(str(board.port), image("esp32c3"), chip="esp32s3")
        assert not board.commands
        with refused("board.chip"):
            flash(str(board.port), image("esp32c3"))
        assert not {"erase-flash", "flash-defl-begin"} & set(board.commands)


def test_image_for_a_larger_flash_is_refused(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32c3", flash_bytes=2 << 20) as (board,):
        with refused("image.size"):
            flash(str(board.port), image("esp32c3"))
        assert not {"erase-flash", "flash-defl-begin"} & set(board.commands)


def test_device_key_is_not_erased_without_the_word(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32c6") as (board,):
        board.load(image("esp32c6", BORN).content)
        with refused("board.identity"):
            flash(str(board.port), image("esp32c6"))
        assert KEY_PATH in board.files()
        flash(str(board.port), image("esp32c6"), erase_identity=True)
        assert KEY_PATH not in board.files()


def test_key_of_a_flash_whose_files_cannot_be_read_whole_is_not_taken_for_absent(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32") as (board,):
        board.load(image("esp32", BORN).content)
        board.inject(Fault.parse("cable-command:read-flash*2"))   # the first is the table's
        with refused("port.lost"):
            flash(str(board.port), image("esp32"))
        board.power_on()
        assert KEY_PATH in board.files()


def test_corrupt_block_is_found_and_a_second_run_succeeds(tmp_path: Path) -> None:
    ours = image("esp32c3", ON_THE_LINE)
    with boards(tmp_path, "esp32c3") as (board,):
        board.inject(Fault.parse("corrupt:0x10000"))
        with refused("flash.verify"):
            flash(str(board.port), ours)
        flash(str(board.port), ours)
        assert board.flash() == ours.content


def test_cable_pulled_while_it_writes_and_a_second_run_succeeds(tmp_path: Path) -> None:
    ours = image("esp32", ON_THE_LINE)
    with boards(tmp_path, "esp32") as (board,):
        board.inject(Fault.parse("cable-command:flash-defl-data*1"))
        with refused("flash.lost"):
            flash(str(board.port), ours)
        with refused("port.absent"):
            flash(str(board.port), ours)
        board.power_on()
        flash(str(board.port), ours)
        assert board.flash() == ours.content


def test_port_in_use_and_silent_board_are_told_apart(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32c3") as (board,):
        with serial.Serial(str(board.port), exclusive=True), refused("port.busy"):
            flash(str(board.port), image("esp32c3"))
        board.inject(Fault.parse("silent"))
        with refused("board.silent"):
            flash(str(board.port), image("esp32c3"))


def test_two_boards_at_once_get_each_its_own(tmp_path: Path) -> None:
    both = threading.Barrier(2)
    with boards(tmp_path, "esp32", "esp32s3") as made, ThreadPoolExecutor(2) as pool:
        images = [image(board.chip, {"/mine": board.mac.encode()}) for board in made]

        def one(number: int) -> str:
            both.wait(60)
            return flash(str(made[number].port), images[number]).mac

        assert list(pool.map(one, range(2))) == [board.mac for board in made]
        assert [board.flash() for board in made] == [ours.content for ours in images]


@pytest.mark.parametrize(("content", "code"), [
    (b"", "image.damaged"), (b"\xe9" * 40_000, "image.chip"), (b"UF2\n" * 20_000, "image.damaged"),
    (image("esp32").content[:0x9000], "image.damaged"),                                           # cut off
    (image("esp32c3").content[:0x10800] + b"\0" + image("esp32c3").content[0x10801:], "image.damaged"),   # a bit of its application
    (image("esp32c3").content[:12] + b"\x0c" + image("esp32c3").content[13:], "image.chip"),      # ESP32-C2
    (image("esp32").content[0x1000:], "image.damaged"),                                           # as micropython.org offers it
], ids=["empty", "no image", "UF2", "cut off", "bits", "unknown chip", "without its first 4 KiB"])
def test_file_that_is_no_flash_image_is_refused_by_its_looks(content: bytes, code: str) -> None:
    with refused(code):
        check_image(content, "x.bin")


def test_missing_file_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ProvisioningError, match=r"image\.absent.*make image"):
        read_image(tmp_path / "none.bin")
