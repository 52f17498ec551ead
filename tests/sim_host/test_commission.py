"""What simulated boards come into a demo with: an image that no board would start, a wrong port, sensors that show nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from host.db import open_engine
from host.sim import commission, door, signals
from host.sim.boards import place, startup
from host.sim.boards.bench import MAX_BOARDS, Bench
from host.sim.boards.errors import BoardError
from host.sim.boards.stock import flash_image
from host.sim.errors import DemoError
from host.sim.plant import Pace, Plant
from host.sim.ports import Ports
from host.sim.signals import Channel, SignalError, SignalTable, quantise
from provisioning.ledger import Ledger
from provisioning.line.esp_image import CHIPS, MIB

DEVICE = "hall-0242ac130002"


@pytest.mark.parametrize("chip", CHIPS)
def test_stand_in_for_a_stock_image_is_refused_or_not_started(chip: str) -> None:
    image = flash_image(chip, 8 * MIB, {"/boot.py": b""})   # checksum and hash of every part are looked at
    flash = image.content
    assert (image.chip, image.flash_bytes) == (chip, 8 * MIB)
    assert startup.find(chip, lambda at, size: flash[at:at + size]).label == "ota_0"


def test_port_of_something_else_is_taken_for_a_simulated_boards(tmp_path: Path) -> None:
    with Bench(tmp_path, 1, "esp32c3", flash_bytes=8 * MIB) as bench:
        found = place.behind(bench.boards[0].port)
        assert (found.chip, found.flash_bytes, found.bench.is_dir()) == ("esp32c3", 8 * MIB, True)
    for name in ("tty2", "ttyUSB0", "null"):
        with pytest.raises(BoardError, match="tenfold sim board"):
            place.behind(tmp_path / name)


def test_sensors_are_those_of_the_demo_whoever_brings_the_board(tmp_path: Path) -> None:
    channel = Channel("level", "%", "0.5")
    tables = {name: SignalTable(250, (channel,), quantise([[start], [start + 1]], "0.5"))
              for name, start in (("hall-0242ac110001", 1), ("hall-0242ac110002", 5))}
    signals.write(tmp_path / "demo", tables)
    signals.lend(tmp_path / "demo", tmp_path / "bench", DEVICE, 3)
    lent = signals.read(tmp_path / "bench" / signals.FOLDER, DEVICE)
    assert (lent.steps.tolist(), lent.channels) == (tables["hall-0242ac110002"].steps.tolist(), signals.channels(tmp_path / "demo"))
    with pytest.raises(SignalError, match="start the demo anew"):
        signals.lend(tmp_path / "bench", tmp_path / "other", DEVICE, 1)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """As far as who joins it needs it."""
    made = Plant(tmp_path / "demo", tmp_path, Ports(1, 2, 3, 4, 5, 6, 7), Pace(), ["hall-0242ac110001"])
    table = SignalTable(250, (Channel("level", "%", "0.5"),), quantise([[1.0]], "0.5"))
    signals.write(made.bench / signals.FOLDER, dict.fromkeys(made.devices, table))
    made.channels = table.channels
    (made.folder / "root.bin").write_bytes(b"root")
    engine = open_engine(made.url("ledger"))
    made.ledger = Ledger(engine)
    yield made
    engine.dispose()


def test_station_that_comes_again_has_another_key_or_opens_its_lot_twice(plant: Plant, tmp_path: Path) -> None:
    key = tmp_path / "station" / "station.key"
    commission.station(plant, key, 1_000)
    kept, opened = key.read_bytes(), plant.ledger.lot(commission.LOT)
    commission.station(plant, key, 2_000)
    assert opened is not None
    assert (key.read_bytes(), plant.ledger.lot(commission.LOT), opened.quota) == (kept, opened, MAX_BOARDS)
    assert key.stat().st_mode & 0o777 == 0o600


def test_real_board_among_simulated_ones_is_flashed_with_what_it_cannot_run(plant: Plant, tmp_path: Path) -> None:
    with Bench(tmp_path / "boards", 1) as bench, pytest.raises(BoardError, match=r"ttyUSB0: got a port of something else"):
        commission.order(plant, [bench.boards[0].port, tmp_path / "ttyUSB0"])


def test_who_joins_a_demo_gives_its_boards_another_site_than_the_demo_does(plant: Plant, tmp_path: Path) -> None:
    with door.exclusive(tmp_path), door.held_open(plant):
        joined = door.join(tmp_path)
        assert (joined.site(), joined.root) == (plant.site(), b"root")
        joined.ledger._engine.dispose()
    with pytest.raises(DemoError, match="make demo KEEP=1"):
        door.join(tmp_path)
