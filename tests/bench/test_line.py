"""`tenfold bench line`: figures that others read, and a step's time that is another step's."""

import json

import pytest
from typer.testing import CliRunner

from host.bench import line
from host.cli.root import app

REPORT: line.Figures = {
    "boards": 2, "done": 1, "seconds": 20.0, "boards_per_minute": 3.0, "cpu_s_per_board": 4.56, "first_pass_yield": 0.5,
    "steps": {"flash": 1.25}}


@pytest.mark.slow
def test_report_of_a_line_at_work_lacks_a_figure():
    result = CliRunner().invoke(app, ["bench", "line", "--boards", "2", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found) == line.Figures.__required_keys__
    assert (found["boards"], found["done"], found["first_pass_yield"]) == (2, 2, 1.0)
    assert found["boards_per_minute"] == pytest.approx(120 / found["seconds"])
    assert found["cpu_s_per_board"] > 1   # esptool and mpremote, which are started some eight times, are in it
    assert set(found["steps"]) == {"flash", "test", "key", "read-back", "record", "label"}
    assert sum(found["steps"].values()) < found["seconds"]


def test_table_is_for_people_also_when_no_board_was_decided(monkeypatch):
    for share, shown in ((0.5, "50 %"), (None, "-")):
        monkeypatch.setattr(line, "measure", lambda boards, progress, share=share: {**REPORT, "first_pass_yield": share})
        told = CliRunner().invoke(app, ["bench", "line"]).output
        for word in ("boards a minute", "3.0", "CPU seconds a board", "4.6", "seconds of flash", "1.25", shown):
            assert word in told


def test_time_of_flashing_is_its_verifications():
    ended = (("verify", 3.0), ("flash", 1.0), ("key", 2.0))
    entries = [{"what": "plugged"}, *({"step": step, "took_s": took_s} for step, took_s in ended)]
    assert line._steps(entries) == {"flash": 2.0, "key": 2.0}
