"""The signal table: what is written is what a board reads, and what it could not play is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from host.sim.signals import MISSING, Channel, SignalError, SignalTable, quantise, read, write

DEVICE = "hall-0242ac110001"
CHANNELS = (Channel("temp", "degC", "0.01"), Channel("count", "", "1"))


def table(rows: int = 5) -> SignalTable:
    steps = np.arange(rows * 2, dtype=np.int32).reshape(rows, 2)
    steps[1, 0] = MISSING
    return SignalTable(250, CHANNELS, steps)


def test_a_table_survives_writing_and_reading(tmp_path: Path) -> None:
    write(tmp_path, {DEVICE: table()})
    back = read(tmp_path, DEVICE)
    assert back.channels == CHANNELS
    assert back.row_ms == 250
    assert np.array_equal(back.steps, table().steps)


def test_the_files_are_what_the_board_expects(tmp_path: Path) -> None:
    write(tmp_path, {DEVICE: table()})
    assert json.loads((tmp_path / "channels.json").read_text()) == {
        "row_ms": 250, "rows": 5,
        "channels": [{"name": "temp", "unit": "degC", "resolution": "0.01"}, {"name": "count", "unit": "", "resolution": "1"}],
    }
    raw = (tmp_path / f"{DEVICE}.bin").read_bytes()
    assert len(raw) == 5 * 2 * 4
    assert raw[8:16] == b"\x00\x00\x00\x80" + b"\x03\x00\x00\x00"   # little-endian: missing, then 3


def test_values_are_in_units_and_missing_is_not_a_number() -> None:
    values = table().values()
    assert values[2, 0] == pytest.approx(0.04)
    assert values[2, 1] == 5
    assert np.isnan(values[1, 0])


@pytest.mark.parametrize(("value", "resolution", "steps"), [
    (21.4, "0.1", 214), (-0.015, "0.01", -2), (1013.25, "1", 1013), (1.15, "0.5", 2), (123456.0, "1000", 123),
    (float("nan"), "1", MISSING), (float("inf"), "1", MISSING),
])
def test_readings_are_rounded_to_the_sensors_resolution(value: float, resolution: str, steps: int) -> None:
    assert quantise([value], resolution)[0] == steps


def test_a_reading_that_does_not_fit_is_refused_not_wrapped() -> None:
    with pytest.raises(SignalError, match=r"up to 3e\+09 at a resolution of 1, expected at most 2147483647 steps"):
        quantise([1.0, 3e9], "1")


def test_tables_of_different_shape_do_not_share_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="got 2 different shapes"):
        write(tmp_path, {DEVICE: table(5), "hall-0242ac110002": table(6)})


@pytest.mark.parametrize(("channels", "expected"), [
    ((Channel("Temp", "", "1"), Channel("b", "", "1")), "channel 'Temp'"),
    ((Channel("a", "far too long a unit", "1"), Channel("b", "", "1")), "unit of at most 12"),
    ((Channel("a", "", "1"), Channel("a", "", "1")), "different names"),
    ((Channel("a", "", "1"),), "expected at least one row of 1 channels"),
])
def test_channels_that_the_firmware_would_refuse_are_refused_here(channels: tuple[Channel, ...], expected: str) -> None:
    with pytest.raises(SignalError, match=expected):
        SignalTable(250, channels, np.zeros((3, 2), np.int32))


def test_a_torn_table_is_told_by_its_length(tmp_path: Path) -> None:
    write(tmp_path, {DEVICE: table()})
    path = tmp_path / f"{DEVICE}.bin"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(SignalError, match="has 37 bytes, expected 5 rows of 2 channels of 4 bytes"):
        read(tmp_path, DEVICE)


@pytest.mark.parametrize("head", ["", "[]", "{}", '{"row_ms": 250, "rows": 5, "channels": 7}'])
def test_a_foreign_channels_file_is_told(tmp_path: Path, head: str) -> None:
    write(tmp_path, {DEVICE: table()})
    (tmp_path / "channels.json").write_text(head)
    with pytest.raises(SignalError, match=r"channels\.json is not a table of channels"):
        read(tmp_path, DEVICE)


def test_a_device_without_a_table_is_told(tmp_path: Path) -> None:
    write(tmp_path, {DEVICE: table()})
    with pytest.raises(SignalError, match=r"hall-0242ac11ffff\.bin cannot be read: No such file"):
        read(tmp_path, "hall-0242ac11ffff")
