"""Second sources of boards: a part that only one maker has is not passed over."""

import json

import pytest
from typer.testing import CliRunner

from host.boards import parts
from host.cli import boards
from host.cli.root import app
from node import catalog
from node.errors import CallerError

ALL = {name: boards.load(name) for name in boards.names()}
KNOWN = boards.parts(ALL["wt32-eth01"])


@pytest.mark.parametrize("name", sorted(ALL))
def test_part_of_a_shipped_board_without_an_entry(name):
    board = ALL[name]
    assert parts.unknown(board, KNOWN) == []
    assert [need.name for need in parts.needs(name, ALL, KNOWN)] == [board.name, *board.parts]
    assert set(board.sensors) <= set(catalog.names())
    roles = {KNOWN[part].role for part in board.parts}
    assert {"wifi": set(), "ethernet": {"PHY"}, "ppp": {"modem"}}[board.network.kind] <= roles
    if board.network.kind == "ethernet":
        assert [part for part in board.parts if part.startswith(board.network.phy)]


def test_replacement_by_the_same_maker_or_of_another_kind():
    for name in ALL:
        for need in parts.needs(name, ALL, KNOWN):
            assert need.maker not in {other.maker for other in need.replacements}
    board, module, chip, phy = parts.needs("wt32-eth01", ALL, KNOWN)
    assert [other.maker for other in board.replacements] == ["Olimex"]
    assert [(other.name, other.drops_in) for other in module.replacements] == [
        ("ESP-32S", True), ("ESP32-WROOM-32E", True), ("NINA-W106", False)]
    assert chip.alone
    assert [other.maker for other in phy.replacements] == ["IC Plus", "Realtek", "Texas Instruments"]


def test_module_whose_psram_wants_another_image_is_no_replacement():
    psram = {board.psram for board in ALL.values() if "ESP32-S3-WROOM-1-N8R2" in board.parts}
    module = next(need for need in parts.needs("esp32-s3", ALL, KNOWN) if need.role == "module")
    assert (psram, module.alone) == ({"quad"}, True)   # the other maker's has octal


def test_phy_that_this_firmware_cannot_drive():
    for part in KNOWN.values():
        if part.role == "PHY":
            assert part.source.startswith("MicroPython: network.PHY_")


def test_command_that_hides_what_has_no_second_source():
    run = CliRunner().invoke
    told = run(app, ["sensors", "second-source", "--board", "t-a7670"], catch_exceptions=False).stdout
    assert "no second source: chip, ESP32 (Espressif)" in told
    assert "no second source: module, ESP32-WROVER-E (Espressif)" in told
    assert "Quectel" in told
    said = json.loads(run(app, ["sensors", "second-source", "--board", "feathers3", "--json"], catch_exceptions=False).stdout)
    assert [part["role"] for part in said["parts"]] == ["board", "chip"]
    assert {need["used"]["driver"] for need in said["needs"]} == {"adc"}   # its light sensor


def test_part_that_nobody_entered(tmp_path):
    raw = json.loads((boards.BOARDS / "esp32-c3.json").read_text(encoding="utf-8"))
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**raw, "parts": ["RTL8720"]}), encoding="utf-8")
    with pytest.raises(CallerError) as caught:
        boards.parts(boards.load(str(path)))
    assert caught.value.code == "board.part"
    assert "got 'RTL8720', expected one of A7670" in caught.value.message
