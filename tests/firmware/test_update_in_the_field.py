"""A board updates itself over the air from a real server, and comes back from a release that is no good."""

import json
import time

import pytest

from node.wire.bundle import build, parse
from ota.release import delta
from ota.release.bundle import compile_sources
from tests.firmware.boards import keep_powered, until
from tests.firmware.field import Ingest

BROKEN = b"def run(boot_info):\n    raise ValueError('a release that cannot start')\n"


@pytest.fixture
def board(field, released):
    released.power_on()
    field.station.hear("BIRTH " + json.dumps(released.console("BIRTH")), int(time.time()))
    return released


def roll_out(field, files, release, counter, deltas=()):
    raw, artifact, name = field.sign_release(files, release, counter, deltas={"artifact": deltas})
    field.publish(raw, artifact, deltas=[each.content for each in deltas])
    until(field.devices)   # it has checked in
    return field.operate("/admin/rollouts", {"manifest": name, "stages": [100], "soak_s": [1], "min_reports": 1})


@pytest.mark.slow
def test_new_release_is_fetched_tried_confirmed_and_reported(field, board, bundle):
    ingest = Ingest(field)
    until(lambda: len(ingest.records) > 3)
    roll_out(field, {**bundle, "marker.mpy": b"new"}, "1.1.0", 2)
    until(lambda: keep_powered(board) and any(one["release"] == "1.1.0" and not one["trial"] for one in field.devices()), 60)
    files = board.files()
    boot = json.loads(files["/boot.json"])
    assert (boot["slot"], boot["trial"], boot["bad"]) == ("a", None, None)
    assert parse(files["/slots/a/bundle"])["marker.mpy"] == b"new"
    assert set(ingest.records) >= set(range(max(ingest.records)))   # no gap across the restart
    ingest.stop()


@pytest.mark.slow
def test_new_release_comes_by_its_delta_alone(field, board, bundle):
    ingest = Ingest(field)
    until(lambda: len(ingest.records) > 3)
    files = {**bundle, "marker.mpy": b"new"}
    deltas = delta.to(build(files), [build(bundle)])
    roll_out(field, files, "1.1.0", 2, deltas)
    said = []
    while not said or said[-1]["event"] not in ("staged", "delta", "update"):
        said.append(board.console("LOG", 60))
    assert said[-1]["detail"].endswith(f", {len(deltas[0].content)} bytes")
    until(lambda: keep_powered(board) and any(one["release"] == "1.1.0" and not one["trial"] for one in field.devices()), 60)
    held = board.files()
    assert parse(held["/slots/a/bundle"]) == files
    assert "/state/delta" not in held
    ingest.stop()


@pytest.mark.slow
def test_release_that_cannot_start_is_rolled_back_and_reported(field, board, bundle):
    ingest = Ingest(field)
    until(lambda: len(ingest.records) > 3)
    roll_out(field, {**bundle, **compile_sources({"main.py": BROKEN})}, "1.1.0", 2)
    until(lambda: keep_powered(board) and b'"bad": {' in board.files().get("/boot.json", b"").replace(b'":{', b'": {'), 60)
    until(lambda: keep_powered(board) and json.loads(board.files()["/boot.json"])["bad"] is None, 60)   # the server has heard
    one = field.devices()[0]
    assert (one["release"], one["trial"]) == ("1.0.0", False)
    seen = len(ingest.records)
    until(lambda: len(ingest.records) > seen)
    ingest.stop()
