"""The figures of the store are of what can be read back, and a peer that is not there has none."""

import json
import random

import pytest
from typer.testing import CliRunner

from host.bench import codec, store, victoria
from host.bench.codec import CodecError
from host.cli.root import app


@pytest.fixture
def recording(tmp_path):
    chance = random.Random(3)
    level, lines = 20.0, ["temp,light"]
    for row in range(3000):
        level += chance.choice((-0.1, 0, 0.1))
        lines.append(f"{level:.1f},{chance.randrange(60) if row % 50 else ''}")
    path = tmp_path / "small.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(victoria, "found", lambda: None)


@pytest.mark.usefixtures("alone")
def test_sizes_are_counted_of_what_was_read_back(recording, tmp_path):
    (tmp_path / "made").mkdir()
    found = store.sizes(codec.load(recording, {}), tmp_path / "made", 2, lambda what: None)
    assert found["readings"] == 2 * (6000 - 60)
    assert found["victoriametrics_bytes_per_reading"] is None
    assert found["compacted_bytes_per_reading"] >= found["columns_bytes_per_reading"] > 0
    assert found["rollup_bytes_per_reading"] >= found["fresh_bytes_per_reading"] > 0


@pytest.mark.usefixtures("alone")
def test_a_store_that_gives_back_otherwise_has_no_figure(recording, tmp_path, monkeypatch):
    real = store._records
    monkeypatch.setattr(store, "_records", lambda recording: list(real(recording))[:-1])
    with pytest.raises(CodecError, match="gives back otherwise"):
        store.sizes(codec.load(recording, {}), tmp_path, 1, lambda what: None)


@pytest.mark.usefixtures("alone")
def test_the_command_has_a_form_for_machines(recording, monkeypatch):
    monkeypatch.setattr(store, "QUICK_FLEET", 3)
    monkeypatch.setattr(store, "QUICK_READINGS", 1000)
    monkeypatch.setattr(store, "QUICK_PERIOD_MS", 3_600_000)
    said = json.loads(CliRunner().invoke(app, ["bench", "store", str(recording), "--quick", "--json"]).output)
    assert said["compacted_bytes_per_reading"] > 0
    assert set(said["queries"]) == {"day_of_a_channel", "month_to_1000_points", "latest_of_3_devices"}
    assert "not installed" in said["note"]
