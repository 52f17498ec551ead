"""A bundle over the air: fetched from the real update server, tried, confirmed; a power cut in the middle is survived."""

import json

from node.wire import bundle as bundle_format
from tests.esp32.rig import UPDATE_S, roll_out, runs, show, until


def test_update_is_never_confirmed_or_leaves_a_gap(born, field, ingest, bundle):
    until(lambda: born.ring().first_unacked() > 0)
    began = born.seconds()
    roll_out(field, {**bundle, "marker.mpy": b"new"}, "1.1.0", 2)
    until(lambda: runs(field, "1.1.0"), UPDATE_S)
    show(f"\n{born.seconds() - began:.1f} s from the rollout's start to the confirmed update")
    files = born.files()
    boot = json.loads(files["/boot.json"])
    assert (boot["slot"], boot["trial"], boot["bad"]) == ("a", None, None)
    assert "marker.mpy" in bundle_format.parse(files["/slots/a/bundle"])
    assert set(range(max(ingest.records))) <= set(ingest.records)


def test_power_cut_during_the_download_bricks_or_mixes_releases(born, field, ingest, bundle):
    until(lambda: born.ring().first_unacked() > 0)
    roll_out(field, {**bundle, "marker.mpy": b"new"}, "1.1.0", 2)
    born.console("LOG", event="fetching")
    until(lambda: any(path.startswith("/slots/a/") and content for path, content in born.files().items()), every_s=0.02)
    born.power_off()
    files = born.files()
    assert "/slots/a/release.json" not in files
    born.power_on()
    until(lambda: runs(field, "1.1.0"), UPDATE_S)
    assert "marker.mpy" in bundle_format.parse(born.files()["/slots/a/bundle"])
