"""What of our own files a manifest freezes, under which names: a stand-in for MicroPython's tools/manifestfile.py.

No maintained package carries that tool, so this reads the few calls that our manifests make and refuses every other: a call,
argument or variable that it does not know is an error, never skipped. What lies in MicroPython's own tree is told, not looked for.
Executes nothing.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

OWN = "$(BOARD_DIR)/"
THEIRS = ("$(PORT_DIR)/", "$(MPY_DIR)/")
OPTIMISED = (0, 1, 2, 3)   # mpy-cross -O


class ManifestError(Exception):
    """The manifest says something that this reader does not know; names the line."""


@dataclass(slots=True)
class Frozen:
    """What a manifest freezes.

    Attributes:
        modules: name under .frozen -> (path in the definition's folder, opt). theirs: paths and packages of MicroPython's own.
    """

    modules: dict[str, tuple[str, int]] = field(default_factory=dict)
    theirs: list[str] = field(default_factory=list)


def read(text: str, files: Iterable[str]) -> Frozen:
    """What the manifest freezes.

    Args:
        files: every path in the definition's folder.

    Raises:
        ManifestError: it is no manifest of our form, names a folder that holds no module, or one module twice.
    """
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise ManifestError(f"manifest.py:{error.lineno}: {error.msg}") from None
    found, files = Frozen(), sorted(files)
    for statement in statements:
        where = f"manifest.py:{statement.lineno}"
        name, values, named = _call(statement, where)
        if name in ("freeze", "include") and len(values) == 1 and not named and str(values[0]).startswith(THEIRS):
            found.theirs.append(str(values[0]))
        elif name == "require" and len(values) == 1 and not named:
            found.theirs.append(f"micropython-lib: {values[0]}")
        elif name == "package" and len(values) == 1 and set(named) == {"base_path", "opt"}:
            opt = _level(named["opt"], where)
            for module, place in _package(str(values[0]), str(named["base_path"]), files, where):
                if module in found.modules:
                    raise ManifestError(f"{where}: {module} is frozen twice")
                found.modules[module] = place, opt
        else:
            raise ManifestError(f"{where}: got {ast.unparse(statement)}, expected freeze('{THEIRS[0]}…'), "
                                f"include('{THEIRS[1]}…'), require(name) or package(name, base_path='{OWN}…', opt=…)")
    return found


def _call(statement: ast.stmt, where: str) -> tuple[str, list[object], dict[str, object]]:
    match statement:
        case ast.Expr(ast.Call(ast.Name(name), arguments, keywords)):
            try:
                named = {each.arg or "**": ast.literal_eval(each.value) for each in keywords}
                return name, [ast.literal_eval(each) for each in arguments], named
            except ValueError:
                raise ManifestError(f"{where}: got {ast.unparse(statement)}, expected values, not expressions") from None
    raise ManifestError(f"{where}: got {ast.unparse(statement)}, expected a call")


def _package(name: str, base: str, files: list[str], where: str) -> Iterator[tuple[str, str]]:
    root = base.removeprefix(OWN) + "/"
    found = [path for path in files if path.startswith(f"{root}{name}/") and path.endswith(".py")]
    if not base.startswith(OWN) or not found:
        raise ManifestError(f"{where}: got {base} for {name}, expected a folder of the definition that holds it")
    yield from ((path.removeprefix(root), path) for path in found)


def _level(value: object, where: str) -> int:
    if isinstance(value, int) and value in OPTIMISED:
        return value
    raise ManifestError(f"{where}: opt: got {value!r}, expected one of {OPTIMISED}")
