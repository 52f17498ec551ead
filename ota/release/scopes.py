"""Which name means what: Python's scopes, as far as the firmware's language goes (no match statement, no star import).

Decides for each identifier in a tree whether it is a module's, a class's or a function's, and lets a caller rename it there.
"""

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MODULE, CLASS, FUNCTION, COMPREHENSION = "module", "class", "function", "comprehension"
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(eq=False)
class Scope:
    """Names that live together.

    Attributes:
        kind: MODULE, CLASS, FUNCTION (a lambda too) or COMPREHENSION.
        bound: names that something in it binds.
        parameters: those of them that a caller may pass by name.
        functions: those that are functions inside this function.
    """

    kind: str
    outer: "Scope | None"
    bound: set[str] = field(default_factory=set)
    parameters: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    declared: dict[str, str] = field(default_factory=dict)   # name -> MODULE or FUNCTION, by `global` and `nonlocal`

    def owner(self, name: str) -> "Scope | None":
        """Where a name that is used here lives; None: it is a builtin."""
        if self.declared.get(name) == MODULE:
            return self.module
        if name in self.bound and name not in self.declared:
            return self
        scope = self.outer
        while scope is not None and (scope.kind == CLASS or name not in scope.bound or name in scope.declared):
            if scope.declared.get(name) == MODULE:
                return self.module
            scope = scope.outer
        return scope

    @property
    def module(self) -> "Scope":
        """The scope of the module that this one is in."""
        return self if self.outer is None else self.outer.module


@dataclass(frozen=True)
class Use:
    """One identifier in a tree: its scope, and how to write another in its place."""

    scope: Scope
    name: str
    node: ast.AST
    binds: bool
    rename: Callable[[str], None]


def uses(tree: ast.Module) -> list[Use]:
    """Every identifier of a module that is a name, not an attribute; a scope knows all that it binds."""
    walker = _Walker()
    walker.block(tree.body, Scope(MODULE, None))
    for scope, name in walker.globals:
        scope.module.bound.add(name)
    return walker.found


class _Walker:
    def __init__(self) -> None:
        self.found: list[Use] = []
        self.globals: list[tuple[Scope, str]] = []

    def block(self, nodes: Iterable[ast.AST | None], scope: Scope) -> None:
        for node in nodes:
            if node is not None:
                self.node(node, scope)

    def node(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._see(scope, node, "name", binds=True)
            self.block(node.decorator_list, scope)
            if scope.kind == FUNCTION and node.name not in scope.functions and not isinstance(node, ast.ClassDef):
                scope.functions.append(node.name)
        if isinstance(node, Definition):
            self._function(node, scope)
        elif isinstance(node, ast.ClassDef):
            self.block([*node.bases, *node.keywords], scope)
            self.block(node.body, Scope(CLASS, scope))
        elif isinstance(node, Comprehension):
            self._comprehension(node, scope)
        elif isinstance(node, ast.NamedExpr):
            self.node(node.value, scope)
            self._see(_outside(scope), node.target, "id", binds=True)
        elif isinstance(node, ast.Name):
            self._see(scope, node, "id", binds=not isinstance(node.ctx, ast.Load))
        elif isinstance(node, ast.Global | ast.Nonlocal):
            self._declaration(node, scope)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for each in node.names:
                self._imported(each, scope)
        else:
            if isinstance(node, ast.ExceptHandler) and node.name is not None:
                self._see(scope, node, "name", binds=True)
            self.block(ast.iter_child_nodes(node), scope)

    def _function(self, node: Definition, scope: Scope) -> None:
        arguments = node.args
        self.block([*arguments.defaults, *arguments.kw_defaults], scope)
        inner = Scope(FUNCTION, scope)
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            inner.parameters.append(each.arg)
        for one in (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg):
            if one is not None:
                self._see(inner, one, "arg", binds=True)
        self.block([node.body] if isinstance(node, ast.Lambda) else node.body, inner)

    def _comprehension(self, node: Comprehension, scope: Scope) -> None:
        first, *others = node.generators
        self.node(first.iter, scope)
        inner = Scope(COMPREHENSION, scope)
        self.block([first.target, *first.ifs, *others], inner)
        self.block([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt], inner)

    def _declaration(self, node: ast.Global | ast.Nonlocal, scope: Scope) -> None:
        for number, name in enumerate(node.names):
            scope.declared[name] = MODULE if isinstance(node, ast.Global) else FUNCTION
            if isinstance(node, ast.Global):
                self.globals.append((scope, name))

            def rename(new: str, number: int = number) -> None:
                node.names[number] = new

            self.found.append(Use(scope, name, node, False, rename))

    def _imported(self, each: ast.alias, scope: Scope) -> None:
        name = each.asname or each.name.split(".")[0]
        scope.bound.add(name)

        def rename(new: str) -> None:
            each.asname = new

        self.found.append(Use(scope, name, each, True, rename))

    def _see(self, scope: Scope, node: ast.AST, key: str, *, binds: bool) -> None:
        name = getattr(node, key)
        if binds:
            scope.bound.add(name)
        self.found.append(Use(scope, name, node, binds, lambda new: setattr(node, key, new)))


def _outside(scope: Scope) -> Scope:
    """Where `:=` binds."""
    return _outside(scope.outer) if scope.kind == COMPREHENSION and scope.outer is not None else scope
