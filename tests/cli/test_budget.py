"""`tenfold budget`: exit codes, and figures for machines."""

import json

import pytest
from typer.testing import CliRunner

from host.cli.root import app
from host.sim import hall
from tests.firmware.boards import FIRMWARE

SITE = FIRMWARE / "image/site.json"
KEYS = {"flash_life_years", "files_life_years", "ring_days", "wire_kb_a_day", "ram_pct", "ram_update_pct", "flash_pct", "image_pct"}


def run(*arguments):
    return CliRunner().invoke(app, ["budget", *map(str, arguments)])


@pytest.fixture
def site(tmp_path):
    def make(**changes):
        path = tmp_path / "site.json"
        path.write_text(json.dumps({**json.loads(SITE.read_bytes()), **changes}))
        return path

    return make


def test_configuration_that_fills_the_ring_in_an_hour_passes(site):
    done = run("--config", site(period_ms=250, batch_samples=16, uplink_s=2), "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert "ring_days" in report["missed"]
    assert "uplink_s" in report["lines"]["ring_days"]["advice"]


def test_board_that_nobody_measured_passes():
    done = run("--board", "esp32-s3", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["not_measured"] == ["ram_pct", "ram_update_pct", "image_pct"]
    told = run("--board", "esp32-s3")
    assert told.exit_code == 3
    assert "not measured" in told.stdout


def test_figures_for_machines_are_not_those_for_people():
    report = json.loads(run("--json").stdout)
    assert report["lines"].keys() == KEYS
    assert sum(flow["up"] + flow["down"] for flow in report["wire_bytes_a_day"].values()) / 1000 == pytest.approx(
        report["lines"]["wire_kb_a_day"]["value"], rel=0.001)


def test_recording_is_ignored(tmp_path):
    path = tmp_path / "r.csv"
    names = [channel["name"] for channel in json.loads(SITE.read_bytes())["channels"]]
    rows = ("1,2,3,4\n", "1,2,3,4\n", "1,2,3,5\n")
    path.write_text(",".join(names) + "\n" + "".join(rows))
    still = json.loads(run("--data", path, "--json").stdout)["lines"]["ring_days"]["value"]
    assert still > 2 * json.loads(run("--json").stdout)["lines"]["ring_days"]["value"]


def test_board_that_is_not_known_is_not_told_which_are():
    done = run("--board", "esp8266")
    assert "board.unknown" in str(done.exception)
    assert "esp32-generic" in str(done.exception)


def test_example_has_other_channels_than_the_demo():
    said = [(channel["name"], channel["unit"], channel["resolution"]) for channel in json.loads(SITE.read_bytes())["channels"]]
    assert said == [(channel.name, channel.unit, channel.resolution) for channel in hall.CHANNELS]
