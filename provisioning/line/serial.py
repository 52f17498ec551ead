"""Writes files to a board over its serial port, with the real mpremote as a subprocess.

Decides the order: what a board must have before its site goes first, and the site last, because a board that has it leaves the
line at its next start. Running it again after a pulled cable does no harm. Which files, and what they say, is decided elsewhere.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from provisioning.errors import ProvisioningError
from provisioning.line.mpremote import TIMEOUT_S, mpremote

SITE = "/state/site.json"   # boot.py leaves the line when it is there


def provision(port: str, files: Mapping[str, bytes], timeout_s: float = TIMEOUT_S) -> None:
    """Write the files and reset the board. Blocks; one call a port at a time.

    Args:
        port: as mpremote takes it: a device file, or socket://127.0.0.1:5555.
        files: absolute path -> content; SITE among them.

    Raises:
        ProvisioningError: as `mpremote`: nobody answers, or the board refused a file. It is still on the line then: try again.
    """
    if SITE not in files:
        raise ProvisioningError("board.prompt", f"{port}: got no {SITE}, expected it among the files: without it a board never "
                                                "leaves the line")
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            place = Path(folder) / ("last" if path == SITE else "first") / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        first = [str(place) for place in sorted((Path(folder) / "first").glob("*"))]
        copies = ["fs", "cp", "-r", *first, ":/", "+"] if first else []
        last = str(Path(folder) / "last" / SITE.lstrip("/"))
        mpremote(port, [*copies, "fs", "cp", last, f":{SITE}", "+", "reset"], timeout_s=timeout_s)
