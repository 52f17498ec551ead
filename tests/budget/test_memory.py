"""The formula for the heap, beside what the app takes on MicroPython."""

import subprocess
from pathlib import Path

import pytest

from host.budget import memory
from host.sim.fleet import micropython
from ota.release.bundle import compile_sources
from tests.firmware.boards import FIRMWARE, ROOT

SCRIPT = Path(__file__).with_name("heap_on_device.py")
HEAP = "300k"
PORT_WORD_BYTES = 8
BASE_BYTES = 4314    # of the port, with any configuration: journal, lists, a commit's locals
LOW, HIGH = 0.96, 1.3   # of what is needed; a ballast piece and fragments make 4 %
MOST_PIECES = 1000


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpy")
    sources = {str(path.relative_to(FIRMWARE / "lib")): path.read_bytes() for path in (FIRMWARE / "lib").rglob("*.py")}
    sources["flash.py"] = (ROOT / "host/sim/flash.py").read_bytes()
    for name, code in compile_sources(sources).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(code)
    return folder


def needs(modules, channels, samples):
    """(bytes that the app takes at most, bytes of its record): the heap is filled until it no longer runs."""
    def run(pieces):
        done = subprocess.run([micropython(), "-X", f"heapsize={HEAP}", SCRIPT, modules, str(channels), str(samples), str(pieces)],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "memory" in (done.stderr + done.stdout).lower(), done.stderr
        return [int(word) for word in done.stdout.split()] if done.returncode == 0 else None

    runs, fails = 0, MOST_PIECES
    assert run(fails) is None
    while fails - runs > 1:
        middle = (runs + fails) // 2
        runs, fails = (middle, fails) if run(middle) else (runs, middle)
    stays, free, record, _ = run(runs)
    return stays + free, record


@pytest.mark.parametrize(("channels", "samples"), [(1, 60), (2, 240), (4, 60), (8, 120), (16, 30), (16, 240)])
def test_budget_counts_less_heap_than_the_app_takes(modules, channels, samples):
    needed, record = needs(modules, channels, samples)
    said = memory.app_bytes(channels, channels, samples, record, PORT_WORD_BYTES) + BASE_BYTES
    assert LOW <= said / needed <= HIGH, (said, needed)


def test_batch_that_the_uplink_cuts_is_counted_whole():
    assert memory.batch_samples(240, 600, 10_000) < 70
    assert memory.batch_samples(60, 600, 10_000) == 60
    assert memory.batch_samples(1, 1, 3_600_000) == 1
