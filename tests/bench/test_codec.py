"""Figures of the codec bench that are not what was measured: wrong floors, lost readings, peers that cheat."""

import json
import math
import random
from pathlib import Path

import cbor2
import pytest
from typer.testing import CliRunner

from host.bench import codec, peers
from host.cli.root import app
from host.sim.replay import ReplayError

CHANNELS = (("t", "degC", "0.01"), ("n", "", "1"))


def one_batch(*columns):
    return peers.Batch(CHANNELS, list(columns), 1_795_306_472_000, 1000)


def csv_file(path: Path, rows: int = 400, seed: int = 1) -> Path:
    chance = random.Random(seed)
    level = 20.0
    lines = ["time,Temp (degC),count,grid"]
    for row in range(rows):
        level += chance.gauss(0, 0.02)
        at = f"2026-01-01 00:{row // 60:02d}:{row % 60:02d}"
        lines.append(f"{at},{level:.2f},{chance.randint(0, 9)},{chance.randint(0, 900) / 256:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(*args: object) -> object:
    result = CliRunner().invoke(app, ["bench", "codec", *map(str, args), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_floor_is_the_entropy_of_the_steps():
    assert codec.entropy_bits([[0, 1, 2, 3, 4]]) == 0.0
    assert codec.entropy_bits([[0, 1, 0, 1, 0], [7] * 5]) == 0.5   # a step up or down, and nothing
    assert math.isclose(codec.entropy_bits([[0, 0, 1, None, 3, 6]]), 2.0)   # over a gap: steps 0, 1, 2, 3
    assert codec.entropy_bits([[None], []]) == 0.0


def test_report_has_every_size_of_every_file_and_in_all(tmp_path):
    one, other = csv_file(tmp_path / "a.csv"), csv_file(tmp_path / "b.csv", 100, 2)
    report = run(one, other)
    assert set(report["files"]) == {str(one), str(other)}
    assert list(report["files"][str(one)]) == list(report["total"]) == ["1", "12", "60", "360"]
    assert list(report["files"][str(other)]) == ["1", "12", "60"]   # too short for 360
    line = report["files"][str(one)]["60"]
    assert line["readings"] == 3 * 360
    assert set(line["peers"]) == {"json_per_reading", "json_batch_zlib", "senml_cbor", "msgpack_delta_zlib", "delta_varint"}
    assert line["entropy_floor"] < line["bytes_per_reading"] < min(line["peers"].values())
    whole = report["total"]["60"]
    parts = [report["files"][str(path)]["60"] for path in (one, other)]
    assert whole["readings"] == sum(part["readings"] for part in parts)
    assert math.isclose(whole["bytes_per_reading"] * whole["readings"],
                        sum(part["bytes_per_reading"] * part["readings"] for part in parts))


def test_resolution_is_the_told_one_or_the_converters_step(tmp_path):
    path = csv_file(tmp_path / "a.csv")
    assert [step for _, _, step in codec.load(path, {}).channels] == ["0.01", "1", "0.00390625"]
    told = codec.load(path, {"Temp (degC)": "0.1", "grid": "0.001", "elsewhere": "1"})
    assert [step for _, _, step in told.channels] == ["0.1", "1", "0.001"]
    assert told.told == {"Temp (degC)", "grid"}


@pytest.mark.parametrize(("word", "said"), [
    ("t", "expected NAME=STEP"), ("t=0.10", "expected NAME=STEP"), ("x=1", "no file has x"),
])
def test_wrong_resolution_is_told(tmp_path, word, said):
    result = CliRunner().invoke(app, ["bench", "codec", str(csv_file(tmp_path / "a.csv")), "--resolution", word])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_file_that_is_no_table_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("", encoding="utf-8")
    with pytest.raises(ReplayError, match="is empty"):
        codec.load(tmp_path / "a.csv", {})


def test_encoder_that_loses_a_reading_gets_no_figure(tmp_path, monkeypatch):
    recording = codec.load(csv_file(tmp_path / "a.csv", 20), {})
    real = codec.batch.encode
    monkeypatch.setattr(codec.batch, "encode", lambda *args: real(*args[:7], [[0] * len(column) for column in args[7]], args[8]))
    with pytest.raises(codec.CodecError, match="decoded otherwise"):
        codec.measure(recording, lambda rows: None)


def test_peers_send_all_that_they_were_given():
    given = one_batch([2150, None, 2153], [0, 7, 8])
    texts = ((0, "t", "21.50"), (2, "t", "21.53"), (0, "n", "0"), (1, "n", "7"), (2, "n", "8"))
    messages = [f'{{"device":"{peers.DEVICE}","ts":{1_795_306_472_000 + 1000 * row},"name":"{name}","value":{text}}}'
                for row, name, text in texts]
    assert peers.json_reading(given) == sum(map(len, messages))
    assert {json.loads(message)["device"] for message in messages} == {peers.DEVICE}
    assert peers.delta_varint(one_batch([64, 0, 63], [0, None, -8193])) == peers.HEADER_BYTES + (2 + 1 + 1) + (1 + 1 + 3)


def test_senml_pack_is_one_that_others_can_read(monkeypatch):
    packs, dumps = [], cbor2.dumps
    monkeypatch.setattr(peers.cbor2, "dumps", lambda pack: packs.append(pack) or dumps(pack))
    peers.senml_cbor(one_batch([2150, None, 2153], [0, 7, 8]))
    (pack,) = packs
    assert pack[0][-2] == peers.DEVICE + "/"
    assert float(pack[0][-3]) == 1_795_306_472.0
    assert [(record[0], float(record[2]), float(record.get(6, 0))) for record in pack] == [
        ("t", 21.5, 0), ("t", 21.53, 2), ("n", 0, 0), ("n", 7, 1), ("n", 8, 2)]
