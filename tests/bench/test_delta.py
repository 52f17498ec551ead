"""`tenfold bench delta`: a release that changes a few modules is a twentieth of the image, and applied in little memory."""

import json
from pathlib import Path

import pytest

from host.bench import delta
from host.cli.root import main
from tests.sim.applications import application

MOST_PCT = 5.0        # of the image, for a few changed modules
MOST_RAM_BYTES = 8192   # on the 64-bit port: a chip has 24 KB free, and needs less


def test_delta_of_a_few_modules_is_small_and_applied_in_a_few_kilobytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "old").write_bytes(application(400_000, 3))
    (tmp_path / "new").write_bytes(application(400_000, 3, changed=range(700, 712)))
    monkeypatch.setattr("sys.argv", ["tenfold", "bench", "delta", str(tmp_path / "old"), str(tmp_path / "new"), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    report = json.loads(capsys.readouterr().out)
    assert set(report) == set(delta.Report.__annotations__)
    assert 0 < report["patch_pct"] <= MOST_PCT
    assert 0 < report["peak_ram_bytes"] <= MOST_RAM_BYTES
    assert report["patch_bytes"] < min(report["peers"]["zlib_full"], report["peers"]["bz2_full"]) / 4
    assert report["apply_s"] > 0
