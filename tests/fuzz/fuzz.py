"""Coverage-guided fuzzing of the decoders with atheris: `make fuzz SECONDS=60`.

Each target runs in a process of its own for its share of the time. Inputs grow from decoders.seeds(); the mutator repairs the
checksum, so that damage reaches what is behind it. The corpus stays in build/fuzz and the next run goes on from it; an input that
breaks something is left there as crash-…, its path and bytes are printed, and the exit code is 1. Without atheris nothing is run,
and that is said aloud.
"""

import argparse
import hashlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build/fuzz"
TARGETS = ("slow", "fast", "both", "schema")
MAX_BYTES = 2052   # a record and what is just too long for one
INPUT_LIMIT_S = 5   # a decoder that takes longer for one input hangs
MEMORY_LIMIT_MB = 4096   # of the whole process: with numpy atheris keeps a KB a run, which plain runs do not
MISSING = ("fuzz: SKIPPED, nothing was run: atheris is not installed; "
           ".venv/bin/pip install atheris==3.0.0 (Linux on x86-64, Python 3.11 to 3.13)\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--target", choices=TARGETS, help="this one only, in this process")
    told = parser.parse_args()
    if find_spec("atheris") is None:
        sys.stderr.write(MISSING)
        return 0
    if told.target:
        run(told.target, told.seconds)   # does not return
    share_s = max(1, told.seconds // len(TARGETS))
    failed = [target for target in TARGETS if subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fuzz", "--target", target, "--seconds", str(share_s)], cwd=ROOT, check=False).returncode]
    sys.stderr.write(f"fuzz: {', '.join(failed)} failed\n" if failed else f"fuzz: {', '.join(TARGETS)}: nothing found\n")
    return 1 if failed else 0


def run(target: str, seconds: int) -> None:
    """Fuzz one target in this process, and exit."""
    import atheris  # noqa: PLC0415  only where it is installed

    with atheris.instrument_imports(include=["node", "host.ingest"]):
        from tests.fuzz import decoders  # noqa: PLC0415  instrumented

    def mutate(raw: bytes, size: int, _seed: int) -> bytes:
        return decoders.repaired(atheris.Mutate(raw[:-4] or b"\1", size - 4))

    corpus = FOLDER / target
    corpus.mkdir(parents=True, exist_ok=True)
    for raw in decoders.seeds():
        (corpus / hashlib.sha256(raw).hexdigest()[:16]).write_bytes(raw)
    atheris.Setup([
        "fuzz", f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", f"-timeout={INPUT_LIMIT_S}",
        f"-rss_limit_mb={MEMORY_LIMIT_MB}", f"-artifact_prefix={corpus}/", "-print_final_stats=1", str(corpus),
    ], getattr(decoders, target), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
