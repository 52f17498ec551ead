"""A bundle's sources as syntax trees: what those share that rewrite them (fold, shake, merge, inline, names, texts).

A program is {path in the bundle ending in .py: tree}. Type annotations are gone from the trees, since MicroPython evaluates
none, and so are `if TYPE_CHECKING:` and docstrings.
"""

import ast
from collections.abc import Container, Iterator, Mapping

Program = dict[str, ast.Module]
CHECKING = "TYPE_CHECKING"
Place = tuple[str, str]   # (a module's path, a name in it or "" for the module itself)


class SourceError(Exception):
    """The sources are no program; the message names the file, and the line where there is one."""


def parse(sources: Mapping[str, bytes]) -> Program:
    """Read sources.

    Raises:
        SourceError: one does not parse.
    """
    return {path: _parse(path, source) for path, source in sources.items()}


def unparse(program: Program) -> dict[str, bytes]:
    """Write sources; comments are gone, and lines are not those that were read."""
    return {path: ast.unparse(ast.fix_missing_locations(tree)).encode() + b"\n" for path, tree in program.items()}


def path_of(dotted: str, program: Container[str]) -> str | None:
    """Give the path of one of our modules or packages; None for others'."""
    stem = dotted.replace(".", "/")
    return next((path for path in (f"{stem}.py", f"{stem}/__init__.py") if path in program), None)


def meant(statement: ast.Import | ast.ImportFrom, each: ast.alias, program: Container[str]) -> Place | None:
    """What of ours an import binds; None when it is somebody else's."""
    if isinstance(statement, ast.Import):
        path = path_of(each.name, program)
        return None if path is None else (path, "")
    inner = path_of(f"{statement.module}.{each.name}", program)
    if inner is not None:
        return inner, ""
    outer = path_of(statement.module or "", program)
    return None if outer is None else (outer, each.name)


def aliases(tree: ast.Module, program: Container[str]) -> dict[str, Place]:
    """What each imported name of ours stands for, also inside functions."""
    found = {}
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for each in statement.names:
                place = meant(statement, each, program)
                if place is not None:
                    found[each.asname or each.name] = place
    return found


def imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that always happen when a module is loaded."""
    return (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))


def _parse(path: str, source: bytes) -> ast.Module:
    try:
        tree = ast.parse(source.decode())
    except SyntaxError as error:
        raise SourceError(f"{path}:{error.lineno}: {error.msg}") from None
    except ValueError as error:   # not UTF-8, or a zero byte
        raise SourceError(f"{path}: {error}") from None
    plain = _Plain().visit(tree)
    assert isinstance(plain, ast.Module)  # noqa: S101  a module stays one
    return plain


class _Plain(ast.NodeTransformer):
    """Leaves out annotations and what is imported for them, and docstrings."""

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == CHECKING else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        self.generic_visit(node)
        return None if node.value is None else ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        node.returns = None
        return self._block(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        node.returns = None
        return self._block(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        return self._block(node)

    def visit_Module(self, node: ast.Module) -> ast.Module:
        self.generic_visit(node)
        node.body = _without_docstring(node.body)
        return node

    def _block(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.stmt:
        self.generic_visit(node)
        node.body = _without_docstring(node.body) or [ast.Pass()]
        return node


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if is_text else body
