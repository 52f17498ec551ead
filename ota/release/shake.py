"""Leaves out of a bundle what no device can reach: formats have two halves in one module, and a device needs one of them.

Sources in, sources out; compiles nothing. Starts at the roots and keeps, of each module that is reached, the top-level
functions, classes and plain constants that something kept refers to; what is left out becomes blank lines, so that tracebacks
keep their line numbers. Also leaves out `if TYPE_CHECKING:` blocks.

Relies on how the firmware is written: names are reached through imports, never by text (`getattr`, `globals`), and modules have
no effect when they are imported. A module that is passed around as a value is kept whole. Methods are never left out.
Rejected: keeping the halves in two modules by hand (each format's rules would be in two places), and freezing the
modules into the image (a stock MicroPython could not run them).
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ota.release.source import SourceError, parse, path_of

CHECKING = "TYPE_CHECKING"
CONST = "const"


@dataclass
class _Module:
    """One source: its top-level names, what may be left out, and what its names stand for."""

    path: str
    lines: list[str]
    tree: ast.Module
    items: dict[str, ast.stmt] = field(default_factory=dict)              # droppable, by the name that it defines
    fixed: list[ast.stmt] = field(default_factory=list)                   # everything else but imports
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    aliases: dict[str, tuple[str, str]] = field(default_factory=dict)     # name -> (module's path, name in it or "")
    ours: dict[str, str] = field(default_factory=dict)                    # dotted names of our modules that it imports -> path
    kept: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)                           # aliases that something kept refers to


def shake(sources: Mapping[str, bytes], roots: Mapping[str, str]) -> dict[str, bytes]:
    """Reduce sources to what the roots reach.

    Args:
        sources: {path in the bundle ending in .py: source}.
        roots: {path: the name in it that is called from outside, or "*" for all of them}, e.g. {"main.py": "run"}.

    Returns:
        The modules that are reached and the packages that they lie in, smaller; line numbers unchanged.

    Raises:
        SourceError: a source does not parse, or a root is missing.
    """
    modules = {path: _read(path, source) for path, source in sources.items()}
    for module in modules.values():
        _find_aliases(module, modules)
    reached: set[str] = set()
    queue: list[tuple[str, str]] = []
    for root, name in roots.items():
        if root not in modules:
            raise SourceError(f"{root}: no such source")
        queue.append((root, name))
    while queue:
        path, name = queue.pop()
        module = modules[path]
        found: list[ast.AST] = []
        if path not in reached:
            reached.add(path)
            queue.extend((package, "") for package in _packages(path) if package in modules)
            found.extend(module.fixed)
        wanted = set(module.items) if name == "*" else {name} & set(module.items)
        for new in wanted - module.kept:
            module.kept.add(new)
            found.append(module.items[new])
        if name not in module.items and name in module.aliases:   # re-exported
            module.used.add(name)
            queue.append(module.aliases[name])
        for node in found:
            queue.extend(_references(module, node))
    return {path: _write(modules[path]) for path in sorted(reached)}


def _read(path: str, source: bytes) -> _Module:
    tree = parse(path, source)
    module = _Module(path, source.decode().split("\n"), tree)
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module.imports.append(node)
        elif _is_checking(node):
            continue
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.decorator_list:
            module.items[node.name] = node
        elif (name := _constant_name(node)) is not None and name not in module.items:
            module.items[name] = node
        else:
            module.fixed.append(node)
    return module


def _is_checking(node: ast.stmt) -> bool:
    """`if TYPE_CHECKING:` without an else, and the line that defines the name."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == CHECKING and not node.orelse
    return False


def _constant_name(node: ast.stmt) -> str | None:
    """The name that a plain constant defines: its value has no effect but to exist."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        target, value = node.targets[0].id, node.value
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        target, value = node.target.id, node.value
    else:
        return None
    allowed = (ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Tuple, ast.List, ast.Dict, ast.Set,
               ast.expr_context, ast.Attribute)
    for part in ast.walk(value):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == CONST:
            continue
        if not isinstance(part, allowed):
            return None
    return target


def _find_aliases(module: _Module, modules: Mapping[str, _Module]) -> None:
    """What each imported name stands for, also inside functions; names of modules that are not ours stand for nothing."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            outer = path_of(node.module, modules)
            if outer is not None:
                module.ours[node.module] = outer
            for each in node.names:
                inner = path_of(f"{node.module}.{each.name}", modules)
                if inner is not None:
                    module.ours[f"{node.module}.{each.name}"] = inner
                    module.aliases[each.asname or each.name] = (inner, "")
                elif outer is not None:
                    module.aliases[each.asname or each.name] = (outer, each.name)
        elif isinstance(node, ast.Import):
            for each in node.names:
                target = path_of(each.name, modules)
                if target is not None:
                    module.ours[each.name] = target
                    module.aliases[each.asname or each.name] = (target, "")


def _packages(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[:n]) + "/__init__.py" for n in range(1, len(parts) + 1))


def _references(module: _Module, node: ast.AST) -> Iterator[tuple[str, str]]:
    """(path, name) of everything that a piece of code refers to; "*" for a module used as a value."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.aliases:
        path, name = module.aliases[node.value.id]
        if not name:   # module.something
            module.used.add(node.value.id)
            yield path, node.attr
            return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == CONST:   # mpy-cross folds it
        for argument in node.args:
            yield from _references(module, argument)
        return
    if isinstance(node, ast.Import | ast.ImportFrom):   # inside a function, or in one branch of several
        yield from _imported(module, node)
    if isinstance(node, ast.Name):
        if node.id in module.items:
            yield module.path, node.id
        elif node.id in module.aliases:
            module.used.add(node.id)
            path, name = module.aliases[node.id]
            yield path, name or "*"
        else:
            module.used.add(node.id)
    for key, value in ast.iter_fields(node):
        if key in ("annotation", "returns"):   # MicroPython does not evaluate them
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _references(module, child)


def _imported(module: _Module, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for each in node.names:
        target = each.name if isinstance(node, ast.Import) else f"{node.module}.{each.name}"
        path = module.ours.get(target)
        if path is not None:
            yield path, ""
        elif isinstance(node, ast.ImportFrom) and node.module in module.ours:
            yield module.ours[node.module], each.name


def _write(module: _Module) -> bytes:
    """The source with everything left out that is not kept."""
    lines = list(module.lines)
    for name, node in module.items.items():
        if name not in module.kept:
            _blank(lines, node)
    for node in module.tree.body:
        if _is_checking(node):
            _blank(lines, node)
    for statement in module.imports:
        kept = [each for each in statement.names if _needed(module, statement, each)]
        if len(kept) < len(statement.names):
            _blank(lines, statement)
            if kept:
                lines[statement.lineno - 1] = ast.unparse(_with_names(statement, kept))
    return "\n".join(lines).encode()


def _needed(module: _Module, statement: ast.Import | ast.ImportFrom, each: ast.alias) -> bool:
    name = each.asname or each.name
    if each.name == CONST and name == CONST:   # mpy-cross folds every use
        return any(isinstance(part, ast.Name) and part.id == CONST for node in module.fixed for part in ast.walk(node))
    return name in module.used or name.split(".")[0] in module.used


def _with_names(statement: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.stmt:
    if isinstance(statement, ast.ImportFrom):
        return ast.ImportFrom(statement.module, names, statement.level)
    return ast.Import(names)


def _blank(lines: list[str], node: ast.stmt) -> None:
    for number in range(node.lineno - 1, node.end_lineno or node.lineno):
        lines[number] = ""
