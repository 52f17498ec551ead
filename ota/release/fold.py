"""Takes names out of sources that a chip would hold in memory for nothing: each costs a string, a row in a table and one in a dict.

Sources in, sources out; compiles nothing, and leaves every line where it is. `inline` writes the values of constants where their
names stood, as a C preprocessor does, also across modules (mpy-cross does it within one, and for names with an underscore only);
shake.py then drops their definitions. `shorten` renames what is private to a module, `self._attempts` to `self._c`, and parameters
that nobody passes by name, so that modules share a few names.

Relies on how the firmware is written: constants are upper-case, names are reached by no text (`getattr`, `globals`), and what
begins with one underscore is used in its module only. What looks otherwise is left as it is.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, product
from string import ascii_lowercase

from ota.release.source import parse, path_of

SMALL_INT = 1 << 30      # of MicroPython on 32 bits: larger ones are objects, better held once
SHORT = 10               # characters; longer strings are objects too (py/mpconfig.h, PARSE_INTERN_STRING_LEN)
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
_PRIVATE = re.compile(r"_[A-Za-z]\w*")
Value = int | str


@dataclass
class _Module:
    tree: ast.Module
    aliases: dict[str, tuple[str, str]] = field(default_factory=dict)   # name -> (module's path, name in it or "")
    constants: dict[str, ast.expr] = field(default_factory=dict)


def inline(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Replace the names of small constants by their values.

    Args:
        sources: {path in the bundle ending in .py: source}.

    Raises:
        SourceError: a source does not parse.
    """
    modules = {path: _Module(parse(path, source)) for path, source in sources.items()}
    for module in modules.values():
        module.aliases = dict(_aliases(module.tree, modules))
        module.constants = dict(_constants(module.tree))
    return {path: _inlined(path, source, modules) for path, source in sources.items()}


