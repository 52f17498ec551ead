"""Releases that are no good: each is rolled back by the device itself, and the device takes the next one."""

import json

import pytest

from ota.release.bundle import compile_sources
from tests.esp32.rig import UPDATE_S, roll_out, runs, until

HANG_S = 2 * 90 + UPDATE_S   # the watchdog takes 60 s, and a trial has two boots
FAULTS = {
    "crashes": b"def run(info):\n    raise ValueError('a release that cannot start')\n",
    "hangs": b"def run(info):\n    while True:\n        pass\n",
    "eats the heap": b"def run(info):\n    hoard = []\n    while True:\n        hoard.append(bytearray(4096))\n",
}


@pytest.fixture
def watchdog(fault):
    return fault == "hangs"


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_release_keeps_the_device_from_the_next_one(fault, born, field, ingest, bundle):
    until(lambda: born.ring().first_unacked() > 0)
    roll_out(field, {**bundle, **compile_sources({"main.py": FAULTS[fault]})}, "1.1.0", 2)
    until(lambda: born.files().get("/slots/a/release.json"), UPDATE_S)
    until(lambda: json.loads(born.files().get("/boot.json", b"{}")).get("bad"), HANG_S, every_s=1)
    until(lambda: json.loads(born.files()["/boot.json"])["bad"] is None, UPDATE_S, every_s=1)   # the server has heard of it
    assert runs(field, "1.0.0")
    if fault == "hangs":
        assert born.emulated.starved
    roll_out(field, {**bundle, "marker.mpy": b"new"}, "1.2.0", 3)
    until(lambda: runs(field, "1.2.0"), UPDATE_S)
