"""Joins modules that are always in memory together: each costs a chip an object, a dict, and the names of all that it imports.

What is imported at the top of device.py, and there at the top of what is imported, becomes one module, and so does what each
board that it chooses from imports. What else is imported inside a function or under a condition is loaded by itself, together
with what nobody else loads (node.loading unloads it again). What two of those need stays apart. A module that is passed around
as a value, or whose variables are set from outside, stays a module with the names that it has.

Relies on what shake.py relies on, and on top-level names not being bound anew by others than their module.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import PurePosixPath

from ota.release.scopes import CLASS, MODULE, Scope, Use, uses
from ota.release.source import Place, Program, SourceError, imports, meant

# of MicroPython and of the device itself: a module of ours by such a name would hide it, or be hidden
TAKEN = {*sys.stdlib_module_names, "aioespnow", "apa106", "bluetooth", "boot", "btree", "choose", "cryptolib", "deflate", "dht",
         "ds18x20", "esp", "esp32", "espnow", "flashbdev", "framebuf", "inisetup", "lwip", "machine", "micropython", "mip",
         "neopixel", "network", "ntptime", "onewire", "requests", "stub", "tls", "uasyncio", "uctypes", "umqtt", "upysh",
         "urequests", "ussl", "vfs", "webrepl", "webrepl_setup", "websocket"}
Foreign = tuple[str, str, str]   # module, name in it or "", name that it is bound to


@dataclass
class _Module:
    path: str
    tree: ast.Module
    uses: list[Use]
    deps: list[str] = field(default_factory=list)                          # our modules that its import loads, in that order
    own: set[str] = field(default_factory=set)                             # names that its top level binds, imports left out
    places: dict[ast.alias, Place] = field(default_factory=dict)           # what of ours an import binds
    bindings: dict[tuple[Scope, str], Place] = field(default_factory=dict)       # ... by name; of one bound twice, its last
    foreign: dict[str, Foreign] = field(default_factory=dict)              # what imports of others' bind at its top


class _Names:
    """Names that are used once in the whole program."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def fresh(self, name: str) -> str:
        new = next(each for number in count(1) if (each := f"{name}_{number}" if number > 1 else name) not in self._taken)
        self._taken.add(new)
        return new


def merge(program: Program, roots: Collection[Place], resident: str) -> Program:
    """Join a program's modules.

    Args:
        program: from shake; its trees are changed.
        roots: as for shake.
        resident: path of the module that stays in memory with all that it needs; the first root when there is none such.

    Raises:
        SourceError: a module imports itself through others, passes on what is not ours, or has names that mean two things.
    """
    modules = {path: _module(path, tree, program) for path, tree in program.items()
               if tree.body or not path.endswith("__init__.py")}
    return _Merger(modules, roots, resident if resident in modules else next(iter(roots))[0]).merged()


def _module(path: str, tree: ast.Module, program: Program) -> _Module:
    found = _Module(path, tree, uses(tree))
    always = list(imports(tree))
    found.places = {each: place for statement in ast.walk(tree) if isinstance(statement, ast.Import | ast.ImportFrom)
                    for each in statement.names if (place := meant(statement, each, program))}
    for use in found.uses:
        if isinstance(use.node, ast.alias) and use.node in found.places:
            found.bindings[use.scope, use.name] = found.places[use.node]
    for statement in always:
        for each in statement.names:
            if each not in found.places:
                name = each.asname or each.name.split(".")[0]
                found.foreign[name] = ("" if isinstance(statement, ast.Import) else statement.module or "", each.name, name)
    found.deps = [found.places[each][0] for statement in always for each in statement.names if each in found.places]
    top = {id(each) for statement in always for each in statement.names}
    found.own = {use.name for use in found.uses if use.scope.kind == MODULE and use.binds and id(use.node) not in top}
    found.own |= {use.name for use in found.uses if isinstance(use.node, ast.Global)}
    for use in found.uses:
        if use.scope.kind == CLASS and not use.binds and use.name in use.scope.bound and use.name in use.scope.module.bound:
            raise SourceError(f"{path}: a class and its module both bind {use.name}, and nobody can say which the class reads")
    return found


