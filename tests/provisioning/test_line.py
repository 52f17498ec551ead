"""The line with simulated boards and the real tools: born once, with a key on the board, whatever is pulled, broken or crashed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from host.sim.boards.board import Board
from host.sim.boards.faults import Fault
from node.agent.paths import KEY_PATH
from node.wire import der
from provisioning.ledger import Ledger
from provisioning.line.bench import Port
from provisioning.rules.line import WORKING, Step
from tests.provisioning.flash_boards import boards
from tests.provisioning.line_boards import LOT, Factory, until_rest


@pytest.fixture
def factory(tmp_path: Path, ledger: Ledger) -> Factory:
    return Factory(tmp_path / "station", ledger)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with boards(tmp_path / "boards", "esp32") as made:
        yield made[0]


def key_on(board: Board) -> str:
    """The public half of what is in the board's flash."""
    board.power_off()
    public: bytes = der.parse_sec1(board.files()[KEY_PATH])[1]
    board.power_on()
    return public.hex()


def born_once(factory: Factory, board: Board) -> None:
    """The end that every story must have: one record, with the key that is on the board, and a label."""
    birth = factory.ledger.birth(factory.device(board))
    assert birth is not None
    assert birth.key == key_on(board)
    assert factory.ledger.count(LOT) == 1
    assert (factory.folder / "labels" / f"{factory.device(board)}.png").exists()


def test_a_board_is_born_and_known_when_it_comes_again(factory: Factory, board: Board) -> None:
    seen: list[Step] = []
    with factory.line() as line:
        port = Port(line, str(board.port))
        assert until_rest(port, line, board.port, seen.append) is Step.DONE
        assert [step for step in WORKING if step in seen] == [step for step in WORKING if step is not Step.VERIFY]
        born_once(factory, board)
        port.look()   # it was taken out meanwhile: power off and on
        entries = len(line.journal.entries)
    board.commands.clear()
    with factory.line() as line:
        assert len(line.journal.entries) == entries
        assert until_rest(Port(line, str(board.port)), line, board.port) is Step.DONE
    assert "flash-defl-begin" not in board.commands
    born_once(factory, board)


@pytest.mark.slow
@pytest.mark.parametrize("last", [step for step in WORKING if step is not Step.VERIFY])
@pytest.mark.parametrize("how", ["cable", "power", "crash"])
def test_a_board_that_goes_before_a_step_is_born_all_the_same(factory: Factory, board: Board, last: Step, how: str) -> None:
    with factory.line() as line:
        port = Port(line, str(board.port))
        while line.faces[str(board.port)].step is not last:
            port.look()
        if how == "cable":
            board.pull()
            port.look()
            assert line.faces[str(board.port)].step in (Step.EMPTY, Step.LABEL, Step.DONE)   # making a label takes no board
            board.plug()
        elif how == "power":
            board.power_off()
            port.look()
            board.power_on()
        if how != "crash":
            assert until_rest(port, line, board.port) is Step.DONE
    if how == "crash":
        with factory.line() as line:
            assert until_rest(Port(line, str(board.port)), line, board.port) is Step.DONE
    born_once(factory, board)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["cable-command:flash-defl-data*2", "power:30", "corrupt:0x9000"])
def test_a_fault_while_flashing_is_got_over(factory: Factory, board: Board, fault: str) -> None:
    board.inject(Fault.parse(fault))
    with factory.line() as line:
        port = Port(line, str(board.port))

        def mend(_: Step) -> None:
            if not board.alive and line.faces[str(board.port)].step is Step.EMPTY:
                board.power_on()

        assert until_rest(port, line, board.port, mend) is Step.DONE
    born_once(factory, board)


@pytest.mark.parametrize(("fault", "code"), [("silent", "board.silent"), ("wrong-chip", "board.chip")])
def test_a_board_that_cannot_be_made_is_set_aside(factory: Factory, board: Board, fault: str, code: str) -> None:
    board.inject(Fault.parse(fault))
    with factory.line() as line:
        assert until_rest(Port(line, str(board.port)), line, board.port) is Step.FAULT
        assert line.journal.entries[-1]["code"] == code
    assert factory.ledger.count(LOT) == 0
    assert not board.flash().strip(b"\xff")
