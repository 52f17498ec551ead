"""A port's faults have the same words whichever tool met them: the console, esptool or mpremote, at simulated boards."""

from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from host.sim.boards.board import Board
from provisioning.errors import ProvisioningError
from provisioning.line.console import listen
from provisioning.line.loader import Loader
from provisioning.line.mpremote import mpremote
from provisioning.line.serialport import FAULTS, fault, open_port
from tests.provisioning.flash_boards import ON_THE_LINE, boards, image

WAYS: list[Callable[[str], object]] = [lambda port: next(listen(port)), Loader, lambda port: mpremote(port, ["fs", "ls"])]


@pytest.mark.parametrize("way", WAYS, ids=["console", "esptool", "mpremote"])
def test_a_port_in_use_or_not_there_is_told_alike_by_every_tool(tmp_path: Path, way: Callable[[str], object]) -> None:
    with boards(tmp_path, "esp32c3") as (board,):
        port = str(board.port)
        with serial.Serial(port, exclusive=True), pytest.raises(ProvisioningError) as busy:
            way(port)
    with pytest.raises(ProvisioningError) as absent:
        way(port)
    assert str(busy.value) == str(fault(port, "port.busy"))
    assert str(absent.value) == str(fault(port, "port.absent"))


def test_a_port_that_one_may_not_open_is_not_told_as_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' user may open everything, so the system's refusal is made here, as pyserial gives it on."""
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(13, "could not open port /dev/ttyUSB0: [Errno 13] Permission denied: '/dev/ttyUSB0'")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    with pytest.raises(ProvisioningError, match=r"port\.denied: /dev/ttyUSB0: permission denied; join the group"):
        open_port("/dev/ttyUSB0", 115200, 0)


def test_a_board_that_goes_away_while_a_program_runs_is_told(tmp_path: Path) -> None:
    with boards(tmp_path, "esp32") as (board,):
        board.load(image("esp32", ON_THE_LINE).content)
        with pytest.raises(ProvisioningError, match=r"port\.lost"):
            mpremote(str(board.port), ["exec", "print('here')\nwhile True: pass"], tell=pulls(board))


def pulls(board: Board) -> Callable[[str], None]:
    return lambda line: board.pull() if line == "here" else None


def test_every_fault_of_a_port_says_what_to_do() -> None:
    assert all(what and hint for what, hint in FAULTS.values())
