"""A board at its prompt, by the real mpremote as a subprocess.

Decides what mpremote's failures mean: the code that each has, and what to do about it. What is run and written is decided
elsewhere.
"""

import subprocess
import sys
import time
from collections.abc import Sequence

from provisioning.errors import ProvisioningError
from provisioning.line import tool
from provisioning.line.serialport import fault, is_gone, open_port, want_port

BAUD = 115200       # of MicroPython's console
TIMEOUT_S = 120.0   # files, a test or a key take 2 to 3 s on a board, ten times that on an emulator on a loaded machine
HINT = ("check that the board is at its prompt: one that was flashed with an image of `tenfold image build` and has no site. With "
        "its site it takes no input, and an erased one has no prompt (`tenfold ports` tells)")


def mpremote(port: str, words: Sequence[str], *, tell: tool.Tell | None = None, timeout_s: float = TIMEOUT_S) -> str:
    """Run mpremote's commands on a board; gives what was said.

    Args:
        port: as mpremote takes it: a device file, or socket://127.0.0.1:5555.
        words: the commands. They must carry no secret: every user of this machine can read them.
        tell: hears each line when it comes.

    Raises:
        ProvisioningError: "port.absent", "port.busy", "port.denied"; "port.lost": it went away meanwhile; "board.prompt": no
            prompt, no end in time, or a command failed on the board.
    """
    want_port(port)
    code, said = tool.run("mpremote", ["connect", port, *words], deadline_s=time.monotonic() + timeout_s, tell=tell)
    if code == 0:
        return said
    if is_gone(port):
        raise fault(port, "port.lost")
    if code is None:
        raise ProvisioningError("board.prompt", f"{port}: mpremote did not end within {timeout_s:.0f} s; {HINT}")
    last = ([line.strip() for line in said.splitlines() if line.strip()] or [f"exit code {code}"])[-1]
    if "failed to access" in last and "://" not in port:   # of every reason alike
        open_port(port, BAUD, 0).close()
        raise fault(port, "port.busy")   # a moment ago
    raise ProvisioningError("board.prompt", f"{port}: mpremote: {last}; {HINT}")


def shell(port: str) -> int:
    """Give the terminal to the prompt of a board until its user ends it; mpremote's exit code."""
    want_port(port)
    return subprocess.run([sys.executable, "-m", "mpremote", "connect", port, "repl"], check=False).returncode
