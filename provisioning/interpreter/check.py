"""What of a board's definition can be checked without ESP-IDF: table, manifest, every frozen module, sizes.

Says for each what was found, and what it does not know. Whether ESP-IDF takes the settings, how large the interpreter gets and
whether the image runs, nobody knows before it is built and flashed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from esp_idf_defs.partitions import PartitionTable  # type: ignore[import-untyped]

from host.boards.profile import Board
from node.errors import CallerError
from ota.release.bundle import BundleError, compile_sources
from provisioning.interpreter.checkout import Pin
from provisioning.interpreter.definition import ASSERTING, CHIPS, FOLDER, SMALLEST
from provisioning.interpreter.manifest import ManifestError, read
from provisioning.line.image import TABLE_BYTES, ImageError, Partition, encode_table, read_partitions

NEEDED = ("main.py", "device.py", "board.py", "umqtt/simple.py", "release.py")   # boot.py and the agent import them by these names
NAME_BYTES = 32   # of a frozen module beside its bytecode: its name, its rows in two tables


@dataclass(frozen=True, slots=True)
class Result:
    """`agent_bytes`: of all frozen modules' .mpy. `slot_bytes`: the smallest application slot. `fits`: "unknown" before a build."""

    modules: int
    agent_bytes: int
    slot_bytes: int
    fits: Literal["yes", "no", "unknown"]
    why: str


def check(board: Board, table: Path, files: Mapping[str, bytes], pin: Pin) -> Result:
    """Check a rendered definition.

    Raises:
        CallerError: `firmware.table`, `firmware.manifest`, `firmware.module`, `firmware.size`.
    """
    partitions = check_table(table, board.flash_bytes)
    slot = smallest_slot(partitions)
    try:
        frozen = read(files["manifest.py"].decode(), files)
    except ManifestError as error:
        raise CallerError("firmware.manifest", str(error)) from None
    missing = [name for name in NEEDED if f"{FOLDER}/{name}" not in frozen.modules]
    sources = {path for path in files if path.startswith((f"{SMALLEST}/", f"{ASSERTING}/"))}
    left = sources - {path for path, _ in frozen.modules.values()}
    if missing or left:
        raise CallerError("firmware.manifest", f"{', '.join([*missing, *sorted(left)])}: not frozen, but the agent needs it")
    try:
        compiled = compile_sources({name.removeprefix(f"{FOLDER}/"): files[path] for name, (path, _) in frozen.modules.items()},
                                   CHIPS[board.chip].march)
    except BundleError as error:
        raise CallerError("firmware.module", str(error)) from None
    agent = sum(len(code) + NAME_BYTES for code in compiled.values())
    fits, why = _fits(agent, slot, board, pin)
    if fits == "no":
        raise CallerError("firmware.size", f"{table.name}: {why}")
    return Result(len(compiled), agent, slot, fits, why)


def check_table(table: Path, flash_bytes: int) -> list[Partition]:
    """Read a table by ESP-IDF's own reader and by ours, which must say the same; two equal application slots and otadata in it.

    Raises:
        CallerError: `firmware.table`.
    """
    try:
        ours = read_partitions(table)
        theirs = PartitionTable.from_csv(table.read_text(encoding="utf-8"))
        theirs.verify()
        theirs.verify_size_fits(flash_bytes)
        if encode_table(ours) != bytes(theirs.to_binary())[:TABLE_BYTES]:
            raise CallerError("firmware.table", f"{table.name}: ESP-IDF's reader makes another table of it than ours")
    except ImageError as error:
        raise CallerError("firmware.table", str(error)) from None
    except RuntimeError as error:   # ESP-IDF's InputError
        raise CallerError("firmware.table", f"{table.name}: {error}") from None
    slots = {one.subtype: one.size for one in ours if one.type == "app"}
    if set(slots) != {"ota_0", "ota_1"} or len(set(slots.values())) != 1 or not any(one.subtype == "ota" for one in ours):
        raise CallerError("firmware.table", f"{table.name}: got {slots}, expected ota_0 and ota_1 of one size, and otadata")
    return ours


def smallest_slot(partitions: Sequence[Partition]) -> int:
    return min(one.size for one in partitions if one.type == "app")


def _fits(agent: int, slot: int, board: Board, pin: Pin) -> tuple[Literal["yes", "no", "unknown"], str]:
    bound = None if board.psram else pin.interpreter_bytes.get(board.chip)   # code for PSRAM is larger
    if agent >= slot:
        return "no", f"the agent alone takes {agent} bytes, a slot has {slot}"
    if bound is None:
        return "unknown", f"{slot - agent:,} are left for the interpreter; the build will tell"
    if bound.bytes + agent <= slot:
        return "yes", f"the interpreter takes at most {bound.bytes:,}: {bound.why}"
    return "unknown", f"{slot - agent:,} are left for the interpreter, which takes at most {bound.bytes:,}: the build will tell"
