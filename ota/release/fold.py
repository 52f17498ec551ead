"""Writes the values of constants where their names stood, as a C preprocessor does, also across modules.

A name costs a chip a string, a row in a table and one in a dict; mpy-cross folds constants within one module, and those with an
underscore only. What defines a name that nobody uses any more is left out by shake.py.

Relies on how the firmware is written: constants are upper-case, and nothing binds them anew. What looks otherwise stays.
"""

import ast
import re
from dataclasses import dataclass
from typing import TypeGuard

from ota.release.source import Place, Program, aliases

SMALL_INT = 1 << 30      # of MicroPython on 32 bits: larger ones are objects, better held once
SHORT = 10               # characters; longer strings are objects too (py/mpconfig.h, PARSE_INTERN_STRING_LEN)
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
Value = int | str


@dataclass
class _Module:
    aliases: dict[str, Place]
    constants: dict[str, ast.expr]   # upper-case names that are bound once, at the top


def fold(program: Program) -> None:
    """Replace the names of small constants by their values, in place."""
    modules = {path: _Module(aliases(tree, program), _constants(tree)) for path, tree in program.items()}
    values = {(path, name): value for path, module in modules.items() for name, node in module.constants.items()
              if (value := _value(path, node, modules)) is not None}
    for path, tree in program.items():
        _Folder(path, modules, values).visit(tree)


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return {node.targets[0].id: node.value for node in tree.body
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
            and _CONSTANT.fullmatch(node.targets[0].id) and stored.count(node.targets[0].id) == 1}


def _value(path: str, node: ast.expr, modules: dict[str, _Module]) -> Value | None:
    """What an expression is if it is a small constant, else None."""
    if _is_const(node):
        return _value(path, node.args[0], modules)
    if isinstance(node, ast.Name | ast.Attribute):
        place = _place(path, node, modules)
        return None if place is None else _value(place[0], modules[place[0]].constants[place[1]], modules)
    if isinstance(node, ast.Constant):
        if type(node.value) is str:
            return node.value if len(node.value) <= SHORT else None
        return node.value if type(node.value) is int and abs(node.value) < SMALL_INT else None
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        parts = [_value(path, part, modules) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        if all(type(part) is int for part in parts):
            plain = _with_parts(node, [ast.Constant(part) for part in parts])
            whole = ast.fix_missing_locations(ast.Expression(plain))
            result = eval(compile(whole, path, "eval"))  # noqa: S307  of numbers alone
            return result if type(result) is int and abs(result) < SMALL_INT else None
    return None


def _plain(part: ast.expr) -> ast.expr:
    """A piece of an f-string, as text if it is a constant's."""
    if not isinstance(part, ast.FormattedValue) or part.conversion != -1 or part.format_spec is not None:
        return part
    return ast.Constant(str(part.value.value)) if isinstance(part.value, ast.Constant) else part


def _is_const(node: ast.expr) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "const" and len(node.args) == 1


def _with_parts(node: ast.BinOp | ast.UnaryOp, parts: list[ast.Constant]) -> ast.expr:
    if isinstance(node, ast.UnaryOp):
        return ast.UnaryOp(node.op, parts[0])
    return ast.BinOp(parts[0], node.op, parts[1])


def _place(path: str, node: ast.expr, modules: dict[str, _Module]) -> Place | None:
    """The constant that a name, or an attribute of one of our modules, stands for."""
    module = modules[path]
    target, name = "", ""
    if isinstance(node, ast.Name):
        target, name = (path, node.id) if node.id in module.constants else module.aliases.get(node.id, ("", ""))
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        target, inner = module.aliases.get(node.value.id, ("", ""))
        name = "" if inner else node.attr
    return (target, name) if target and name in modules[target].constants else None


class _Folder(ast.NodeTransformer):
    def __init__(self, path: str, modules: dict[str, _Module], values: dict[Place, Value]) -> None:
        self._path, self._modules, self._values = path, modules, values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._fold(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self._fold(node)

    def _fold(self, node: ast.Name | ast.Attribute) -> ast.expr:
        place = _place(self._path, node, self._modules) if isinstance(node.ctx, ast.Load) else None
        if place in self._values:
            return ast.copy_location(ast.Constant(self._values[place]), node)
        self.generic_visit(node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        """f"{4} of {n}" is f"4 of {n}"."""
        self.generic_visit(node)
        node.values = [_plain(part) for part in node.values]
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """`const(4)` is 4, here already; and what a CallerError says, nobody hears: devices report its code."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "CallerError" and len(node.args) == 2:
            node.args[1] = ast.Constant("")
        return node.args[0] if _is_const(node) else node
