"""Boards with the factory release, and the servers that a board meets in the field."""

import pytest

from ota.release.bundle import compile_tree
from provisioning.line.image import build_flash, device_files
from tests.firmware.boards import CSV, FIRMWARE, ROOT, SITE, Board
from tests.firmware.field import Field

RELEASE = {"release": "1.0.0", "counter": 1, "manifest": "", "model": "hall", "mpy": 6}


@pytest.fixture(scope="session")
def bundle():
    umqtt = ROOT / "build/umqtt/simple.py"
    assert umqtt.exists(), "run `make umqtt` first: umqtt.simple is fetched by hash, never committed"
    return compile_tree(FIRMWARE, umqtt)


@pytest.fixture
def make_board(bundle, tmp_path):
    boards = []

    def make(mac="0242ac110001", ca_der=b"none", root=b"none", release=None, **site):
        files = device_files(FIRMWARE, bundle, release or RELEASE, ca_der=ca_der, root=root, site={**SITE, **site})
        boards.append(Board(tmp_path, build_flash(CSV, files), mac))
        return boards[-1]

    yield make
    for board in boards:
        board.power_off()


@pytest.fixture
def released(field, make_board, bundle):
    """A board that is off, with the factory release that the update server has too."""
    raw, artifact, name = field.sign_release(bundle, "1.0.0", 1)
    field.publish(raw, artifact)
    return make_board(ca_der=field.pki.root_der.read_bytes(), root=field.root, release={**RELEASE, "manifest": name},
                      mqtt_port=field.mqtt_port, est_port=field.est_port, ota_port=field.ota_port)


@pytest.fixture
def field(tmp_path):
    """What a board meets in the field, all of it running."""
    field = Field(tmp_path, "hall-0242ac110001")
    field.start_ota(tmp_path)
    field.start_broker()
    yield field
    field.stop()
