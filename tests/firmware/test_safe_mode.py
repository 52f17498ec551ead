"""A board whose every slot has crashed again and again leaves its app out, and is brought home by the next release."""

import json
import time

import pytest

import choose
from node.wire import batch
from provisioning.line.image import build_flash
from tests.firmware.boards import CSV, keep_powered, until
from tests.firmware.field import Ingest

CRASHES = 3   # in a row when the test begins, by the watchdog
LEFT = choose.MAX_CRASHES - CRASHES


@pytest.fixture
def board(released):
    files = released.files()
    files["/boot.json"] = json.dumps(
        {"slot": "factory", "trial": None, "tries": CRASHES, "bad": None, "exit": "watchdog"}).encode()
    released.flash.write_bytes(build_flash(CSV, files))
    return released


def bite(board):
    """The watchdog resets the board: its process is gone, and the chip will say why."""
    board.power_off()
    (board.bench / f"{board.mac}.rtc").write_text("watchdog")
    board.power_on()


def readings(board):
    return [data for _, _, data in board.ring().records(0) if batch.record_name(data)[0] == batch.BATCH]


@pytest.mark.slow
def test_board_that_the_watchdog_keeps_resetting_runs_without_its_app_and_takes_the_next_release(field, board, bundle):
    board.power_on()
    birth = board.console("BIRTH")
    for _ in range(LEFT):
        assert json.loads(board.files()["/boot.json"])["tries"] < choose.MAX_CRASHES
        bite(board)
        board.console("BIRTH")
    before = len(readings(board))
    field.station.hear("BIRTH " + json.dumps(birth), int(time.time()))
    until(field.devices)   # the agent lives
    ingest = Ingest(field)
    raw, artifact, name = field.sign_release({**bundle, "marker.mpy": b"new"}, "1.1.0", 2)
    field.publish(raw, artifact)
    assert len(readings(board)) == before
    assert json.loads(board.files()["/boot.json"])["tries"] == choose.MAX_CRASHES
    field.operate("/admin/rollouts", {"manifest": name, "stages": [100], "soak_s": [1], "min_reports": 1})
    until(lambda: keep_powered(board) and any(one["release"] == "1.1.0" and not one["trial"] for one in field.devices()), 60)
    assert json.loads(board.files()["/boot.json"])["tries"] == 0
    assert len(readings(board)) > before
    ingest.stop()
