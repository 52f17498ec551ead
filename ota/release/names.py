"""Renames what is ours to names that every interpreter holds in its image anyway, as minifiers rename to short ones.

A name that the image does not hold costs a chip a string, a row of 7 bytes in a table that doubles when it is full, and is never
freed: 950 of them took 17 KB of 112. Which names images hold is data (interned.txt); on one that lacks some of them those
cost what they did before, and nothing else changes.

Renames alike in the whole program: a name means one new name, which nothing else in it bears. Parameters that nobody passes by
name are called alike in every function, and so are functions inside it, whose names a chip holds too. Left as they are: names
that the interpreter or the boot stub may know (all that are in interned.txt, that boot code shares, that belong to modules of
others), and exceptions, whose names devices report.

Relies on how the firmware is written: names are reached by no text (`getattr` of a variable, `globals`).
"""

import ast
import builtins
import keyword
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from hashlib import sha256
from itertools import count, product
from pathlib import Path
from string import ascii_lowercase

from ota.release.merge import TAKEN
from ota.release.scopes import CLASS, MODULE, Scope, Use, uses
from ota.release.source import Program, path_of

INTERNED = Path(__file__).with_name("interned.txt")
STEP = 8          # shared names of a class or module are chosen from a multiple of this many
BY_NAME = ("getattr", "hasattr", "setattr", "delattr")   # look for what a text names
PARAMETERS = 12   # names kept for parameters; a function with more shows its own
# looked for on objects by the interpreter itself, or in sources by its compiler
PROTOCOLS = {"chdir", "close", "const", "count", "deinit", "getcwd", "ilistdir", "ioctl", "irq", "keys", "micropython", "mkdir",
             "mount", "open", "pend_throw", "read", "readblocks", "readinto", "readline", "remove", "rename", "rmdir", "send",
             "stat", "statvfs", "throw", "umount", "value", "write", "writeblocks"}
_EXCEPTIONS = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}


