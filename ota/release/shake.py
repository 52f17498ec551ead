"""Leaves out of a bundle what no device can reach: formats have two halves in one module, and a device needs one of them.

Starts at the roots and keeps, of each module that is reached, the top-level functions, classes and plain constants that something
kept refers to.

Relies on how the firmware is written: names are reached through imports, never by text (`getattr`, `globals`), and modules have
no effect when they are imported. A module that is passed around as a value is kept whole. Methods are never left out.
Rejected: keeping the halves in two modules by hand (each format's rules would be in two places), and freezing the
modules into the image (a stock MicroPython could not run them).
"""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ota.release.source import Place, Program, SourceError, aliases, imports, meant


@dataclass
class _Module:
    """One source: its top-level names, what may be left out, and what its names stand for."""

    path: str
    tree: ast.Module
    aliases: dict[str, Place]
    items: dict[str, ast.stmt] = field(default_factory=dict)   # may be left out, by the name that it defines
    kept: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)                # names that something kept refers to


def shake(program: Program, roots: Collection[Place]) -> Program:
    """Reduce a program to what the roots reach.

    Args:
        program: its trees are changed.
        roots: what is used from outside: (path, name), "*" for every name, "" for what happens when the module is loaded.

    Returns:
        The modules that are reached and the packages that they lie in.

    Raises:
        SourceError: a root is missing.
    """
    modules = {path: _module(path, tree, program) for path, tree in program.items()}
    reached: set[str] = set()
    queue: list[Place] = []
    for root, name in roots:
        if root not in modules:
            raise SourceError(f"{root}: no such source")
        queue.append((root, name))
    while queue:
        path, name = queue.pop()
        module = modules[path]
        found: list[ast.stmt] = []
        if path not in reached:
            reached.add(path)
            queue.extend((package, "") for package in _packages(path) if package in modules)
            found.extend(node for node in module.tree.body if _stays(module, node))
        wanted = set(module.items) if name == "*" else {name} & set(module.items)
        for new in wanted - module.kept:
            module.kept.add(new)
            found.append(module.items[new])
        if name not in module.items and name in module.aliases:   # re-exported
            module.used.add(name)
            queue.append(module.aliases[name])
        for node in found:
            queue.extend(_references(module, node, program))
    for path in reached:
        modules[path].tree.body = list(_left(modules[path]))
    return {path: program[path] for path in sorted(reached)}


def _module(path: str, tree: ast.Module, program: Program) -> _Module:
    module = _Module(path, tree, aliases(tree, program))
    for node in tree.body:
        name = _defines(node)
        if name is not None:   # the last one counts, as it does when the module runs; whoever refers to the first is wrong
            module.items[name] = node
    return module


def _defines(node: ast.stmt) -> str | None:
    """The name that a statement defines, when that is all that it does."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return None if node.decorator_list else node.name
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
        return None
    allowed = (ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Tuple, ast.List, ast.Dict, ast.Set,
               ast.expr_context, ast.Attribute)
    return node.targets[0].id if all(isinstance(part, allowed) for part in ast.walk(node.value)) else None


def _stays(module: _Module, node: ast.stmt) -> bool:
    """A statement with an effect."""
    return not isinstance(node, ast.Import | ast.ImportFrom) and module.items.get(_defines(node) or "") is not node


def _packages(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[:n]) + "/__init__.py" for n in range(1, len(parts) + 1))


def _references(module: _Module, node: ast.AST, program: Program) -> Iterator[Place]:
    """Everything that a piece of code refers to; "*" for a module used as a value."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.aliases:
        path, name = module.aliases[node.value.id]
        if not name:   # module.something
            module.used.add(node.value.id)
            yield path, node.attr
            return
    if isinstance(node, ast.Import | ast.ImportFrom):   # inside a function, or in one branch of several
        for each in node.names:
            place = meant(node, each, program)
            if place is not None:
                yield place
    if isinstance(node, ast.Name):
        module.used.add(node.id)
        if node.id in module.items:
            yield module.path, node.id
        elif node.id in module.aliases:
            path, name = module.aliases[node.id]
            yield path, name or "*"
    for child in ast.iter_child_nodes(node):
        yield from _references(module, child, program)


def _left(module: _Module) -> Iterator[ast.stmt]:
    """What is kept of a module, and of its imports what that uses."""
    always = set(imports(module.tree))
    for node in module.tree.body:
        name = _defines(node)
        if node in always:
            assert isinstance(node, ast.Import | ast.ImportFrom)  # noqa: S101  that is what imports gives
            node.names = [each for each in node.names if _needed(module, each)]
            if node.names:
                yield node
        elif name in module.kept or _stays(module, node):
            yield node


def _needed(module: _Module, each: ast.alias) -> bool:
    name = each.asname or each.name
    return name.split(".")[0] in module.used
