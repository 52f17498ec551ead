"""A tool of others (esptool, mpremote) run as a process of its own, heard line by line while it speaks.

Decides when a tool is given up: when it says nothing for SILENCE_S, or when its time is over. What its words mean is decided
elsewhere.
"""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

SILENCE_S = 150.0   # the longest that a tool says nothing: esptool erases a large flash for up to two minutes
# Said at once, line by line, without colours, and no word broken at the width of a terminal.
PLAIN = {"PYTHONUNBUFFERED": "1", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}

Tell = Callable[[str], None]


def run(module: str, words: Sequence[str], *, deadline_s: float | None = None, tell: Tell | None = None) -> tuple[int | None, str]:
    """Run a Python module to its end, in this Python, without input.

    Args:
        deadline_s: of time.monotonic().
        tell: hears each line when it comes. What it raises ends the tool.

    Returns:
        Its exit code, None when it was given up; and what it said, also as errors.
    """
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-m", module, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=os.environ | PLAIN) as process, selectors.DefaultSelector() as selector:
        assert process.stdout is not None  # noqa: S101  it is a pipe
        selector.register(process.stdout, selectors.EVENT_READ)
        rest = b""
        try:
            while selector.select(_patience_s(deadline_s)):
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    return process.wait(), "\n".join([*said, rest.decode(errors="replace")])
                *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
                for line in lines:
                    said.append(line.decode(errors="replace"))
                    if tell is not None:
                        tell(said[-1])
            return None, "\n".join(said)
        finally:
            if process.poll() is None:
                process.kill()


def _patience_s(deadline_s: float | None) -> float:
    return SILENCE_S if deadline_s is None else max(0.0, min(SILENCE_S, deadline_s - time.monotonic()))
