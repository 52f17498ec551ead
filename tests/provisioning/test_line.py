"""The line with simulated boards and the real tools: born once, with a key on the board, whatever is pulled, broken or crashed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.ecdsa import point
from host.sim.boards.board import Board
from host.sim.boards.faults import Fault
from node.agent.paths import KEY_PATH
from node.wire import der
from provisioning.allowance import SETTLE_S, Allowance, name
from provisioning.ledger import Ledger
from provisioning.line import running
from provisioning.line.bench import CLOSED, REFUSED
from provisioning.line.port import Port
from provisioning.line.station import Announcement, parse_line
from provisioning.rules.line import WORKING, Step
from provisioning.rules.quota import ACCEPTED, Reason
from tests.provisioning.conftest import Device
from tests.provisioning.flash_boards import boards
from tests.provisioning.line_boards import LOT, STATION, Factory, until_rest


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


def parsed(device: Device) -> Announcement:
    announced = parse_line(device.line())
    assert announced is not None
    return announced


@contextmanager
def away(tmp_path: Path, factory: Factory) -> Iterator[None]:
    """The ledger cannot be reached: its database is another place meanwhile."""
    engine = factory.ledger._engine
    engine.dispose()
    for part in list(tmp_path.glob("ledger.db*")):
        part.rename(tmp_path / f"away-{part.name}")
    (tmp_path / "ledger.db").mkdir()
    yield
    (tmp_path / "ledger.db").rmdir()
    for part in list(tmp_path.glob("away-*")):
        part.rename(tmp_path / part.name.removeprefix("away-"))


@pytest.mark.slow
def test_without_the_ledger_a_board_waits_and_with_an_allowance_it_goes_on_and_is_settled(
    factory: Factory, board: Board, tmp_path: Path,
) -> None:
    granted = Allowance(LOT, name(LOT, 1), STATION, 1, factory.now_s + 3600)
    key = point(factory.key.public_key()).hex()
    factory.ledger.open_lot(granted.name, key, granted.boards, granted.until_s + SETTLE_S, factory.now_s)
    with away(tmp_path, factory):
        with factory.line() as line:
            assert until_rest(Port(line, str(board.port)), line, board.port) is Step.HOLD
            assert line.journal.entries[-1]["code"] == "line.away"
            assert not (factory.folder / "labels").exists()
        with factory.line() as line:   # the station was told of its allowance meanwhile
            line.allowance = granted
            assert until_rest(Port(line, str(board.port)), line, board.port) is Step.DONE
            running.ask(line)
            assert line.is_away
    assert factory.ledger.count(granted.name) == 0
    with factory.line() as line:
        running.ask(line)
        assert not line.is_away
        assert line.journal.entries[-1]["code"] == ""
    birth = factory.ledger.birth(factory.device(board))
    assert birth is not None
    assert (birth.lot, birth.key) == (granted.name, key_on(board))


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [
    ("full", "birth.quota"), ("expired", "birth.lot_expired"), ("revoked", "birth.station_revoked")])
def test_a_lot_that_ends_before_the_record_leaves_a_good_board_unborn(factory: Factory, board: Board, how: str, code: str) -> None:
    with factory.line() as line:
        port = Port(line, str(board.port))
        while line.faces[str(board.port)].step is not Step.RECORD:
            port.look()
        if how == "full":
            for last in range(1, 11):
                line.books.append(LOT, line.pen.record(parsed(Device(last)), factory.now_s), factory.now_s)
        elif how == "expired":
            factory.now_s += 86_400
        elif how == "revoked":
            factory.ledger.revoke("station", LOT, "stolen", factory.now_s)
        assert until_rest(port, line, board.port) is Step.HOLD
        assert line.journal.entries[-1]["code"] == code
        assert line.closed.is_set()
    assert factory.ledger.birth(factory.device(board)) is None
    assert not (factory.folder / "labels").exists()


def test_each_refusal_of_the_ledger_ends_a_boards_turn() -> None:
    """A code in neither table would be tried again, until the board counts as faulty for being slow."""
    assert {reason.value for reason in set(Reason) - ACCEPTED} <= REFUSED | CLOSED


@pytest.mark.slow
def test_a_board_that_was_erased_in_repair_goes_over_the_line_again_by_an_operators_word(factory: Factory, board: Board) -> None:
    def over_the_line() -> Step:
        with factory.line() as line:
            step = until_rest(Port(line, str(board.port)), line, board.port)
            code.append(line.journal.entries[-1].get("code", ""))
            return step

    code: list[str] = []
    word = {"who": "anna", "why": "flash erased in repair"}
    assert over_the_line() is Step.DONE
    device, before = factory.device(board), key_on(board)
    board.power_off()
    board.load(b"\xff" * len(board.flash()))
    board.power_on()
    factory.ledger.permit(device, "rebirth", factory.now_s + 60, factory.now_s, **word)
    assert over_the_line() is Step.DONE
    born_once(factory, board)
    assert key_on(board) != before
    factory.ledger.permit(device, "rebirth", factory.now_s + 60, factory.now_s, **word)
    factory.ledger.revoke("device", device, "stolen from the repair shop", factory.now_s)
    assert over_the_line() is Step.FAULT
    assert code[-1] == "birth.revoked"
