"""Joined modules: each program says what it said before, and what must stay apart does."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ota.release.merge import merge
from ota.release.names import borrow
from ota.release.source import Program, SourceError, parse, unparse

ROOTS = (("main.py", "run"),)


def said(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """What a program prints."""
    for path, source in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(source)
    command = [sys.executable, "-c", "import main; main.run()"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def merged(files: Mapping[str, bytes]) -> Program:
    return merge(parse(files), ROOTS, "main.py")


def same(tmp_path: Path, files: Mapping[str, bytes]) -> set[str]:
    """Run before, joined, and renamed as well; gives the paths that are left."""
    program = merged(files)
    before, joined = said(tmp_path / "before", files), said(tmp_path / "joined", unparse(program))
    assert joined == before
    borrow(program, {"run"})
    assert said(tmp_path / "renamed", unparse(program)) == before
    assert before
    return set(program)


ONE = b"""LIMIT = 'one'
def _helper(n):
    return LIMIT, n
def parse(raw):
    return _helper(raw)
class Thing:
    count = 3
    def __init__(self, parse=LIMIT):
        self.parse_2 = parse
        self.all = [parse for parse in (LIMIT, parse)]
"""
TWO = b"""from one import Thing as Other, parse as parse_one
LIMIT = 'two'
count = 0
def _helper(n):
    global count
    count += 1
    def inner(parse):
        nonlocal n
        n = n + len(parse)
        return LIMIT, n, count
    return inner('xy')
def parse(LIMIT):
    parse = LIMIT
    return _helper(parse), parse_one(LIMIT), Other(LIMIT).all, Other().parse_2, (lambda LIMIT: LIMIT)(5)
