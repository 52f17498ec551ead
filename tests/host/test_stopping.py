"""Stops that nobody asked for, and stops that are not heard."""

import signal
import subprocess
import sys

import pytest

from tests.ingest.plant import until

WAITS = """
import signal
from host import stopping
signal.signal(signal.SIGUSR1, lambda *_: print("lives", flush=True))
stopping.block()
print("waits", flush=True)
while not stopping.told(0.001):
    pass
"""
TIMES = 200   # the wait is over while it is stopped in some of them


def state(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_was_stopped_for_a_while_ends_itself(number):
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"waits\n"
        for _ in range(TIMES):
            process.send_signal(signal.SIGSTOP)
            until(lambda: state(process) == "T", "it is stopped")
            process.send_signal(signal.SIGCONT)
            until(lambda: state(process) != "T", "it goes on")
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == b"lives\n"
        process.send_signal(number)
        assert process.wait(60) == 0
