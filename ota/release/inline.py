"""Writes functions that are called once where they are called, and makes bare classes without code: less for a chip to hold.

Small functions are for people; to a chip each is an object, a row in a dict, and a head of its own bytecode, some 60 bytes. Only
a call that is all of a statement is replaced (`f()`, `x = f()`, `return f()`, awaited or not), and only where the code can stand.

What holds memory for a while must not hold it for longer. So what imports something or has a `with` stays a function, and so does a
coroutine with variables of its own that another awaits; a function's own variables are let go of where a coroutine has called it.

Relies on what names.py relies on: methods are reached by their names, and the interpreter knows those that its image holds.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Set
from itertools import count

from ota.release.names import PROTOCOLS, interned_names
from ota.release.scopes import COMPREHENSION, FUNCTION, uses
from ota.release.source import Program

Function = ast.FunctionDef | ast.AsyncFunctionDef
Home = ast.Module | ast.ClassDef
_ITSELF_AND_ITS_CALL = 2
_STAYS = (ast.Import, ast.ImportFrom, ast.With, ast.AsyncWith, ast.AsyncFor, ast.Yield, ast.YieldFrom, ast.Lambda, ast.FunctionDef,
          ast.AsyncFunctionDef, ast.ClassDef, ast.Global, ast.Nonlocal, ast.NamedExpr)


def inline(program: Program, kept: Set[str], staying: Set[str]) -> None:
    """Write functions where they are called, in place. A function and its call must be in one module: run it after merge.

    Args:
        kept: names that code outside the program uses. staying: files that it is worth it in, since they stay in memory.
    """
    known = {*kept, *PROTOCOLS, *interned_names()}
    counts = Counter(name for tree in program.values() for node in ast.walk(tree) if (name := _name_of(node)))
    for path in sorted(staying & set(program)):
        tree = program[path]
        for home, function in list(_functions(tree)):
            name = function.name
            if counts[name] == _ITSELF_AND_ITS_CALL and name not in known and name[:2] != "__" and _is_plain(function):
                _move(tree, home, function)


def bare(program: Program) -> None:
    """Make classes that are nothing but a name by a call, in place: exceptions. Their names must be final."""
    for tree in program.values():
        for at, node in enumerate(tree.body):
            if isinstance(node, ast.ClassDef) and node.bases and not node.keywords and isinstance(node.body[0], ast.Pass):
                made = [ast.Constant(node.name), ast.Tuple(node.bases, ast.Load()), ast.Dict([], [])]
                tree.body[at] = ast.Assign([ast.Name(node.name, ast.Store())], ast.Call(ast.Name("type", ast.Load()), made, []))


def _name_of(node: ast.AST) -> str | None:
    return getattr(node, "name", None) or getattr(node, "attr", None) or getattr(node, "id", None)


def _functions(tree: ast.Module) -> Iterator[tuple[Home, Function]]:
    homes: list[Home] = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    return ((home, node) for home in homes for node in home.body if isinstance(node, Function))


def _is_plain(function: Function) -> bool:
    """Whether it may be moved at all."""
    arguments = function.args
    if function.decorator_list or arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
        return False
    inside = [node for statement in function.body for node in ast.walk(statement)]
    return not any(isinstance(node, _STAYS) or (isinstance(node, ast.ExceptHandler) and node.name) for node in inside)


def _move(tree: ast.Module, home: Home, function: Function) -> None:
    """Put a function's body in the place of its only call, if it fits there."""
    is_method = isinstance(home, ast.ClassDef)
    for place, caller in _functions(tree):
        if caller is function or (is_method and (place is not home or not caller.args.args)):
            continue
        myself = caller.args.args[0].arg if is_method else ""
        for block in _blocks(caller):
            for at, statement in enumerate(block):
                call = _call(statement, function, myself)
                if call is not None:
                    body = _fitted(function, caller, statement, call, myself)
                    if body is not None:
                        block[at:at + 1] = body
                        home.body.remove(function)
                        home.body = home.body or [ast.Pass()]
                    return


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements in a function, those of functions in it left out."""
    blocks = [block for key in ("body", "orelse", "finalbody") if isinstance(block := getattr(node, key, None), list)]
    inner = [statement for block in blocks for statement in block if not isinstance(statement, Function | ast.ClassDef)]
    yield from blocks
    for each in (*inner, *getattr(node, "handlers", ())):
        yield from _blocks(each)


def _call(statement: ast.stmt, function: Function, myself: str) -> ast.Call | None:
    """The call of a function that a statement consists of. myself: what the caller calls its object; "": it is no method."""
    if not isinstance(statement, ast.Expr | ast.Return | ast.Assign):
        return None
    call = statement.value
    if isinstance(function, ast.AsyncFunctionDef):
        call = call.value if isinstance(call, ast.Await) else None
    if not isinstance(call, ast.Call):
        return None
    target = call.func
    if myself:
        found = (isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == myself
                 and target.attr == function.name)
    else:
        found = isinstance(target, ast.Name) and target.id == function.name
    return call if found else None


def _fitted(function: Function, caller: Function, statement: ast.stmt, call: ast.Call, myself: str) -> list[ast.stmt] | None:
    """A function's body as it can stand in the place of a statement; None when it cannot."""
    last = function.body[-1]
    returns = [node for each in function.body for node in ast.walk(each) if isinstance(node, ast.Return)]
    parameters = [each.arg for each in function.args.args]
    given = [*([ast.Name(myself, ast.Load())] if myself else []), *call.args]
    if len(given) != len(parameters) or call.keywords or any(isinstance(each, ast.Starred) for each in given):
        return None
    if (isinstance(statement, ast.Expr) and returns) or (isinstance(statement, ast.Assign) and returns != [last]):
        return None
    new = _new_names(function, caller, dict(zip(parameters, given, strict=True)))
    own = [] if new is None else [name for name in new if name not in parameters or new[name] not in _plain_names(given)]
    if new is None or (own and isinstance(function, ast.AsyncFunctionDef)):
        return None
    before: list[ast.stmt] = [ast.Assign([ast.Name(new[name], ast.Store())], value)
                              for name, value in zip(parameters, given, strict=True) if name in own]
    for use in uses(ast.Module([function], [])):
        owner = use.scope.owner(use.name)
        if owner is not None and owner.kind == FUNCTION:
            use.rename(new[use.name])
    body = function.body
    if isinstance(statement, ast.Assign) and isinstance(last, ast.Return):
        body = [*body[:-1], ast.Assign(statement.targets, last.value or ast.Constant(None))]
    elif isinstance(statement, ast.Return) and not isinstance(last, ast.Return | ast.Raise):
        body = [*body, ast.Return(None)]
    after: list[ast.stmt] = []
    if own and isinstance(caller, ast.AsyncFunctionDef) and not isinstance(statement, ast.Return):
        after.append(ast.Assign([ast.Name(new[name], ast.Store()) for name in own], ast.Constant(None)))
    return [*before, *body, *after]


