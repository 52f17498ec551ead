"""VictoriaMetrics as a peer of `tenfold bench store`: the installed program, on loopback, with a bound on its memory.

Decides how it is started, fed, asked and stopped, and which of its files count: data, index and metadata, after it ended. It runs
in a folder of its own and ends with the block. Where it is not installed there is no figure.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = "victoria-metrics"   # Debian's package and program
MEMORY_BYTES = 512 << 20
START_S, ANSWER_S, STOP_S = 60.0, 300.0, 300.0
AT_ONCE = 64                   # series of one import
COUNTED = ("data", "indexdb", "metadata")


class VictoriaError(Exception):
    """The peer is installed and does not work; the message says what it said."""


Series = tuple[dict[str, str], list[int], list[str]]   # labels, Unix ms, values as decimal text


class Victoria:
    """A running VictoriaMetrics; made by `running`."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder

    def load(self, series: Iterable[Series]) -> float:
        """Import series and have them written; gives the seconds that it took."""
        began = time.monotonic()
        lines: list[str] = []
        for labels, times, values in series:
            lines.append(f'{{"metric":{json.dumps(labels)},"values":[{",".join(values)}],"timestamps":{json.dumps(times)}}}')
            if len(lines) == AT_ONCE:
                self._ask("/api/v1/import", data="\n".join(lines).encode())
                lines = []
        if lines:
            self._ask("/api/v1/import", data="\n".join(lines).encode())
        self._ask("/internal/force_flush")
        return time.monotonic() - began

    def export(self, match: str, from_ms: int, to_ms: int) -> int:
        """Read a series in full; gives its points."""
        raw = self._ask("/api/v1/export", {"match[]": match, "start": f"{from_ms / 1000:.3f}", "end": f"{to_ms / 1000:.3f}"})
        return sum(len(json.loads(line)["timestamps"]) for line in raw.splitlines())

    def extremes(self, match: str, from_ms: int, to_ms: int, points: int) -> int:
        """The lowest and the highest value of each of points / 2 steps; gives how many values came."""
        step_s = max(1, (to_ms - from_ms) // 1000 // (points // 2))
        count = 0
        for function in ("min_over_time", "max_over_time"):
            raw = self._ask("/api/v1/query_range", {
                "query": f"{function}({match}[{step_s}s])", "start": str(from_ms // 1000), "end": str(to_ms // 1000),
                "step": f"{step_s}s",
            })
            count += sum(len(one["values"]) for one in json.loads(raw)["data"]["result"])
        return count

    def latest(self, match: str, at_ms: int) -> int:
        """The newest value of every series that matches; gives how many there are."""
        raw = self._ask("/api/v1/query", {"query": f"last_over_time({match}[1h])", "time": str(at_ms // 1000)})
        return len(json.loads(raw)["data"]["result"])

    def _ask(self, path: str, words: dict[str, str] | None = None, data: bytes | None = None) -> bytes:
        url = f"{self._url}{path}" + (f"?{urllib.parse.urlencode(words)}" if words else "")
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=ANSWER_S) as answer:  # noqa: S310  loopback
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise VictoriaError(f"{PROGRAM} {path}: {error.read()[:300]!r}") from None
        except OSError as error:
            raise VictoriaError(f"{PROGRAM} {path}: {error}") from None


def found() -> str | None:
    """Where the program is, if it is installed; TENFOLD_VICTORIA names one that is not in PATH."""
    return os.environ.get("TENFOLD_VICTORIA") or shutil.which(PROGRAM)


def bytes_on_disk(folder: Path) -> int:
    """Data, index and metadata; of a server that has ended, since it writes and merges behind the answers."""
    return sum(path.stat().st_size for name in COUNTED for path in (folder / name).rglob("*") if path.is_file())


@contextmanager
def running(folder: Path) -> Iterator[Victoria]:
    """Start it on a folder, empty or its own of before; it ends with the block.

    Raises:
        VictoriaError: it is not installed or does not come up.
    """
    program = found()
    if program is None:
        raise VictoriaError(f"{PROGRAM} is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder.parent / f"{folder.name}.log"
    command = [
        program, f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y",
        f"-memory.allowedBytes={MEMORY_BYTES}", "-search.latencyOffset=0s", "-search.disableCache",
    ]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            _await(process, f"http://127.0.0.1:{port}/health", log)
            yield Victoria(f"http://127.0.0.1:{port}", folder)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise VictoriaError(f"{PROGRAM} did not end within {STOP_S:g} s: what it has on disk is not all") from None


def _await(process: "subprocess.Popen[Any]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise VictoriaError(f"{PROGRAM} did not come up: {log.read_text(errors='replace')[-300:]}")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  loopback
                return
        except OSError:
            time.sleep(0.1)