class _Merger:
    def __init__(self, modules: dict[str, _Module], roots: Collection[Place], resident: str) -> None:
        self._modules = modules
        self._roots = [(path, name) for path, name in roots if path in modules]
        self._resident = resident
        self._by_name = set(self._values())   # reached by attributes that nobody can follow
        self._chunk = self._chunks()          # path -> path of the module that it becomes part of
        local = {use.name for module in modules.values() for use in module.uses if use.binds and use.scope.kind != MODULE}
        builtin = {use.name for module in modules.values() for use in module.uses if use.scope.owner(use.name) is None}
        fixed = {place: place[1] for place in self._fixed()}
        taken = {*local, *builtin, *fixed.values()}
        self._foreign = self._foreign_names(taken)
        self._names = _Names(taken.union(*(names.values() for names in self._foreign.values())))
        self._new = fixed | {(path, name): self._names.fresh(name) for path, module in sorted(modules.items())
                             for name in sorted(module.own) if (path, name) not in fixed}
        self._file = self._files()

    def merged(self) -> Program:
        parts = defaultdict(list)
        wanted: dict[str, set[Place]] = {path: set() for path in self._file}
        for path in self._ordered():
            chunk = self._chunk[path]
            parts[chunk].append(path)
            wanted[chunk] |= self._rewrite(self._modules[path])
        found = {}
        for chunk, paths in parts.items():
            head = [*self._foreign_imports(chunk), *self._own_imports(chunk, wanted[chunk])]
            body = [node for path in paths for node in self._modules[path].tree.body]
            found[self._file[chunk]] = ast.Module([*head, *body], [])
        return dict(sorted(found.items()))

    # Which module becomes part of which

    def _values(self) -> Iterator[str]:
        """Modules that somebody has as a value, sets a variable of, or reads a changing one of."""
        for module in self._modules.values():
            read = {id(node.value): node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
            for use in module.uses:
                place = self._place(module, use)
                if place is None or place[1] or isinstance(use.node, ast.alias):
                    continue
                outer = read.get(id(use.node))
                changing = {each.name for each in self._modules[place[0]].uses if isinstance(each.node, ast.Global)}
                if outer is None or not isinstance(outer.ctx, ast.Load) or outer.attr in changing:
                    yield place[0]

    def _chunks(self) -> dict[str, str]:
        apart = {self._resident, *(path for path, _ in self._roots), *self._by_name} & set(self._modules)
        resident = self._reached(self._resident, apart)
        self._modules[self._resident].deps += sorted(self._common(resident, apart))
        resident = self._reached(self._resident, apart)
        for module in self._modules.values():
            lazy = {path for path, _ in module.places.values()} - set(module.deps)
            apart |= lazy & set(self._modules) - resident
        earlier = (self._reached(self._resident, set()) & apart) - {self._resident}   # loaded before the resident module is whole
        while True:
            owners = defaultdict(set)
            for root in apart:
                for path in self._reached(root, apart):
                    owners[path].add(root)
            first = {path: found & earlier or found & {self._resident} or found for path, found in owners.items()}
            shared = {path for path, found in first.items() if len(found) > 1}
            if not shared:
                return {path: next(iter(found)) for path, found in first.items()}
            apart |= shared
            earlier |= {path for path in shared if first[path] & earlier}

    def _common(self, resident: set[str], apart: set[str]) -> set[str]:
        """What every branch loads, where the resident modules choose between some."""
        branches = [path for each in resident for statement in self._modules[each].tree.body if isinstance(statement, ast.If)
                    for node in ast.walk(statement) if isinstance(node, ast.ImportFrom)
                    for path in {self._modules[each].places[name][0] for name in node.names if name in self._modules[each].places}]
        reached = [self._reached(path, apart) for path in branches]
        return set.intersection(*reached) if reached else set()

    def _reached(self, root: str, apart: set[str]) -> set[str]:
        """What loading a root loads, without what is apart from it."""
        found, queue = {root}, [root]
        while queue:
            for path in self._modules[queue.pop()].deps:
                if path in self._modules and path not in found and path not in apart:
                    found.add(path)
                    queue.append(path)
        return found

    def _ordered(self) -> list[str]:
        """Paths, each after all that it needs when it is loaded."""
        done: list[str] = []
        open_: list[str] = []

        def visit(path: str) -> None:
            if path in open_:
                raise SourceError(f"{path}: imports itself, through " + ", ".join(open_[open_.index(path) + 1:]))
            if path not in done:
                open_.append(path)
                for dep in self._modules[path].deps:
                    if dep in self._modules:
                        visit(dep)
                open_.pop()
                done.append(path)

        for path in sorted(self._modules):
            visit(path)
        return done

    def _files(self) -> dict[str, str]:
        """A file for each module that is left: its own last name if nobody else has it."""
        taken = _Names({*TAKEN, *(PurePosixPath(path).parts[0].removesuffix(".py") for path, _ in self._roots)})
        found = {path: path for path, _ in self._roots}
        for path in sorted(set(self._chunk.values()) - set(found)):
            found[path] = taken.fresh(PurePosixPath(path.removesuffix("/__init__.py")).stem) + ".py"
        return found

    # What their names become

    def _fixed(self) -> Iterator[Place]:
        """Names that somebody outside knows."""
        for path in self._by_name:
            yield from ((path, name) for name in self._modules[path].own)
        for path, name in self._roots:
            yield from ((path, each) for each in self._modules[path].own if name in ("*", each))

    def _foreign_names(self, taken: set[str]) -> dict[str, dict[Foreign, str]]:
        """By module that is left: what each import of others' is bound to, as before where two do not want the same."""
        found: dict[str, dict[Foreign, str]] = defaultdict(dict)
        for path in sorted(self._chunk, key=lambda path: (self._chunk[path] != path, path)):   # one that keeps its names first
            names = found[self._chunk[path]]
            for key in sorted(self._modules[path].foreign.values()):
                names.setdefault(key, _Names({*taken, *names.values()}).fresh(key[2]) if key[2] in names.values() else key[2])
        return found

    def _place(self, module: _Module, use: Use) -> Place | None:
        """What of ours a name stands for."""
        owner = use.scope.owner(use.name)
        return None if owner is None else module.bindings.get((owner, use.name))

    def _origin(self, place: Place) -> Place:
        """Where a name was made: it may have been passed on."""
        path, name = place
        module = self._modules.get(path)
        if not name or (module is not None and name in module.own):
            return place
        bindings = {} if module is None else module.bindings
        onward = next((each for (scope, bound), each in bindings.items() if bound == name and scope.kind == MODULE), None)
        if onward is None:
            raise SourceError(f"{path}: has no name {name} of its own")
        return self._origin(onward)

    def _rewrite(self, module: _Module) -> set[Place]:
        """Rename what a module uses; gives what it needs from other modules when it is loaded."""
        chunk = self._chunk[module.path]
        wanted = set()
        references: dict[int, Place] = {}   # Name nodes that stand for a module of ours
        local: dict[tuple[Scope, str], set[str]] = defaultdict(set)   # attributes used of a module that a function imports
        attributes = {id(node.value): node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
        top = {id(each) for statement in imports(module.tree) for each in statement.names}
        for use in module.uses:
            owner = use.scope.owner(use.name)
            place = self._place(module, use)
            if owner is None or id(use.node) in top or (place is not None and isinstance(use.node, ast.alias)):
                continue
            is_top = owner.kind == MODULE and use.name not in module.own
            if place is not None and not place[1] and place[0] not in self._by_name:
                references[id(use.node)] = place
                made = self._origin((place[0], attributes[id(use.node)]))
                if is_top:
                    wanted.add(made)
                else:
                    local[owner, use.name].add(made[1])
            elif place is not None and is_top:
                made = self._origin(place)
                wanted.add(made)
                use.rename(self._name(made))
            elif owner.kind == MODULE and use.name in module.own:
                use.rename(self._new[module.path, use.name])
            elif owner.kind == MODULE and use.name in module.foreign:
                use.rename(self._foreign[chunk][module.foreign[use.name]])
        scopes = {id(use.node): use.scope for use in module.uses if isinstance(use.node, ast.alias)}
        always = set(imports(module.tree))
        module.tree.body = [node for node in module.tree.body if node not in always]
        _Rewriter(self, module, references, scopes, local).visit(module.tree)
        return {place for place in wanted if self._chunk[place[0]] != chunk}

    def _name(self, place: Place) -> str:
        """A name of ours, or the one that a module is bound to."""
        if place[1]:
            return self._new[place]
        if place not in self._new:
            self._new[place] = self._names.fresh(PurePosixPath(place[0]).stem)
        return self._new[place]

    def _foreign_imports(self, chunk: str) -> Iterator[ast.stmt]:
        for (source, name, _), bound in sorted(self._foreign[chunk].items()):
            alias = ast.alias(name, None if bound == name else bound)
            yield ast.ImportFrom(source, [alias], 0) if source else ast.Import([alias])

    def _own_imports(self, chunk: str, wanted: set[Place]) -> Iterator[ast.stmt]:
        for place in sorted(wanted):
            yield self.imported(place, self._name(place))

    # For _Rewriter

    def imported(self, place: Place, bound: str) -> ast.stmt:
        """The statement that binds a thing of ours to a name."""
        file = self._file[self._chunk[place[0]]]
        dotted = file.removesuffix(".py").replace("/", ".")
        name = self._new[place] if place[1] else dotted
        alias = ast.alias(name, None if bound == name else bound)
        return ast.ImportFrom(dotted, [alias], 0) if place[1] else ast.Import([alias])

    def bound_locally(self, module: _Module, scope: Scope, each: ast.alias, names: set[str]) -> Iterator[ast.stmt]:
        """What an import inside a function, or under a condition, becomes."""
        bound = each.asname or each.name.split(".")[0]
        place = self._origin(module.places[each])
        if scope.kind == MODULE:
            bound = self._new[module.path, bound]
        if place[1] or place[0] in self._by_name:
            yield self.imported(place, bound)
        elif place[0] in self._modules and self._chunk[place[0]] != self._chunk[module.path]:
            for name in sorted(names):
                made = self._origin((place[0], name))
                yield self.imported(made, self._new[made])

    def renamed(self, place: Place, attribute: str) -> str:
        """What an attribute of one of our modules is called now."""
        return self._new[self._origin((place[0], attribute))]


class _Rewriter(ast.NodeTransformer):
    """Replaces attributes of our modules by names, and imports of ours that are not at the top."""

    def __init__(self, merger: _Merger, module: _Module, references: dict[int, Place], scopes: dict[int, Scope],
                 local: dict[tuple[Scope, str], set[str]]) -> None:
        self._merger, self._module, self._references, self._scopes, self._local = merger, module, references, scopes, local

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        place = self._references.get(id(node.value))
        if place is not None:
            return ast.Name(self._merger.renamed(place, node.attr), node.ctx)
        self.generic_visit(node)
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        return self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        return self._import(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for each in node.names:
            scope = self._scopes[id(each)]
            bound = each.asname or each.name.split(".")[0]
            if each in self._module.places:
                found.extend(self._merger.bound_locally(self._module, scope, each, self._local[scope, bound]))
            elif isinstance(node, ast.Import):
                found.append(ast.Import([each]))
            else:
                found.append(ast.ImportFrom(node.module, [each], node.level))
        return found or [ast.Pass()]