def _plain_names(values: list[ast.expr]) -> set[str]:
    return {each.id for each in values if isinstance(each, ast.Name)}


def _new_names(function: Function, caller: Function, given: dict[str, ast.expr]) -> dict[str, str] | None:
    """What a function's variables are called in its caller, by their names; None when a name would mean something else there.

    A parameter is called as the caller's variable that is passed for it, if neither changes it.
    """
    mine, theirs = uses(ast.Module([function], [])), uses(ast.Module([caller], []))
    owners = [(use, use.scope.owner(use.name)) for use in mine]
    local = {use.name for use, owner in owners if owner is not None and owner.kind == FUNCTION}
    outer = {use.name for use, owner in owners if owner is None}
    in_comprehensions = {use.name for use, owner in owners if owner is not None and owner.kind == COMPREHENSION}
    changed = {use.name for use in mine if use.binds and not isinstance(use.node, ast.arg)}
    callers = {use.name for use in theirs if (owner := use.scope.owner(use.name)) is not None and owner.kind == FUNCTION}
    if outer & callers:
        return None
    new = {name: value.id for name, value in given.items() if isinstance(value, ast.Name) and value.id in callers
           and name not in changed and value.id not in in_comprehensions}
    taken = {use.name for use in theirs}
    for name in sorted(local - set(new)):
        free = (each for i in count(2) if (each := f"{name}_{i}") not in taken | local | outer)
        new[name] = name if name not in taken else next(free)
        taken.add(new[name])
    return new
