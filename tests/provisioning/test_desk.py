"""One board at a desk: code that changed is copied with the real mpremote, and its console is heard past a pulled cable."""

from pathlib import Path

import pytest
import serial

from host.sim.boards.faults import Fault
from provisioning.errors import ProvisioningError
from provisioning.line import console, desk
from provisioning.line.contents import FACTORY
from provisioning.line.desk import BUNDLE
from tests.provisioning.flash_boards import BORN, ON_THE_LINE, boards, image
from tests.sim_host.test_boards import until

FILES = {**ON_THE_LINE, "/stub.py": b"# stub\n" * 50, BUNDLE: b"TFB1 first" * 100}


def test_only_files_that_differ_are_copied_and_the_board_is_reset(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32c3") as (board,):
        board.load(image("esp32c3", FILES).content)
        newer = {**FILES, "/stub.py": b"# newer\n"}
        resets = board.resets
        assert desk.update(str(board.port), newer) == ["/stub.py"]
        until(lambda: board.resets > resets)
        assert desk.update(str(board.port), newer) == []
        assert {path: board.files()[path] for path in newer} == newer


def test_bundle_is_never_complete_with_another_release(tmp_path: Path) -> None:
    newer = {**FILES, BUNDLE: b"TFB1 second" * 3000}
    with boards(tmp_path, "esp32") as (board,):
        board.load(image("esp32", FILES).content)
        board.inject(Fault.parse("cable-bytes:12000"))   # in the middle of the bundle
        with pytest.raises(ProvisioningError, match=r"^port\.lost: "):
            desk.update(str(board.port), newer)
        board.power_off()
        board.power_on()
        assert FACTORY not in board.files()
        assert BUNDLE in desk.update(str(board.port), newer)
        assert {path: board.files()[path] for path in newer} == newer


def test_board_without_a_prompt_and_a_port_in_use_are_told_apart(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32c3") as (board,):
        with serial.Serial(str(board.port), exclusive=True), pytest.raises(ProvisioningError, match=r"^port\.busy: "):
            desk.update(str(board.port), FILES)
        with pytest.raises(ProvisioningError, match=r"^board\.prompt: .*tenfold ports"):   # erased
            desk.update(str(board.port), FILES)
        with pytest.raises(ProvisioningError, match=r"^port\.absent: "):
            desk.update(str(tmp_path / "none"), FILES)


def test_console_goes_on_when_the_cable_is_back(tmp_path: Path) -> None:
    says = {**BORN, "/boot.py": b"print('here I am')\n"}
    heard: list[tuple[str, str]] = []
    with boards(tmp_path, "esp32") as (board,):
        board.load(image("esp32", says).content)
        for event in console.listen(str(board.port)):
            heard.append((event.kind, event.text))
            opened = [kind for kind, _ in heard].count("open")
            if event.kind == "open":
                board.reset()
            elif event.text == "here I am" and opened == 1:
                board.pull()
            elif event.kind == "lost":
                board.plug()
            elif event.text == "here I am":
                break
    assert [kind for kind, _ in heard if kind != "line"] == ["open", "lost", "open"]
    assert all("\r" not in text for _, text in heard)


def test_console_of_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32") as (board,), serial.Serial(str(board.port), exclusive=True), \
            pytest.raises(ProvisioningError, match=r"^port\.busy: "):
        next(console.listen(str(board.port)))
