"""Emulated boards, and the servers that they meet. QEMU and the image are the user's: without them every check is skipped."""

import json
import os
import time
from pathlib import Path

import pytest

from host.sim.esp32.line import Parts, Wifi, device
from host.sim.esp32.qemu import EmulatorError
from ota.release.bundle import compile_tree
from ota.release.drivers import named
from provisioning.line.image import ImageError
from tests.esp32.rig import SITE, Board, Loop
from tests.firmware.boards import FIRMWARE, ROOT
from tests.firmware.field import Field, Ingest

RELEASE = {"release": "1.0.0", "counter": 1, "manifest": "", "model": "hall", "mpy": 6}
UMQTT = ROOT / "build/umqtt/simple.py"
NUMBER = 0x7001   # of the first board


@pytest.fixture(scope="session")
def parts():
    qemu, image = os.environ.get("TENFOLD_QEMU", ""), os.environ.get("TENFOLD_IMAGE", "")
    if not (qemu and image):
        pytest.skip("NO EMULATED ESP32 WAS TESTED: make test-esp32 QEMU=…/qemu-system-xtensa IMAGE=ESP32_GENERIC-….bin")
    roms = os.environ.get("TENFOLD_ROMS", "")
    try:
        return Parts.find(Path(qemu), Path(image), Wifi(), roms=Path(roms) if roms else None)
    except (EmulatorError, ImageError) as error:
        pytest.skip(f"NO EMULATED ESP32 WAS TESTED: {error}")


@pytest.fixture(scope="module")
def drivers():
    """Drivers of sensors that the releases ship: with all of them three releases have no room in 4 MiB of flash."""
    return named([])


@pytest.fixture(scope="module")
def bundle(drivers):
    assert UMQTT.exists(), "run it by `make test-esp32`: umqtt.simple is fetched by hash, never committed"
    return compile_tree(FIRMWARE, UMQTT, drivers=drivers)


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def field(parts, tmp_path):
    """Enrolment, update server and broker, all real."""
    field = Field(tmp_path, device(NUMBER))
    field.start_ota(tmp_path, SITE["checkin_s"])
    field.start_broker()
    yield field
    field.stop()


@pytest.fixture
def ingest(field):
    ingest = Ingest(field)
    yield ingest
    ingest.stop()


@pytest.fixture
def trust(field):
    return field.pki.root_der.read_bytes(), field.root


@pytest.fixture
def watchdog():
    """Whether the chip's watchdogs are on; see Emulator."""
    return False


@pytest.fixture
def make_board(parts, bundle, field, loop, tmp_path, watchdog):
    """Boards with the factory release, off the line or on it. They know the field's ports."""
    boards = []

    def make(release=None, files=None):
        flash = parts.flash(files or bundle, release or RELEASE)
        boards.append(Board(tmp_path, loop, parts, flash, NUMBER + len(boards), watchdog))
        return boards[-1]

    yield make
    for board in boards:
        board.power_off()


@pytest.fixture
def ports(field):
    return {"mqtt_port": field.mqtt_port, "est_port": field.est_port, "ota_port": field.ota_port}


@pytest.fixture
def board(make_board, field, bundle, trust, ports):
    """A board on the line: it has left it, its release is published; birth and enrolment are the test's."""
    raw, artifact, name = field.sign_release(bundle, "1.0.0", 1)
    field.publish(raw, artifact)
    board = make_board({**RELEASE, "manifest": name})
    board.power_on()
    board.provision(trust, **ports)
    return board


@pytest.fixture
def born(board, field):
    """A board in the field: it may enrol."""
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))
    return board
