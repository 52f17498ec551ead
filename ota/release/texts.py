"""Keeps the short texts of modules that come and go out of the interpreter's table of names, where they would stay for ever.

mpy-cross makes a name of each text of up to SHORT characters, as if it were an identifier. In a tuple of constants it is a text
like any other, and leaves with its module: so a module's short texts stand in one tuple, and are read from there. A text that
a chip holds as a name anyway stays where it is, and so does what is looked up by its name.

Relies on what names.py relies on. For programs whose names are final.
"""

import ast
import builtins
from collections.abc import Set

from ota.release.fold import SHORT
from ota.release.names import BY_NAME, interned_names, is_name, mentioned
from ota.release.source import Program


def loosen(program: Program, staying: Set[str]) -> None:
    """Move short texts into tuples, in place.

    Args:
        staying: files that stay in memory, whose texts may be names as well: that is smaller.
    """
    interned = interned_names()
    held = {*interned, *dir(builtins)}
    for path, tree in program.items():
        if path in staying or "/" in path:
            held |= mentioned({path: tree}) | {text for each in ast.walk(tree) if (text := _short(each))}
    for path, tree in program.items():
        if path not in staying and "/" not in path:
            own = mentioned({path: tree})
            name = next(name for name in interned if is_name(name) and name not in own and not hasattr(builtins, name))
            _loosen(tree, held | own, name)


def _loosen(tree: ast.Module, held: Set[str], name: str) -> None:
    loose = _Loose(held, name)
    loose.visit(tree)
    if loose.texts:
        found = ast.Tuple([ast.Constant(text) for text in loose.texts], ast.Load())
        tree.body.insert(0, ast.Assign([ast.Name(name, ast.Store())], found))


def _short(node: ast.AST) -> str:
    """The text that a node is, if the compiler would make a name of it, else ""."""
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return text if len(text.encode()) <= SHORT else ""


class _Loose(ast.NodeTransformer):
    """Replaces texts by their places in a tuple."""

    def __init__(self, held: Set[str], name: str) -> None:
        self.texts: dict[str, int] = {}
        self._held = held
        self._name = name

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        text = _short(node)
        if not text or text in self._held:
            return node
        place = self.texts.setdefault(text, len(self.texts))
        return ast.Subscript(ast.Name(self._name, ast.Load()), ast.Constant(place), ast.Load())

    def visit_Tuple(self, node: ast.Tuple) -> ast.expr:
        if all(isinstance(each, ast.Constant) for each in node.elts):   # its texts are none of the table's already
            return node
        self.generic_visit(node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return node   # the compiler makes one text of it

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id in BY_NAME:   # it would make a name of the text when it runs
            return node
        self.generic_visit(node)
        return node
