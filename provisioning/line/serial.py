"""Writes files to a board over its serial port, with the real mpremote as a subprocess.

Decides the order: what a board must have before its site goes first, and the site last, because a board that has it leaves the
line at its next start. Running it again after a pulled cable does no harm. Which files, and what they say, is decided elsewhere.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from provisioning.errors import ProvisioningError
from provisioning.line.loader import want_port

SITE = "/state/site.json"   # boot.py leaves the line when it is there
HINT = ("check the port and that the board is at its prompt: one that has its site takes no input, and an erased one has no prompt "
        "(tenfold ports tells)")
TIMEOUT_S = 120.0           # a few small files take 2 s on a board, ten times that on an emulator on a loaded machine


class SerialError(ProvisioningError):
    """A board at its prompt could not be written; the message carries the port and mpremote's last words."""


def provision(port: str, files: Mapping[str, bytes], timeout_s: float = TIMEOUT_S) -> None:
    """Write the files and reset the board. Blocks; one call a port at a time.

    Args:
        port: as mpremote takes it: a device file, or socket://127.0.0.1:5555.
        files: absolute path -> content; SITE among them.

    Raises:
        SerialError: nobody answers, or the board refused a file. It is still on the line then: try again.
    """
    if SITE not in files:
        raise SerialError("board.prompt", f"{port}: got no {SITE}, expected it among the files: without it a board never leaves "
                                          "the line")
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            place = Path(folder) / ("last" if path == SITE else "first") / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        first = [str(place) for place in sorted((Path(folder) / "first").glob("*"))]
        copies = ["fs", "cp", "-r", *first, ":/", "+"] if first else []
        last = str(Path(folder) / "last" / SITE.lstrip("/"))
        mpremote(port, [*copies, "fs", "cp", last, f":{SITE}", "+", "reset"], timeout_s)


def mpremote(port: str, arguments: Sequence[str], timeout_s: float = TIMEOUT_S) -> str:
    """Run mpremote's commands on a board at its prompt; gives what it said.

    Raises:
        SerialError: "port.absent", "port.busy"; "board.prompt": no prompt, no end in time, or a command failed on the board.
    """
    want_port(port)
    command = [sys.executable, "-m", "mpremote", "connect", port, *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise SerialError("board.prompt", f"{port}: mpremote did not end within {timeout_s:.0f} s; {HINT}") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        if "in use by another program" in words:
            raise SerialError("port.busy", f"{port}: it is in use; end the monitor, shell or flashing that runs there")
        raise SerialError("board.prompt", f"{port}: mpremote: {words}; {HINT}")
    return done.stdout
