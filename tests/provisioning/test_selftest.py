"""The self-test: numbers against limits, and what broken boards show."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.sim.boards.board import Board
from provisioning.errors import ProvisioningError
from provisioning.line.prompt import announce, make_kit, measure
from provisioning.rules.selftest import LIMITS, Measured, clock_ratio, judge, limits
from tests.provisioning.flash_boards import ON_THE_LINE, boards, image
from tests.provisioning.line_boards import FIRMWARE

GOOD = {"heap_free_bytes": 150_000.0, "clock_ratio": 1.0, "radio_mac_bytes": 6.0, "networks": 3.0, "random_distinct": 160.0,
        "random_run": 2.0, "random_repeats": 0.0, "flash_wrong_bytes": 0.0}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_kit(FIRMWARE, tmp_path_factory.mktemp("kit"))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with boards(tmp_path, "esp32") as made:
        made[0].load(image("esp32", ON_THE_LINE).content)
        yield made[0]


def test_a_good_board_has_no_faults():
    assert judge(Measured("", GOOD, {}), LIMITS) == []


@pytest.mark.parametrize(("name", "number"), [
    ("heap_free_bytes", 30_000), ("clock_ratio", 0.65), ("clock_ratio", 1.54), ("radio_mac_bytes", 0), ("networks", 0),
    ("random_distinct", 1), ("random_run", 256), ("random_repeats", 1), ("flash_wrong_bytes", 1)])
def test_each_thing_that_is_off_is_named(name, number):
    (fault,) = judge(Measured("", GOOD | {name: number}, {}), LIMITS)
    assert fault.startswith(f"{name}: got {number:g}, expected ")


def test_what_was_not_measured_is_no_pass():
    assert judge(Measured("", {}, {}), LIMITS) == [f"{name}: not measured" for name in LIMITS]
    rest = {name: number for name, number in GOOD.items() if name != "networks"}
    assert judge(Measured("", rest, {"networks": "no antenna"}), LIMITS) == ["networks: no antenna"]


def test_a_lot_may_set_its_own_limits():
    wanted = limits({"networks": [0, None]}, {"sensor_current": (0.0, 1.0)})
    assert judge(Measured("", GOOD | {"networks": 0, "sensor_current": 0.5}, {}), wanted) == []
    assert judge(Measured("", GOOD | {"sensor_current": 2.0}, {}), wanted) == ["sensor_current: got 2, expected 0 to 1"]
    for wrong in ("1", [1], [1, 2, 3], ["1", 2], [True, None], None):
        with pytest.raises(ProvisioningError, match=r"line\.limits"):
            limits({"networks": wrong}, {})


def test_the_clock_is_judged_by_the_span_that_the_host_was_least_busy_in():
    assert clock_ratio([0, 400, 800, 1200], [0, 0.4, 2.0, 2.1]) == pytest.approx(1.0)
    assert clock_ratio([0, 650, 1300, 1950], [0, 1, 2, 3]) == pytest.approx(0.65)
    assert clock_ratio([0, 400], [0, 0.4]) is None
    assert clock_ratio([5, 5, 5], [0, 1, 2]) is None


def test_a_board_measures_itself_and_is_left_as_it_was(board, kit):
    before = board.files()
    measured = measure(str(board.port), kit, b"")
    assert judge(measured, LIMITS) == []
    assert measured.mac == board.mac.replace(":", "")
    board.power_off()
    assert board.files() == before


@pytest.mark.parametrize(("hears", "fault"), [("0", "networks: got 0, expected 1 or more"), ("-1", "radio: 12290")])
def test_a_radio_that_hears_nothing_or_is_broken_is_found(board, kit, tmp_path, hears, fault):
    (tmp_path / "1/bench/radio").write_text(hears)
    assert fault in judge(measure(str(board.port), kit, b""), LIMITS)


def test_no_key_is_made_without_the_radio(board, kit, tmp_path):
    (tmp_path / "1/bench/radio").write_text("-1")
    with pytest.raises(ProvisioningError, match=r"board\.radio"):
        announce(str(board.port), kit, "hall", "hall", make=True)
    (tmp_path / "1/bench/radio").unlink()
    assert announce(str(board.port), kit, "hall", "hall", make=False) is None


def test_sensors_are_read_by_the_firmwares_drivers(board, kit, tmp_path):
    site = json.loads((FIRMWARE / "image/site.json").read_text())
    signals = tmp_path / "1/bench/signals"
    signals.mkdir()
    channels = [{"name": name} for name in ("winding_temp", "current", "vibration")]
    (signals / "channels.json").write_text(json.dumps({"row_ms": 1000, "rows": 1, "channels": channels}))
    row = b"".join(value.to_bytes(4, "little", signed=True) for value in (2150, 1234, -(1 << 31)))
    (signals / f"hall-{board.mac.replace(':', '')}.bin").write_bytes(row)
    board.reset()
    measured = measure(str(board.port), kit, json.dumps(site).encode())
    assert measured.numbers["sensor_winding_temp"] == pytest.approx(21.5)
    assert measured.numbers["sensor_current"] == pytest.approx(12.34)
    assert set(measured.missing) == {"sensor_vibration", "sensor_pressure"}


def test_a_board_that_is_not_there_or_has_no_prompt_is_told_from_others(board, kit):
    board.load(b"")
    with pytest.raises(ProvisioningError, match=r"board\.prompt"):
        measure(str(board.port), kit, b"")
    board.pull()
    with pytest.raises(ProvisioningError, match=r"port\.absent"):
        measure(str(board.port), kit, b"")
