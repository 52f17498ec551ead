"""Shaking: what a device reaches stays, what it does not goes, and lines keep their numbers."""

import ast

import pytest

from ota.release.shake import shake
from ota.release.source import SourceError

MAIN = b"""from pack import used
from pack import both as fmt

fmt.half(used.LIMIT)
"""
BOTH = b"""TYPE_CHECKING = False
if TYPE_CHECKING:
    from pack.hints import Any

from node.compat import const
from pack import lost, used

SIZE = const(4)
OTHER = const(5)


def half(n: "Any") -> int:
    return n * SIZE


def other_half():
    return lost.thing(used.LIMIT, OTHER)
"""


def tree(**more: bytes) -> dict[str, bytes]:
    return {"main.py": MAIN, "pack/__init__.py": b"", "pack/both.py": BOTH, "pack/used.py": b"LIMIT = 3\n", "pack/lost.py": b"",
            "node/__init__.py": b"", "node/compat.py": b"def const(value):\n    return value\n", **more}


def test_other_half_of_a_format_is_left_out_with_all_it_needs() -> None:
    found = shake(tree(), {"main.py": "*"})
    assert set(found) == {"main.py", "pack/__init__.py", "pack/both.py", "pack/used.py"}
    assert b"other_half" not in found["pack/both.py"]
    assert b"import" not in found["pack/both.py"]


def test_line_numbers_stay_so_that_tracebacks_can_be_read() -> None:
    both = shake(tree(), {"main.py": "*"})["pack/both.py"]
    assert both.count(b"\n") == BOTH.count(b"\n")
    lines = {node.name: node.lineno for node in ast.walk(ast.parse(both)) if isinstance(node, ast.FunctionDef)}
    assert lines == {"half": BOTH[:BOTH.index(b"def half")].count(b"\n") + 1}


def test_module_used_as_a_value_is_kept_whole() -> None:
    main = b"from pack import both\n\nrun(both)\n"
    assert b"other_half" in shake(tree(**{"main.py": main}), {"main.py": "*"})["pack/both.py"]


def test_import_inside_a_function_is_followed() -> None:
    main = b"def run():\n    from pack.both import other_half\n    other_half()\n\n\nrun()\n"
    found = shake(tree(**{"main.py": main}), {"main.py": "*"})
    assert b"def other_half" in found["pack/both.py"]
    assert b"def half" not in found["pack/both.py"]
    assert "pack/lost.py" in found


def test_both_boards_of_a_conditional_import_are_kept() -> None:
    main = (b"import sys\n\nif sys.platform == 'linux':\n    from pack.both import half\nelse:\n    from pack.lost import half\n"
            b"half(1)\n")
    found = shake(tree(**{"main.py": main, "pack/lost.py": b"def half(n):\n    return n\n"}), {"main.py": "*"})
    assert b"def half" in found["pack/both.py"]
    assert b"def half" in found["pack/lost.py"]


def test_broken_source_is_named_with_its_line() -> None:
    with pytest.raises(SourceError, match=r"pack/both\.py:2:"):
        shake(tree(**{"pack/both.py": b"x = 1\ndef (:\n"}), {"main.py": "*"})


def test_missing_root_is_named() -> None:
    with pytest.raises(SourceError, match=r"boot\.py"):
        shake(tree(), {"boot.py": "*"})
