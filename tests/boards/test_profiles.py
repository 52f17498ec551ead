"""Profiles of boards: what no chip can do, or no file should say, is told with its key before anything is flashed."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from host.boards import pins, schema
from host.cli import boards
from host.cli.root import app
from node.errors import CallerError
from provisioning.line.image import encode_table, read_partitions

PATHS = sorted(boards.BOARDS.glob("*.json"))
SCHEMA = boards.SCHEMA.read_text(encoding="utf-8")
MIB = 1 << 20


@pytest.fixture
def changed(tmp_path: Path):
    """A shipped profile with some keys changed; None takes one away. Dots lead into it."""
    def make(name, **changes):
        raw = json.loads((boards.BOARDS / f"{name}.json").read_text(encoding="utf-8"))
        for dotted, value in changes.items():
            *way, last = dotted.split("__")
            at = raw
            for step in way:
                at = at[step]
            if value is None:
                del at[last]
            else:
                at[last] = value
        path = tmp_path / "board.json"
        path.write_text(json.dumps(raw), encoding="utf-8")
        return str(path)
    return make


def refused(path):
    with pytest.raises(CallerError) as caught:
        boards.load(path)
    return caught.value


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_profile_that_its_chip_or_the_schema_refuses(path):
    board = boards.load(path.stem)
    jsonschema_rs.validator_for(json.loads(SCHEMA)).validate(json.loads(path.read_text(encoding="utf-8")))
    partitions = read_partitions(boards.BOARDS.parent / board.partitions)
    encode_table(partitions)
    assert partitions[-1].end <= board.flash_bytes
    assert board.flash_bytes // partitions[-1].end < 2, "half of the flash lies idle"
    assert board.source
    for each in pins.check(board):
        assert any(f"GPIO {gpio} is" in each.message for gpio in board.cautions), f"{each}: say why in cautions"


def test_kind_of_board_that_nobody_can_choose():
    found = [boards.load(path.stem) for path in PATHS]
    assert {board.chip for board in found} == {"esp32", "esp32s3", "esp32c3", "esp32c6"} == set(pins.CHIPS)
    assert {board.flash_bytes // MIB for board in found} == {4, 8, 16}
    assert {board.network.kind for board in found} == {"wifi", "ethernet", "ppp"}
    assert {bool(board.psram_bytes) for board in found} == {True, False}


def test_schema_file_that_says_something_else_than_the_tool():
    assert schema.text() == SCHEMA, "write it anew: tenfold boards schema > firmware/image/board.schema.json"


@pytest.mark.parametrize(("name", "changes", "said"), [
    ("wt32-eth01", {"network__mdc": None}, "network.ethernet.mdc: got nothing, expected field required"),
    ("wt32-eth01", {"network__phy": "W5500"}, "network.ethernet.phy: got 'W5500', expected input should be 'LAN8710', 'LAN8720'"),
    ("wt32-eth01", {"network__kind": "lora"}, "network: got {'kind': 'lora'"),
    ("wt32-eth01", {"chip": "esp8266"}, "chip: got 'esp8266', expected input should be 'esp32'"),
    ("wt32-eth01", {"pins__I2C": {"gpio": 2, "use": "in"}}, "pins.I2C.[key]: got 'I2C', expected string should match pattern"),
    ("wt32-eth01", {"flash_mb": 4}, "flash_mb: got 4, expected one of cautions, chip"),
    ("wt32-eth01", {"parts": []}, "parts: got [], expected tuple should have at least 1 item"),
])
def test_file_of_another_shape(changed, name, changes, said):
    fault = refused(changed(name, **changes))
    assert fault.code == "board.profile"
    assert f"board: {said}" in fault.message


@pytest.mark.parametrize(("name", "changes", "code", "said"), [
    ("esp32-generic", {"pins__led": {"gpio": 34, "use": "out"}}, "board.pin", "got GPIO 34, expected one that pins.adc_a"),
    ("esp32-generic", {"pins__led": {"gpio": 36, "use": "out"}}, "board.pin", "pins.led: got GPIO 36 as out, but it is input only"),
    ("esp32-generic", {"pins__led": {"gpio": 7, "use": "out"}}, "board.pin", "GPIO 7, which is wired to the flash"),
    ("esp32-generic", {"pins__led": {"gpio": 24, "use": "out"}}, "board.pin", "GPIO 24, which an esp32 does not have"),
    ("esp32-generic", {"pins__volt": {"gpio": 26, "use": "adc"}}, "board.pin", "GPIO 26 as adc, expected one of ADC1: 32, 33"),
    ("t-a7670", {"pins__led": {"gpio": 16, "use": "out"}}, "board.pin", "GPIO 16, which is wired to the PSRAM"),
    ("feathers3", {"psram": "octal"}, "board.pin", "pins.spi_sck: got GPIO 36, which is wired to the PSRAM"),
    ("esp32-c3", {"pins__led2": {"gpio": 22, "use": "out"}}, "board.pin", "GPIO 22, which an esp32c3 does not have"),
    ("wt32-eth01", {"pins__led": {"gpio": 21, "use": "out"}}, "board.pin", "expected one that network: RMII TX_EN has not taken"),
    ("wt32-eth01", {"network__ref_clk": 17}, "board.network", "network.ref_clk: got GPIO 17 as in, expected one of 0"),
    ("wt32-eth01", {"chip": "esp32s3"}, "board.network", "got ethernet on esp32s3, expected esp32"),
    ("esp32-c6", {"network": {"kind": "ppp", "uart": 2, "tx": 21, "rx": 22}}, "board.network",
     "network.uart: got 2, expected at most 1"),
    ("esp32-c6", {"psram_bytes": MIB, "psram": "quad"}, "board.psram", "got 1048576, expected 0: an esp32c6 takes none"),
    ("esp32-s3", {"psram": None}, "board.psram", "psram: got None, expected quad or octal"),
    ("esp32-generic", {"psram": "octal", "psram_bytes": MIB}, "board.psram", "got octal, expected quad"),
])
def test_pin_or_part_that_the_chip_cannot_do(changed, name, changes, code, said):
    fault = refused(changed(name, **changes))
    assert fault.code == code
    assert said in fault.message


def test_command_that_hides_what_needs_care(changed):
    run = CliRunner().invoke
    told = run(app, ["boards", "check", "wt32-eth01"])
    assert told.exit_code == 0
    assert "warning: board.pin: network.ref_clk: GPIO 0 is a strapping pin" in told.stdout
    broken = changed("esp32-generic", pins__led={"gpio": 7, "use": "out"}, pins__two={"gpio": 24, "use": "out"})
    told = run(app, ["boards", "check", broken, "--json"])
    assert told.exit_code == 1
    assert [each["key"] for each in json.loads(told.stdout)] == ["pins.led", "pins.two"]
    assert "(and 1 more: tenfold boards check" in refused(broken).message
    assert json.loads(run(app, ["boards", "list", "--json"]).stdout).keys() == {path.stem for path in PATHS}
    assert run(app, ["boards", "schema"]).stdout == SCHEMA


def test_unknown_board_without_the_names_of_those_there_are():
    fault = refused("esp8266")
    assert fault.code == "board.unknown"
    assert "expected one of esp32-c3, esp32-c6, esp32-generic" in fault.message
