"""Leaves sensor drivers out of a bundle: those that no board of the fleet has.

A driver is a line of `node.catalog.DRIVERS` and a branch of `board.sensors.build`. Without its line a device refuses a
configuration that names it, as one that nobody knows; without its branch nothing reaches its code, and `shake` leaves that out.

Relies on how those two are written: DRIVERS is one text, and the branches compare a name, or a bus's kind, with a literal.
"""

import ast
import json
from collections.abc import Collection, Iterable

from ota.release.source import Program, SourceError

CATALOG, BUILD = "node/catalog.py", "board/sensors/build.py"
ALWAYS = frozenset(("adc", "chip"))   # channels of the board itself need no line in a configuration
TABLE = "DRIVERS"


def named(configs: Iterable[bytes]) -> frozenset[str]:
    """Tell the drivers that some configurations name.

    Args:
        configs: each as a device's site.json, valid.
    """
    return ALWAYS | {str(sensor["driver"]) for raw in configs for sensor in json.loads(raw).get("sensors", [])}


def leave_out(program: Program, drivers: Collection[str]) -> None:
    """Take all drivers but these out of a program; its trees are changed.

    Raises:
        SourceError: a driver is not in the table, or the table is not where it was.
    """
    lines, table = _table(program)
    kinds = {words[0]: words[1] for words in map(str.split, lines) if words}
    unknown = sorted(set(drivers) - set(kinds))
    if unknown:
        raise SourceError(f"{CATALOG}: {unknown[0]}: no such driver; there are {', '.join(sorted(kinds))}")
    table.value = "\n".join(line for line in lines if not line or line.split()[0] in drivers)
    gone = (set(kinds) - set(drivers)) | (set(kinds.values()) - {kinds[each] for each in drivers})
    _Branches(gone).visit(program[BUILD])


def _table(program: Program) -> tuple[list[str], ast.Constant]:
    for node in program[CATALOG].body if CATALOG in program else ():
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == TABLE \
                and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) and BUILD in program:
            return node.value.value.split("\n"), node.value
    raise SourceError(f"{CATALOG}: expected the text {TABLE}, and {BUILD} beside it")


class _Branches(ast.NodeTransformer):
    """Takes `if … == literal` away where the literal is gone; what follows as `elif` or `else` stays."""

    def __init__(self, gone: Collection[str]) -> None:
        self._gone = gone

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        self.generic_visit(node)
        test = node.test
        if not (isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq) and isinstance(test.comparators[0], ast.Constant)
                and test.comparators[0].value in self._gone):
            return node
        return node.orelse or None
