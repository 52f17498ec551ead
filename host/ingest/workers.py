"""Several ingest processes side by side: started, started again when one dies, and stopped together.

Decides when a worker is started anew. What each does is __main__'s; that they do not disturb each other is the database's.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from host import stopping

STOP_S = 5.0            # a worker ends within 3 s by itself
AGAIN_MIN_S = 1.0       # wait before a worker that died is started again; doubles
AGAIN_MAX_S = 30.0
STEADY_S = 60.0         # one that lived for so long begins with the shortest wait

log = logging.getLogger(__name__)


class _Worker:
    """One place among the workers, and the process that fills it now."""

    def __init__(self, config: Path, number: int) -> None:
        self._config, self.number = config, number
        self._wait_s, self._begun_s, self.due_s = AGAIN_MIN_S, 0.0, 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, now_s: float) -> None:
        command = [sys.executable, "-m", "host.ingest", "--config", str(self._config)]
        self.process = subprocess.Popen(command, env={**os.environ, "TENFOLD_INGEST_WORKER": str(self.number)})
        self._begun_s = now_s
        log.info("worker %d is process %d", self.number, self.process.pid)

    def died(self, now_s: float) -> None:
        self.process = None
        self._wait_s = AGAIN_MIN_S if now_s - self._begun_s > STEADY_S else min(2 * self._wait_s, AGAIN_MAX_S)
        self.due_s = now_s + self._wait_s


def supervise(config: Path, count: int) -> int:
    """Keep `count` workers running until SIGTERM or SIGINT; gives the exit code."""
    stopping.block()
    workers = [_Worker(config, number) for number in range(1, count + 1)]
    try:
        while True:
            now_s = time.monotonic()
            for worker in workers:
                code = None if worker.process is None else worker.process.poll()
                if code == stopping.EXIT_CANNOT_START:
                    return stopping.EXIT_CANNOT_START
                if code is not None:
                    log.error("worker %d ended with %d, starting it again", worker.number, code)
                    worker.died(now_s)
                if worker.process is None and now_s >= worker.due_s:
                    worker.start(now_s)
            if stopping.told(0.2):
                return 0
    finally:
        _stop([worker.process for worker in workers if worker.process is not None])


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