def shorten(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Rename the private names and the parameters of modules; those whose classes inherit from one another share their names.

    Raises:
        SourceError: a source does not parse.
    """
    trees = {path: parse(path, source) for path, source in sources.items()}
    foreign = {name for tree in trees.values() for name in _used_from_outside(tree)}
    keywords = {node.arg for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    found = dict(sources)
    for family in _families(trees):
        tokens = {token.string for path in family for token in _names(sources[path])}
        private = {name for path in family for name in _defined(trees[path]) if _PRIVATE.fullmatch(name)} - foreign
        fresh = (name for name in _short_names() if name not in tokens)
        new = {name: next(fresh) for name in sorted(private) if len(name) > len("_a")}
        for path in family:
            parameters = _parameters(trees[path]) - keywords - set(new)
            fresh = (name for name in _short_names() if name not in tokens and name not in new.values())
            found[path] = _renamed(sources[path], {**new, **{name: next(fresh) for name in sorted(parameters)}})
    return found


def _aliases(tree: ast.Module, modules: Mapping[str, object]) -> Iterator[tuple[str, tuple[str, str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            outer = path_of(node.module, modules)
            for each in node.names:
                inner = path_of(f"{node.module}.{each.name}", modules)
                if inner is not None:
                    yield each.asname or each.name, (inner, "")
                elif outer is not None:
                    yield each.asname or each.name, (outer, each.name)


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Upper-case names that are bound once, at the top of a module."""
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and _CONSTANT.fullmatch(target.id) and stored.count(target.id) == 1:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if value is not None:
                yield target.id, value


def _value(path: str, node: ast.expr, modules: Mapping[str, _Module]) -> Value | None:
    """What an expression is if it is a small constant, else None."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "const" and len(node.args) == 1:
        return _value(path, node.args[0], modules)
    if isinstance(node, ast.Name | ast.Attribute):
        return _meant(path, node, modules)
    if isinstance(node, ast.Constant):
        if type(node.value) is str:
            return node.value if len(node.value) <= SHORT else None
        return node.value if type(node.value) is int and abs(node.value) < SMALL_INT else None
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        parts = [_value(path, part, modules) for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        if all(type(part) is int for part in parts):
            plain = ast.copy_location(_with_parts(node, [ast.Constant(part) for part in parts]), node)
            result = eval(compile(ast.fix_missing_locations(ast.Expression(plain)), path, "eval"))  # noqa: S307  of numbers alone
            return result if type(result) is int and abs(result) < SMALL_INT else None
    return None


def _with_parts(node: ast.BinOp | ast.UnaryOp, parts: list[ast.Constant]) -> ast.expr:
    if isinstance(node, ast.UnaryOp):
        return ast.UnaryOp(node.op, parts[0])
    return ast.BinOp(parts[0], node.op, parts[1])


def _meant(path: str, node: ast.AST, modules: Mapping[str, _Module]) -> Value | None:
    """The constant that a name, or an attribute of one of our modules, stands for."""
    module = modules[path]
    if isinstance(node, ast.Name):
        if node.id in module.constants:
            return _value(path, module.constants[node.id], modules)
        target, name = module.aliases.get(node.id, ("", ""))
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        target, inner = module.aliases.get(node.value.id, ("", ""))
        name = "" if inner else node.attr
    else:
        return None
    if target and name in modules[target].constants:
        return _value(target, modules[target].constants[name], modules)
    return None


def _inlined(path: str, source: bytes, modules: Mapping[str, _Module]) -> bytes:
    tree = modules[path].tree
    hidden = _in_f_strings(tree)
    edits = []
    for outer in ast.walk(tree):
        for node in ast.iter_child_nodes(outer):
            if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load) or id(node) in hidden:
                continue
            value = _meant(path, node, modules)
            if value is not None and node.end_lineno == node.lineno:
                bare = isinstance(outer, ast.Attribute) or (isinstance(value, int) and value < 0)
                edits.append((node.lineno, node.col_offset, node.end_col_offset or 0, f"({value!r})" if bare else repr(value)))
    lines = source.split(b"\n")
    for number, start, end, text in sorted(edits, reverse=True):
        line = lines[number - 1]
        lines[number - 1] = line[:start] + text.encode() + line[end:]
    return b"\n".join(lines)


def _in_f_strings(tree: ast.AST) -> set[int]:
    """Nodes whose place in the text is not known."""
    return {id(node) for joined in ast.walk(tree) if isinstance(joined, ast.JoinedStr) for node in ast.walk(joined)}


def _used_from_outside(tree: ast.Module) -> Iterator[str]:
    """Names that must stay: of other objects, imported ones, and those inside f-strings."""
    hidden = _in_f_strings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
        if id(node) in hidden and isinstance(node, ast.Name | ast.Attribute):
            yield node.id if isinstance(node, ast.Name) else node.attr


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _parameters(tree: ast.Module) -> set[str]:
    """Names that are parameters, and elsewhere in the module local variables at most."""
    other: set[str] = set()
    found: set[str] = set()
    hidden = _in_f_strings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg != "self" and len(node.arg) > len("_a"):
            found.add(node.arg)
        elif isinstance(node, ast.Attribute):
            other.add(node.attr)
        elif isinstance(node, ast.alias):
            other.update((*node.name.split("."), node.asname or node.name))
        elif isinstance(node, ast.ImportFrom):
            other.update((node.module or "").split("."))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            other.add(node.name)
        elif isinstance(node, ast.Name) and id(node) in hidden:
            other.add(node.id)
    for node in tree.body:   # a module's own names
        other.update(part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
                     and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))
    return found - other


def _families(trees: Mapping[str, ast.Module]) -> list[list[str]]:
    """The paths, those together whose classes inherit from one another."""
    family = {path: {path} for path in trees}
    for path, tree in trees.items():
        aliases = dict(_aliases(tree, trees))
        for node in ast.walk(tree):
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                name = next((part.id for part in ast.walk(base) if isinstance(part, ast.Name)), "")
                if name in aliases and family[aliases[name][0]] is not family[path]:
                    joined = family[path] | family[aliases[name][0]]
                    family.update(dict.fromkeys(joined, joined))
    return [sorted(paths) for paths in {id(paths): paths for paths in family.values()}.values()]


def _short_names() -> Iterator[str]:
    for length in count(1):
        for letters in product(ascii_lowercase, repeat=length):
            yield "_" + "".join(letters)


def _names(source: bytes) -> Iterator[tokenize.TokenInfo]:
    return (token for token in tokenize.tokenize(io.BytesIO(source).readline) if token.type == tokenize.NAME)


def _renamed(source: bytes, new: Mapping[str, str]) -> bytes:
    lines = source.decode().split("\n")
    for token in sorted(_names(source), key=lambda token: token.start, reverse=True):
        if token.string in new:
            number, column = token.start
            line = lines[number - 1]
            lines[number - 1] = line[:column] + new[token.string] + line[column + len(token.string):]
    return "\n".join(lines).encode()
