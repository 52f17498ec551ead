"""A release whose sensor driver is bad: the agent lives, the trial is given up, the server hears why, the next release comes."""

import json
import shutil
import time

import pytest

from ota.release.bundle import compile_tree
from tests.firmware.boards import FIRMWARE, ROOT, keep_powered, until
from tests.firmware.field import Ingest

BAD = {   # what is put in front of the driver's first line, by what it does to a device
    "raises": "raise ValueError('a driver that cannot be built')",
    "eats the heap": "hoard = [bytearray(4096) for _ in range(1000)]",
}


def bundle_with(folder, line):
    """The firmware with this line in the constructor of its driver."""
    shutil.copytree(FIRMWARE, folder / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "firmware/board/unix/signal.py"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = next(n for n, text in enumerate(lines) if "def __init__" in text)
    lines.insert(at + 1, f"        {line}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return compile_tree(folder / "firmware", ROOT / "build/umqtt/simple.py")


@pytest.mark.slow
@pytest.mark.parametrize("fault", BAD)
def test_release_with_a_bad_sensor_driver_is_given_up_told_and_followed_by_the_next(field, released, bundle, tmp_path, fault):
    board = released
    board.power_on()
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))
    ingest = Ingest(field)
    until(lambda: len(ingest.records) > 3)
    until(field.devices)
    explain = f"/admin/devices/{board.device}/explain"
    for counter, files in ((2, bundle_with(tmp_path, BAD[fault])), (3, {**bundle, "marker.mpy": b"new"})):
        raw, artifact, name = field.sign_release(files, f"1.{counter}.0", counter)
        field.publish(raw, artifact)
        rollout = field.operate("/admin/rollouts", {"manifest": name, "stages": [100], "soak_s": [1], "min_reports": 1})
        if counter == 2:
            until(lambda: keep_powered(board) and any(
                each["state"] == "failed" and each["reason"] == "app crashes"
                for each in field._operator.get(explain).json()["attempts"]), 90)
            assert field._operator.get(f"/admin/rollouts/{rollout['rollout']}").json()["state"] == "halted"
            field.operate(f"/admin/rollouts/{rollout['rollout']}/abort", {})
    until(lambda: keep_powered(board) and any(one["release"] == "1.3.0" and not one["trial"] for one in field.devices()), 90)
    ingest.stop()
