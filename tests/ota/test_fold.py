"""Folding: names that a chip would keep for nothing go, what the code does stays."""

import pytest

from ota.release.fold import fold
from ota.release.source import SourceError, parse, unparse

LIMITS = b"""from node.compat import const

SIZE = const(4)
TWICE = 2 * SIZE
NAME = 'short'
LONG = 'longer than ten'
HUGE = 1 << 40
"""


def folded(main: bytes, limits: bytes = LIMITS) -> bytes:
    program = parse({"main.py": main, "pack/__init__.py": b"", "pack/limits.py": limits})
    fold(program)
    return unparse(program)["main.py"]


def test_constant_of_another_module_takes_a_name_in_memory() -> None:
    assert folded(b"from pack.limits import SIZE, TWICE, NAME\nprint(SIZE, TWICE, NAME)\n").endswith(b"print(4, 8, 'short')\n")
    assert folded(b"from pack import limits\nprint(limits.SIZE)\n").endswith(b"print(4)\n")


def test_value_that_is_an_object_is_held_more_than_once() -> None:
    main = b"from pack.limits import LONG, HUGE\nprint(LONG, HUGE)\n"
    assert folded(main) == main


def test_name_that_changes_is_taken_for_a_constant() -> None:
    main = b"COUNT = 1\n\ndef more():\n    global COUNT\n    COUNT = COUNT + 1\n"
    assert folded(main) == main


@pytest.mark.parametrize(("line", "wanted"), [
    (b"x = SIZE.to_bytes(1, 'big')", b"x = (4).to_bytes(1, 'big')"), (b"x = 2 ** LESS", b"x = 2 ** (-4)"),
    (b"x = f'{SIZE} of {n}' + str(SIZE)", b"x = f'4 of {n}' + str(4)"), (b"x = f'{SIZE:03d}'", b"x = f'{4:03d}'"),
    (b"x = other.SIZE", b"x = other.SIZE"), (b"x = const(SIZE + n)", b"x = 4 + n"),
    (b"def f(SIZES, n=SIZE):\n    return n", b"def f(SIZES, n=4):\n    return n"),
])
def test_text_around_a_value_changes_its_meaning(line: bytes, wanted: bytes) -> None:
    found = folded(b"SIZE = 4\nLESS = -SIZE\n" + line + b"\n").split(b"\n", 2)[2]
    assert eval_or_text(found) == eval_or_text(wanted + b"\n")


def eval_or_text(source: bytes) -> bytes:
    return unparse(parse({"x.py": source}))["x.py"]


def test_what_nobody_hears_is_kept() -> None:
    assert folded(b"raise CallerError('ring.seq', f'got {n}, expected {m}')\n") == b"raise CallerError('ring.seq', '')\n"
    assert b"got" in folded(b"raise PeerError('http.size', f'got {n} bytes')\n")


ANNOTATED = b'''"""Doc."""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pack.hints import Any

class C:
    """Doc."""
    n: "Any"
    m: "Any" = 3

    def f(self, a: "Any" = 1) -> "Any":
        """Doc."""
        self.a: "Any" = a
'''


def test_annotations_docstrings_and_imports_for_them_stay_in_memory() -> None:
    assert folded(ANNOTATED) == b"TYPE_CHECKING = False\n\nclass C:\n    m = 3\n\n    def f(self, a=1):\n        self.a = a\n"


def test_broken_source_is_named_with_its_line() -> None:
    with pytest.raises(SourceError, match=r"main\.py:2:"):
        parse({"main.py": b"x = 1\ndef (:\n"})
    with pytest.raises(SourceError, match=r"main\.py: "):
        parse({"main.py": b"x = '\xff'\n"})
