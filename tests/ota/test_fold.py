"""Folding: names that a chip would keep for nothing go, what the code does stays."""

import ast

import pytest

from ota.release.fold import inline, shorten
from ota.release.source import SourceError

LIMITS = b"""from node.compat import const

SIZE = const(4)
TWICE = 2 * SIZE
NAME = 'short'
LONG = 'longer than ten'
HUGE = 1 << 40
"""


def inlined(main: bytes, limits: bytes = LIMITS) -> bytes:
    return inline({"main.py": main, "pack/__init__.py": b"", "pack/limits.py": limits})["main.py"]


def test_constant_of_another_module_takes_a_name_in_memory() -> None:
    assert inlined(b"from pack.limits import SIZE, TWICE, NAME\nprint(SIZE, TWICE, NAME)\n").endswith(b"print(4, 8, 'short')\n")
    assert inlined(b"from pack import limits\nprint(limits.SIZE)\n").endswith(b"print(4)\n")


def test_value_that_is_an_object_is_held_more_than_once() -> None:
    main = b"from pack.limits import LONG, HUGE\nprint(LONG, HUGE)\n"
    assert inlined(main) == main


def test_name_that_changes_is_taken_for_a_constant() -> None:
    main = b"COUNT = 1\n\n\ndef more():\n    global COUNT\n    COUNT = COUNT + 1\n"
    assert inlined(main) == main


@pytest.mark.parametrize(("line", "wanted"), [
    (b"x = SIZE.to_bytes(1, 'big')", b"x = (4).to_bytes(1, 'big')"), (b"x = 2 ** LESS", b"x = 2 ** (-4)"),
    (b"x = f'{SIZE}' + str(SIZE)", b"x = f'{SIZE}' + str(4)"), (b"x = other.SIZE", b"x = other.SIZE"),
    (b"def f(SIZES, n=SIZE): return n", b"def f(SIZES, n=4): return n"),
])
def test_text_around_a_value_changes_its_meaning(line: bytes, wanted: bytes) -> None:
    assert inlined(b"SIZE = 4\nLESS = -SIZE\n" + line + b"\n").endswith(wanted + b"\n")


MODULE = b"""import sys

class Counter:
    def __init__(self, _start):
        self._count = _start
        self.mpy = sys.implementation._mpy

    def _raise(self):
        self._count += 1   # _count stays in comments

def _helper(counter):
    return f"{counter} of" + counter._peer
"""


def test_private_names_keep_their_length() -> None:
    found = shorten({"main.py": MODULE})["main.py"].decode()
    assert "self._count" not in found
    assert "_raise" not in found
    assert "_helper" not in found
    assert found.count("\n") == MODULE.decode().count("\n")
    ast.parse(found)


def test_private_name_of_somebody_else_is_renamed() -> None:
    found = shorten({"main.py": MODULE})["main.py"]
    assert b"sys.implementation._mpy" in found
    assert b"counter._peer" in found
    assert b"__init__" in found


def test_renamed_module_behaves_otherwise() -> None:
    space: dict[str, object] = {}
    code = b"class C:\n    def __init__(self):\n        self._n, self._m = 1, 10\n    def _add(self, _n):\n        self._n += _n\n"
    code += b"    def both(self):\n        self._add(4)\n        return self._n, self._m\n"
    exec(shorten({"main.py": code})["main.py"], space)  # noqa: S102
    assert space["C"]().both() == (5, 10)   # type: ignore[operator]


BASE = b"""class Base:
    def __init__(self):
        self._base_a, self._base_b = 1, 2

    def sum(self):
        return self._base_a + self._base_b
"""
HEIR = b"""from base import Base
class Heir(Base):
    def more(self):
        self._heir = 30
        return self.sum() + self._base_a
"""


def test_inherited_attribute_gets_two_names_or_two_share_one() -> None:
    found = shorten({"base.py": BASE, "heir.py": HEIR})
    space: dict[str, object] = {}
    exec(found["base.py"] + found["heir.py"].partition(b"\n")[2], space)  # noqa: S102
    assert space["Heir"]().more() == 4   # type: ignore[operator]


def test_parameter_passed_by_name_is_renamed_on_one_side_only() -> None:
    main = b"def area(width, height, scale):\n    return width * height * scale\n"
    user = b"from main import area\nprint(area(2, 3, scale=4))\n"
    found = shorten({"main.py": main, "user.py": user})
    assert found["user.py"] == user
    assert found["main.py"].startswith(b"def area(_b, _a, scale):")


@pytest.mark.parametrize("elsewhere", [
    b"print(other.width)", b"import width", b"import a.width", b"from a.width.b import c", b"width = 1", b"def width(): pass",
    b"print(f'{width}')", b"for width in (): pass"])
def test_parameter_that_is_also_something_else_is_renamed(elsewhere: bytes) -> None:
    main = b"def half(width):\n    return width // 2\n" + elsewhere + b"\n"
    assert shorten({"main.py": main})["main.py"] == main


def test_short_name_hides_one_that_is_there() -> None:
    found = shorten({"main.py": b"_a = 1\n_longer = 2\nprint(_a, _longer)\n"})["main.py"]
    assert found == b"_a = 1\n_b = 2\nprint(_a, _b)\n"


def test_broken_source_is_named_with_its_line() -> None:
    with pytest.raises(SourceError, match=r"main\.py:2:"):
        inline({"main.py": b"x = 1\ndef (:\n"})