"""


def test_names_that_two_modules_have_are_taken_for_one(tmp_path: Path) -> None:
    main = (b"import one\nfrom two import parse\nimport two\ndef run():\n    print(parse(1), two.parse(2), one.parse(3), two.LIMIT,"
            b" one.LIMIT, one.Thing.count)\n")
    assert same(tmp_path, {"main.py": main, "one.py": ONE, "two.py": TWO}) == {"main.py"}


def test_function_called_like_a_builtin_hides_it_from_others(tmp_path: Path) -> None:
    files = {"main.py": b"import ids\ndef run():\n    print(ids.id(), len('abc'), id is not None)\n",
             "ids.py": b"def id():\n    return 'mine'\ndef len_(x):\n    return 0\n"}
    assert same(tmp_path, files) == {"main.py"}


def test_two_modules_call_different_things_by_one_name(tmp_path: Path) -> None:
    files = {"main.py": b"import time\nfrom other import at\ndef run():\n    print(at(), time.__name__)\n",
             "other.py": b"from os import path as time\ndef at():\n    return time.join('a', 'b')\n"}
    assert same(tmp_path, files) == {"main.py"}


def test_function_passes_its_own_name_for_a_module(tmp_path: Path) -> None:
    files = {"main.py": b"from pack import tool\ndef run(tool=tool.NAME):\n    print(tool, [tool for tool in 'ab'])\n",
             "pack/__init__.py": b"", "pack/tool.py": b"NAME = 'n'\n"}
    assert same(tmp_path, files) == {"main.py"}


def test_module_that_is_a_value_loses_its_names(tmp_path: Path) -> None:
    files = {"main.py": b"from pack import tool, user\ndef run():\n    print(user.use(tool))\n", "pack/__init__.py": b"",
             "pack/tool.py": b"import other\ndef work():\n    return other.work()\n", "other.py": b"def work():\n    return 7\n",
             "pack/user.py": b"import other\ndef use(tool):\n    return tool.work(), other.work()\n"}
    assert same(tmp_path, files) == {"main.py", "tool.py"}


def test_variable_set_from_outside_is_not_seen_inside(tmp_path: Path) -> None:
    files = {"main.py": b"import state\ndef run():\n    state.level = 3\n    print(state.read())\n",
             "state.py": b"level = 0\ndef read():\n    return level\n"}
    assert same(tmp_path, files) == {"main.py", "state.py"}


def test_variable_that_changes_inside_is_not_seen_outside(tmp_path: Path) -> None:
    files = {"main.py": b"import state\ndef run():\n    state.bump()\n    print(state.level)\n",
             "state.py": b"level = 0\ndef bump():\n    global level\n    level = 4\n"}
    assert same(tmp_path, files) == {"main.py", "state.py"}


LAZY = {
    "main.py": b"import base\ndef run():\n    from one import One\n    import two\n    print(One().name(), two.Two().name(), "
               b"One.mro()[1] is two.Two.mro()[1], base.Base in One.mro())\n",
    "base.py": b"class Base:\n    def name(self):\n        return type(self).KIND\n",
    "shared.py": b"from base import Base\nclass Shared(Base):\n    pass\n",
    "one.py": b"import own\nfrom shared import Shared\nclass One(Shared):\n    KIND = own.KIND\n", "own.py": b"KIND = 'one'\n",
    "two.py": b"from shared import Shared\nclass Two(Shared):\n    KIND = 'two'\n",
}


def test_what_is_loaded_later_is_loaded_at_once_or_twice(tmp_path: Path) -> None:
    assert same(tmp_path, LAZY) == {"main.py", "one.py", "two.py", "shared.py"}


def test_both_branches_load_what_each_needs(tmp_path: Path) -> None:
    files = {"main.py": b"import sys\nif sys.platform == 'nowhere':\n    from here.board import Board\nelse:\n"
                        b"    from there.board import Board\ndef run():\n    print(Board().name)\n",
             "here/__init__.py": b"", "there/__init__.py": b"", "common.py": b"def named(x):\n    return 'board ' + x\n",
             "here/board.py": b"from common import named\nclass Board:\n    name = named('here')\n",
             "there/board.py": b"from common import named\nclass Board:\n    name = named('there')\n"}
    assert same(tmp_path, files) == {"main.py", "board.py", "board_2.py"}


def test_name_that_is_passed_on_is_lost(tmp_path: Path) -> None:
    files = {"main.py": b"from middle import work\nimport middle\ndef run():\n    print(work(), middle.work())\n",
             "middle.py": b"from end import work\n", "end.py": b"def work():\n    return 9\n"}
    assert same(tmp_path, files) == {"main.py"}


def test_resident_module_is_not_the_one_that_runs_first(tmp_path: Path) -> None:
    files = {"main.py": b"def run():\n    import device\n    device.run()\n",
             "device.py": b"import tool\ndef run():\n    from later import Later\n    print(Later().x)\n",
             "tool.py": b"X = [1]\n", "later.py": b"from tool import X\nclass Later:\n    x = X\n"}
    program = merge(parse(files), ROOTS, "device.py")
    assert set(program) == {"main.py", "device.py", "later.py"}
    assert said(tmp_path, unparse(program)) == ["[1]"]


def test_module_called_like_one_of_the_interpreter_hides_it() -> None:
    files = {"main.py": b"def run():\n    from pack.machine import x\n    print(x)\n", "pack/__init__.py": b"",
             "pack/machine.py": b"x = 1\n"}
    assert "machine.py" not in merged(files)


def test_cycle_is_joined_in_some_order() -> None:
    with pytest.raises(SourceError, match="imports itself"):
        merged({"main.py": b"import a\ndef run():\n    a.x()\n", "a.py": b"import b\ndef x():\n    b.y()\n",
                "b.py": b"import a\ndef y():\n    a.x()\n"})


def test_class_reads_the_other_of_two_names() -> None:
    with pytest.raises(SourceError, match="both bind name"):
        merged({"main.py": b"def name():\n    return 1\nclass C:\n    name = name()\ndef run():\n    print(C.name)\n"})


def test_name_that_is_nowhere_is_found_by_a_device() -> None:
    with pytest.raises(SourceError, match=r"a\.py: has no name x"):
        merged({"main.py": b"from a import x\ndef run():\n    x()\n", "a.py": b"y = 1\n"})
