"""What a delta saves and what it costs a device: bytes beside peers, and memory and time of applying it on MicroPython.

Applied by the compiled modules on the real interpreter of this machine, in processes of their own. The heap is that of the 64-bit
port, whose objects are twice as large as a chip's; the window, the buffers and what a delta says are as large there. Time is
this machine's: a chip is some 50 times slower, and its flash takes 45 ms to erase 4 KiB.
"""

import bz2
import io
import json
import subprocess
import tempfile
import zlib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from host.bench.encode import compile_tree
from host.sim.fleet import micropython
from host.sim.plant import FIRMWARE
from ota.release import delta as delta_format
from ota.release.patch import apply

LEAST_KB, MOST_KB = 8, 1024   # of the search for the heap
TIMEOUT_S = 300
_SCRIPT = Path(__file__).with_name("delta_on_device.py")


class Report(TypedDict):
    """Sizes in bytes.

    `peak_ram_bytes`: what lives on Python's heap while the delta is applied, window and buffers included, the modules'
    `module_bytes` not. `heap_needed_kb`: interpreter, modules and all. `peers`: bytes of each.
    """

    old_bytes: int
    new_bytes: int
    patch_bytes: int
    patch_pct: float
    peak_ram_bytes: int
    module_bytes: int
    heap_needed_kb: int
    apply_s: float
    peers: dict[str, int]


class DeltaError(RuntimeError):
    """MicroPython failed, or made something else; the message says which."""


def measure(old: bytes, new: bytes) -> Report:
    """Make the delta from old to new and apply it.

    Raises:
        DeltaError: a process failed, or did not make `new`.
    """
    made = delta_format.make(old, new)
    if apply(old, made, len(new)) != new:
        raise DeltaError("the delta does not make the new bytes")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        compile_tree(FIRMWARE / "lib", work)
        (work / "old").write_bytes(old)
        (work / "delta").write_bytes(made)
        seen = json.loads(_run(work, "measure", MOST_KB))
        timed = json.loads(_run(work, "apply", MOST_KB))
        if (work / "new").read_bytes() != new:
            raise DeltaError("MicroPython made other bytes")
        low, high = LEAST_KB, MOST_KB   # fails with low, runs with high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _fits(work, middle) else (middle, high)
    return Report(old_bytes=len(old), new_bytes=len(new), patch_bytes=len(made), patch_pct=100 * len(made) / len(new),
                  peak_ram_bytes=seen["peak"], module_bytes=seen["modules"], heap_needed_kb=high, apply_s=timed["ms"] / 1000,
                  peers=_peers(old, new))


def _peers(old: bytes, new: bytes) -> dict[str, int]:
    """Of others, where they are installed: bsdiff's own file, detools as ESP-IDF uses it; and the new bytes, compressed whole."""
    found = {"bsdiff4": len(import_module("bsdiff4").diff(old, new)), "zlib_full": len(zlib.compress(new, 9)),
             "bz2_full": len(bz2.compress(new, 9))}
    if find_spec("detools"):
        file = io.BytesIO()
        import_module("detools").create_patch(io.BytesIO(old), io.BytesIO(new), file, compression="heatshrink")
        found["detools_heatshrink"] = len(file.getvalue())
    return found


def _fits(work: Path, heap_kb: int) -> bool:
    try:
        _run(work, "apply", heap_kb)
    except DeltaError as error:
        if "MemoryError" in str(error) or "memory" in str(error):
            return False
        raise
    return True


def _run(work: Path, what: str, heap_kb: int) -> str:
    done = subprocess.run(
        [micropython(), "-X", f"heapsize={heap_kb}k", _SCRIPT, work, work / "old", work / "delta", work / "new", what],
        capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode:
        raise DeltaError(f"{what} in {heap_kb} KB: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