def borrow(program: Program, kept: Set[str], last: Set[str] = frozenset(),
           last_attributes: Set[str] = frozenset()) -> None:
    """Rename a program's names, in place.

    Args:
        program: one that nothing is left out of any more.
        kept: names that code outside it uses, too.
        last: names that only some devices ever load: they go without when there are not enough. last_attributes: of what is not
            ours, and looked up on objects only: such a name may be lent to something else.
    """
    interned = interned_names()
    found = {path: uses(tree) for path, tree in program.items()}
    named = {node.arg for tree in program.values() for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    gatherers = _gatherers(program)
    theirs = {*interned, *kept, *(name for tree in program.values() for name in _theirs(tree, program)),
              *(name for tree in program.values() for name in _data(tree, gatherers))}
    ours = {name for path, tree in program.items() for name in _ours(tree, found[path], named) if _may(name, theirs)}
    everything = (kept | mentioned(program)) - last_attributes
    free = [name for name in interned if name not in everything | PROTOCOLS and is_name(name) and not hasattr(builtins, name)]
    free.sort(key=lambda name: (len(name), name))
    fresh = _short_names(everything)
    parameters = [*free[:PARAMETERS], *(next(fresh) for _ in range(PARAMETERS - len(free)))]
    new = _shared(program, ours, interned, set(free[PARAMETERS:]), fresh)
    rest = ours - set(new)
    new |= _given([*sorted(rest - last), *sorted(rest & last)], interned, set(free[PARAMETERS:]) - set(new.values()), fresh)
    for path, tree in program.items():
        _rename(tree, found[path], new, named, parameters, program)


def shelve(program: Program, kept: Set[str]) -> Program:
    """The program with its files called by names that the interpreter holds: of two words and more, as no module of its has.

    Args:
        kept: files that are called as somebody outside expects, and those in folders.
    """
    interned = [name for name in interned_names()
                if is_name(name) and name.islower() and "_" in name.strip("_") and name[0] != "_"]
    moved = sorted(path for path in program if path not in kept and "/" not in path)
    stems = {path.removesuffix(".py") for path in program}
    free = set(interned) - TAKEN - stems
    given = _given([path.removesuffix(".py") for path in moved[:len(free)]], interned, free, iter(()))   # the rest stay as they are
    for tree in program.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                node.module = given.get(node.module or "", node.module)
            elif isinstance(node, ast.Import):
                for each in node.names:
                    if each.name in given:
                        each.asname = each.asname or each.name
                        each.name = given[each.name]
    return {given.get(path.removesuffix(".py"), path.removesuffix(".py")) + ".py": tree for path, tree in program.items()}


def interned_names() -> list[str]:
    """What the interpreter's image holds as names."""
    return INTERNED.read_text(encoding="utf-8").split()


def is_name(text: str) -> bool:
    """Whether a text can stand where an identifier does."""
    return text.isidentifier() and not keyword.iskeyword(text)


def _shared(program: Program, ours: set[str], interned: list[str], free: set[str], fresh: Iterator[str]) -> dict[str, str]:
    """New names for what only one class's objects have, or one module's top level: other classes and modules use them again."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, homes in _homes(program).items():
        if name in ours and len(homes) == 1 and (home := next(iter(homes)))[0]:
            groups[home].append(name)
    found: dict[str, str] = {}
    for kind in (CLASS, MODULE):   # apart: the body of a class sees both
        of_kind = {home: sorted(names) for home, names in groups.items() if home[0] == kind}
        most = max(map(_whole, of_kind.values()), default=0)
        pool = list(_given([f"{kind} {i}" for i in range(most)], interned, free - set(found.values()), fresh).values())
        for names in of_kind.values():   # each from the beginning of the pool, so that few are used in all
            found |= _given(names, pool[:_whole(names)], set(pool[:_whole(names)]), fresh)
    return found


def _whole(names: list[str]) -> int:
    """How many to choose from: some more than are needed, so that one more name does not change the others'."""
    return -(-len(names) * 9 // (8 * STEP)) * STEP


def _homes(program: Program) -> dict[str, set[tuple[str, str]]]:
    """Where each identifier occurs: (CLASS, its family), (MODULE, a path), or ("", "") where anything may be meant."""
    homes: dict[str, set[tuple[str, str]]] = defaultdict(set)
    families = _families(program)
    for path, tree in program.items():
        for statement in tree.body:
            family = (CLASS, families[statement.name]) if isinstance(statement, ast.ClassDef) else ("", "")
            members = {id(node) for node in getattr(statement, "body", ())} if family[0] else set()
            for node in ast.walk(statement):
                if isinstance(node, ast.Attribute):
                    homes[node.attr].add(family)
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and id(node) in members:
                    homes[node.name].add(family)
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    homes[node.name].add((MODULE, path))
                elif isinstance(node, ast.Name):
                    homes[node.id].add((MODULE, path))
                elif isinstance(node, ast.arg | ast.keyword) and node.arg:
                    homes[node.arg].add(("", ""))
                elif isinstance(node, ast.Global | ast.Nonlocal):
                    for name in node.names:
                        homes[name].add((MODULE, path))
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    for each in node.names:
                        homes[each.name].add(("", ""))
                        homes[each.asname or each.name].add(("", ""))
    return homes


def _families(program: Program) -> dict[str, str]:
    """The class that stands for all that inherit from one another, by each one's name."""
    found: dict[str, str] = {}
    for tree in program.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, node.name)
                for base in node.bases:
                    old, new = found[node.name], found.setdefault(_last(base), _last(base))
                    found = {name: new if root == old else root for name, root in found.items()}
    return found


def _given(names: list[str], interned: list[str], free: set[str], fresh: Iterator[str]) -> dict[str, str]:
    """A new name for each: by its hash, so that most keep theirs when the sources change, and releases differ little."""
    found = {}
    for name in names:
        at = int.from_bytes(sha256(name.encode()).digest()[:4], "big") % len(interned)
        found[name] = next((new for new in (*interned[at:], *interned[:at]) if new in free), "") or next(fresh)
        free.discard(found[name])
    return found


def _may(name: str, theirs: set[str]) -> bool:
    return name not in theirs and not (name.startswith("__") and name.endswith("__"))


def _ours(tree: ast.Module, found: list[Use], named: set[str]) -> Iterator[str]:
    """Names that a module defines and that a chip would hold."""
    for use in found:
        owner = use.scope.owner(use.name)
        if owner is not None and (owner.kind in (MODULE, CLASS) or (use.name in owner.parameters and use.name in named)):
            yield use.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.attr


def _theirs(tree: ast.Module, program: Program) -> Iterator[str]:
    """Names in a module that others made, or that are data."""
    modules = set()
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Import):
            for each in statement.names:
                yield from each.name.split(".")
                if path_of(each.name, program) is None:
                    modules.add(each.asname or each.name)
        elif isinstance(statement, ast.ImportFrom):
            yield from (statement.module or "").split(".")
            if path_of(statement.module or "", program) is None:
                yield from (each.name for each in statement.names)
    exceptions = set(_EXCEPTIONS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield node.attr
        elif isinstance(node, ast.ClassDef) and any(_last(base) in exceptions or _last(base).endswith(("Error", "Exception"))
                                                    for base in node.bases):
            exceptions.add(node.name)
            yield node.name


def _gatherers(program: Program) -> set[str]:
    """Functions, and classes made by such ones, that gather arguments by their names."""
    found = {"dict", "format", "update"}
    for tree in program.values():
        for node in ast.walk(tree):
            for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.args.kwarg is not None:
                    found.add(node.name if isinstance(node, ast.ClassDef) else inner.name)
    return found


def _data(tree: ast.Module, gatherers: set[str]) -> Iterator[str]:
    """Arguments' names that become keys, and names in texts."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _last(call.func) in gatherers:
            yield from (each.arg for each in call.keywords if each.arg)
        elif isinstance(call, ast.Call) and _last(call.func) in BY_NAME:
            yield from (each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str))


def _last(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def mentioned(program: Program) -> set[str]:
    """Every identifier in a program."""
    return {name for tree in program.values() for name in (*(use.name for use in uses(tree)), *_outer(tree))}


def attributes(program: Program) -> set[str]:
    """Identifiers in a program that are looked up on objects, or passed by name, and nothing else."""
    found = {node.attr if isinstance(node, ast.Attribute) else node.arg or "" for tree in program.values()
             for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.keyword)}
    return found - {use.name for tree in program.values() for use in uses(tree)}


def public(program: Program) -> set[str]:
    """Names in a program that another one may share with it: no local variables, and nothing that begins with an underscore."""
    found = {name for tree in program.values() for name in (*(use.name for use in uses(tree) if _is_public(use)), *_outer(tree))}
    return {name for name in found if not name.startswith("_")}


def _is_public(use: Use) -> bool:
    owner = use.scope.owner(use.name)
    return owner is None or owner.kind in (MODULE, CLASS) or use.name in owner.parameters


def _outer(tree: ast.Module) -> Iterator[str]:
    """Identifiers that are no names: attributes, keywords, what is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (part for each in node.names for part in each.name.split("."))
            if isinstance(node, ast.ImportFrom):
                yield from (node.module or "").split(".")


def _rename(tree: ast.Module, found: list[Use], new: Mapping[str, str], named: set[str], parameters: list[str],
            program: Program) -> None:
    places: dict[Scope, dict[str, str]] = {}
    ours = {each for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and path_of(node.module or "", program) is not None
            for each in node.names}
    for use in found:
        owner = use.scope.owner(use.name)
        if owner is None:
            continue
        if isinstance(use.node, ast.alias):
            _rename_import(use.node, new if use.node in ours else {}, new if owner.kind == MODULE else {})
        elif owner.kind in (MODULE, CLASS) or (use.name in owner.parameters and use.name in named):
            use.rename(new.get(use.name, use.name))
        elif use.name in owner.parameters or use.name in owner.functions:
            if owner not in places:
                places[owner] = _by_place(owner, parameters, named)
            use.rename(places[owner].get(use.name, use.name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            node.attr = new.get(node.attr, node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            node.arg = new.get(node.arg, node.arg)


def _rename_import(each: ast.alias, names: Mapping[str, str], bounds: Mapping[str, str]) -> None:
    bound = each.asname or each.name
    bound = bounds.get(bound, bound)
    each.name = names.get(each.name, each.name)
    each.asname = None if bound == each.name else bound


def _by_place(scope: Scope, parameters: list[str], named: set[str]) -> dict[str, str]:
    """The new names of a function's parameters and of the functions in it: by their number, after those of functions around it."""
    before, outer = 0, scope.outer
    while outer is not None:
        before += len(outer.parameters) + len(outer.functions)
        outer = outer.outer
    passed = [name for name in scope.parameters if name not in named]
    inner = [name for name in scope.functions if name not in scope.parameters]
    return dict(zip([*passed, *inner], parameters[before:], strict=False))


def _short_names(taken: Set[str]) -> Iterator[str]:
    """_a, _b ... for when the interpreter has no more."""
    names = ("_" + "".join(letters) for length in count(1) for letters in product(ascii_lowercase, repeat=length))
    return (name for name in names if name not in taken)
