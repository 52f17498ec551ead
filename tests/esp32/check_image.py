"""A release with an image: another interpreter, through the chip's real bootloader. Confirmed it stays; not confirmed, the
bootloader itself goes back.
"""

import json

from ota.release.bundle import compile_sources
from tests.esp32.rig import IMAGE_S, UPDATE_S, roll_out, runs, show, until

VALID, ABORTED = 2, 4    # esp_ota_img_states_t
STRANGER = b"def run(info):\n    raise ValueError('does not run on this image')\n"


def test_confirmed_image_is_left_again(born, field, ingest, bundle, parts):
    until(lambda: born.ring().first_unacked() > 0)
    began = born.seconds()
    roll_out(field, {**bundle, "marker.mpy": b"new"}, "1.1.0", 2, parts.stock.app)
    until(lambda: runs(field, "1.1.0"), IMAGE_S, every_s=1)
    show(f"\n{born.seconds() - began:.1f} s from the rollout's start to the confirmed image of {len(parts.stock.app):,} bytes")
    assert born.images() == {1: VALID, 2: VALID}
    assert json.loads(born.files()["/boot.json"])["slot"] == "a"
    born.power_off()
    born.power_on()
    before = max(ingest.records)
    until(lambda: max(ingest.records) > before)
    assert born.images() == {1: VALID, 2: VALID}
    assert set(range(max(ingest.records))) <= set(ingest.records)


def test_image_that_is_never_confirmed_stays(born, field, ingest, bundle, parts):
    until(lambda: born.ring().first_unacked() > 0)
    roll_out(field, {**bundle, **compile_sources({"main.py": STRANGER})}, "1.1.0", 2, parts.stock.app)
    until(lambda: json.loads(born.files().get("/boot.json", b"{}")).get("bad"), IMAGE_S, every_s=1)
    assert born.images() == {1: VALID, 2: ABORTED}
    until(lambda: json.loads(born.files()["/boot.json"])["bad"] is None, UPDATE_S, every_s=1)   # the server has heard of it
    assert runs(field, "1.0.0")
    roll_out(field, {**bundle, "marker.mpy": b"new"}, "1.2.0", 3)
    until(lambda: runs(field, "1.2.0"), UPDATE_S)
