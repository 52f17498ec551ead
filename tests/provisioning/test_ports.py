"""Which boards are there: simulated ones asked with the real esptool, and what is told of those that do not answer."""

from pathlib import Path

from host.sim.boards.faults import Fault
from provisioning.line.contents import Contents, look
from provisioning.line.ports import ask, boards, candidates
from tests.provisioning import flash_boards
from tests.provisioning.flash_boards import BORN, ON_THE_LINE, image

FOUR = 4 << 20


def seen(content: bytes) -> Contents:
    return look(lambda address, size: content.ljust(FOUR, b"\xff")[address:address + size], "02:42:ac:13:00:01", FOUR)


def test_each_board_tells_chip_mac_flash_and_what_runs(tmp_path: Path) -> None:
    with flash_boards.boards(tmp_path, "esp32", "esp32c3") as made:
        made[1].load(image("esp32c3", BORN).content)
        first, second, third = boards([str(board.port) for board in made] + [str(tmp_path / "none")])
        assert all(board.at_prompt is False or board.resets for board in made)
    assert (first.chip, first.mac, first.flash_bytes, first.contents) == ("esp32", made[0].mac, FOUR, Contents("nothing"))
    assert second.contents == Contents("tenfold", "v1.26.0", "1.2.3", "hall-0242ac130002", True)
    assert third.fault is not None
    assert third.fault.code == "port.absent"


def test_board_is_not_left_in_its_loader(tmp_path: Path) -> None:
    with flash_boards.boards(tmp_path, "esp32") as (board,):
        board.load(image("esp32").content)
        resets = board.resets
        assert ask(str(board.port), contents=False).mac == board.mac
        board.power_off()   # waits until its thread has seen the port closed
        assert board.resets > resets


def test_board_that_goes_away_keeps_what_it_said(tmp_path: Path) -> None:
    with flash_boards.boards(tmp_path, "esp32") as (board,):
        board.inject(Fault.parse("cable-command:read-flash"))
        found = ask(str(board.port))
    assert (found.chip, found.mac) == ("esp32", board.mac)
    assert found.fault is not None
    assert found.fault.code == "port.lost"


def test_time_that_is_over_ends_the_question(tmp_path: Path) -> None:
    with flash_boards.boards(tmp_path, "esp32") as (board,):
        found = ask(str(board.port), timeout_s=0)
    assert found.fault is not None
    assert found.fault.code == "board.silent"


def test_what_a_flash_holds_is_told() -> None:
    ours = image("esp32", ON_THE_LINE).content
    assert seen(ours) == Contents("tenfold", "v1.26.0", "1.2.3")
    assert seen(ours).text == "Tenfold 1.2.3, on the line"
    assert seen(image("esp32").content) == Contents("micropython", "v1.26.0")
    assert seen(image("esp32", BORN).content).text == "Tenfold 1.2.3, hall-0242ac130001"
    assert seen(b"") == Contents("nothing")
    assert seen(ours[:0x8000] + b"\0" * 0x1000 + ours[0x9000:]) == Contents("unknown")
    running = {**BORN, "/boot.json": b'{"slot":"b"}', "/slots/b/release.json": b'{"release":"2.0.0"}'}
    assert seen(image("esp32", running).content).release == "2.0.0"


def test_only_what_is_needed_of_a_flash_is_read() -> None:
    content, read = image("esp32", {**BORN, "/slots/a/bundle": bytes(200_000)}).content, 0

    def part(address: int, size: int) -> bytes:
        nonlocal read
        read += size
        return content[address:address + size]

    assert look(part, "02:42:ac:13:00:01", FOUR).has_identity
    assert read < 150_000


def test_ports_are_named_by_pattern_and_each_once(tmp_path: Path) -> None:
    for name in ("tty1", "tty2"):
        (tmp_path / name).touch()
    pattern = str(tmp_path / "tty*")
    assert candidates([pattern, str(tmp_path / "tty2"), "socket://x:1"]) == [str(tmp_path / "tty1"), str(tmp_path / "tty2"), "socket://x:1"]
    assert candidates((), {"TENFOLD_PORTS": pattern})[:2] == [str(tmp_path / "tty1"), str(tmp_path / "tty2")]
