"""Shaking: what a device reaches stays, what it does not goes."""

import pytest

from ota.release.fold import fold
from ota.release.shake import shake
from ota.release.source import SourceError, parse, unparse

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
    return {"main.py": MAIN, "pack/__init__.py": b"", "pack/both.py": BOTH, "pack/used.py": b"LIMIT = [3]\n", "pack/lost.py": b"",
            "node/__init__.py": b"", "node/compat.py": b"def const(value):\n    return value\n", **more}


def shaken(root: str = "main.py", **more: bytes) -> dict[str, bytes]:
    program = parse(tree(**more))
    fold(program)
    return unparse(shake(program, [(root, "*")]))


def test_other_half_of_a_format_is_left_out_with_all_it_needs() -> None:
    found = shaken()
    assert set(found) == {"main.py", "pack/__init__.py", "pack/both.py", "pack/used.py"}
    assert b"other_half" not in found["pack/both.py"]
    assert b"import" not in found["pack/both.py"]


def test_module_used_as_a_value_is_kept_whole() -> None:
    main = b"from pack import both\n\nrun(both)\n"
    assert b"other_half" in shaken(**{"main.py": main})["pack/both.py"]


def test_import_inside_a_function_is_followed() -> None:
    main = b"def run():\n    from pack.both import other_half\n    other_half()\n\n\nrun()\n"
    found = shaken(**{"main.py": main})
    assert b"def other_half" in found["pack/both.py"]
    assert b"def half" not in found["pack/both.py"]
    assert "pack/lost.py" in found


def test_both_boards_of_a_conditional_import_are_kept() -> None:
    main = (b"import sys\n\nif sys.platform == 'linux':\n    from pack.both import half\nelse:\n    from pack.lost import half\n"
            b"half(1)\n")
    found = shaken(**{"main.py": main, "pack/lost.py": b"def half(n):\n    return n\n"})
    assert b"def half" in found["pack/both.py"]
    assert b"def half" in found["pack/lost.py"]


def test_name_that_is_called_from_outside_alone_keeps_the_others() -> None:
    main = b"def run():\n    pass\n\n\ndef walk():\n    pass\n"
    assert b"walk" not in unparse(shake(parse({"main.py": main}), [("main.py", "run")]))["main.py"]


def test_missing_root_is_named() -> None:
    with pytest.raises(SourceError, match=r"boot\.py"):
        shaken("boot.py")
