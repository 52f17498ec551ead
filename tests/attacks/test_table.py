"""The table of attacks names every row of the plan and every test here, and each test that it names exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
README = (TESTS / "README.md").read_text(encoding="utf-8")
LINES = README[README.index("## Attacks"):].splitlines()
CELLS = [line.split("|") for line in LINES]
ROWS = {each[1].strip(): each[3] for each in CELLS if len(each) == 5 and "`" in each[3]}
NAMED = {row: re.findall(r"`([a-z_0-9/]+\.py)::(test_[a-z_0-9]*)`", cell) for row, cell in ROWS.items()}
PLAN = [
    "arbitrary software", "rollback", "indefinite freeze", "replay of a direction", "endless data", "slow retrieval",
    "fast-forward", "mix-and-match", "partial bundle", "extraneous dependencies", "wrong software or device", "malicious mirror",
    "online key compromise", "offline release key compromise", "root key compromise", "repository compromise", "time attack",
    "eavesdropping", "dropped requests", "version-report forgery", "stolen station", "stolen station elsewhere",
    "physical access",
]
OWN = [(path.name, name) for path in sorted(Path(__file__).parent.glob("test_*.py")) if path != Path(__file__)
       for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)]


def test_every_attack_of_the_plan_is_a_row() -> None:
    assert list(ROWS) == PLAN


@pytest.mark.parametrize("row", PLAN)
def test_every_test_that_the_table_names_exists(row: str) -> None:
    assert NAMED[row]
    assert ROWS[row].count("`") == 2 * len(NAMED[row])
    for file, start in NAMED[row]:
        assert re.search(rf"^ *def {start}", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), f"{file}::{start}"


def test_no_attack_test_is_left_out_of_the_table() -> None:
    starts = [(file.removeprefix("attacks/"), start) for row in NAMED.values() for file, start in row]
    plain = {"test_honest_way_updates_the_device_and_the_server_hears_of_it"}   # that the way works at all
    left = [f"{file}::{name}" for file, name in OWN if name not in plain
            and not any(file == named and name.startswith(start) for named, start in starts)]
    assert left == []
