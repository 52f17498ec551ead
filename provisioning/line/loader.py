"""A board in its loader, by the real esptool as a subprocess: a process for each board, since esptool's log is a process's own.

Decides what esptool's words mean: the code that a failure has, and what to do about it. What is read and written is decided
elsewhere. esptool is under the GPL and is not imported here. Every way out of `Loader` resets the board.
"""

import contextlib
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import serial  # type: ignore[import-untyped]

from provisioning.errors import ProvisioningError

BAUD = 460800         # what USB bridges of common boards keep up with
SILENCE_S = 150.0     # the longest that esptool says nothing: erasing a large flash takes up to two minutes
ATTEMPTS = 3          # to get a board into its loader, 1 to 2 s each
RESET_S = 0.1         # how long EN is held low, as esptool does it
CONNECTED = re.compile(r"^Connected to (ESP\S+) on ", re.MULTILINE)
MAC = re.compile(r"^MAC:\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})", re.MULTILINE)
SIZE = re.compile(r"^Detected flash size: (\d+)(KB|MB)", re.MULTILINE)
UNITS = {"KB": 1 << 10, "MB": 1 << 20}
HOLD = "hold its BOOT button, press and release EN (reset), let BOOT go and try again; check that the cable carries data"
AGAIN = "check cable and plug, then run the same command again: it starts from the beginning"

# What esptool says when it fails -> code, and what to do. The first that is found counts.
FAILURES = (
    (r"Permission denied|Errno 13", "port.denied", "you may not open it: join the group that owns it (Debian, Ubuntu: "
                                                   "sudo usermod -aG dialout $USER, then log in again)"),
    (r"Could not exclusively lock|Errno 16|Device or resource busy", "port.busy",
     "another program has it open: end the monitor, shell or flashing that runs there"),
    (r"Could not open", "port.absent", "there is no such serial port; `tenfold ports` lists those with a board"),
    (r"MD5 of file does not match|digest mismatch", "flash.verify",
     "what is in the flash is not what was written; run it again; if it stays so, the flash is worn"),
    (r"Secure Download Mode|security restrictions|ENABLE_SECURITY_DOWNLOAD", "board.locked",
     "its eFuses do not let the flash be read (tenfold secure status): it can only be updated over the air"),
    (r"Lost connection|not open|serial exception|disconnected|Input/output error|Errno 5|Errno 19|rite timeout",
     "port.lost", AGAIN),
    (r"Failed to connect|No serial data|Invalid head of packet|Packet content transfer stopped|timed out|Timeout|Guru|boot mode",
     "board.silent", HOLD),
)
WHAT = {   # in place of esptool's words
    "port.absent": "no such port", "port.busy": "it is in use", "port.denied": "permission denied",
    "port.lost": "the board went away",
}

Tell = Callable[[str], None]


def is_pseudo(port: str) -> bool:
    """Whether a port has no DTR and RTS: a pseudo-terminal (a simulated board) or a socket."""
    return port.startswith("socket://") or os.path.realpath(port).startswith("/dev/pts/")


def want_port(port: str) -> None:
    """Refuse a port that is not there.

    Raises:
        ProvisioningError: "port.absent".
    """
    if "://" not in port and os.sep in port and not Path(port).exists():
        raise ProvisioningError("port.absent", f"{port}: no such port; plug the board in, `tenfold ports` lists those with a board")


class Loader:
    """One board in its loader; as a context manager, so that it is reset at the end.

    Attributes:
        chip: as esptool's --chip has it, e.g. "esp32c3". mac: as tools write it. flash_bytes: of its flash chip, 0 when the
            chip does not say.
    """

    def __init__(self, port: str, *, baud: int = BAUD, deadline_s: float | None = None) -> None:
        """Get the board into its loader and ask it who it is.

        Args:
            deadline_s: of time.monotonic(): what is not done then is given up.

        Raises:
            ProvisioningError: "port.absent", "port.busy", "port.denied", "board.silent", "board.locked", "board.tool".
        """
        want_port(port)
        self.port, self._baud, self._deadline_s = port, baud, deadline_s
        self._resets = ("no-reset", "no-reset") if is_pseudo(port) else ("default-reset", "no-reset")
        try:
            said = self.esptool("flash-id")
            chip, mac, size = CONNECTED.search(said), MAC.search(said), SIZE.search(said)
            if chip is None or mac is None:
                raise ProvisioningError("board.tool", f"{port}: esptool {said.splitlines()[:1]} did not name chip and MAC address; "
                                                      "expected esptool 5")
        except BaseException:
            self._reset()
            raise
        self.chip, self.mac = chip[1].lower().replace("-", ""), mac[1]
        self.flash_bytes = int(size[1]) * UNITS[size[2]] if size else 0

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reset()

    def read(self, address: int, size: int) -> bytes:
        """A part of the flash.

        Raises:
            ProvisioningError: "port.lost", "board.silent", "board.locked", "board.tool".
        """
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "part"
            self.esptool("read-flash", hex(address), hex(size), str(out))
            return out.read_bytes()

    def esptool(self, *words: str, tell: Tell | None = None) -> str:
        """Run one command of esptool's; gives what it said. `tell` hears each line when it comes.

        Raises:
            ProvisioningError: as FAILURES has it, "board.silent" when esptool says nothing any more, else "board.tool".
        """
        before, after = self._resets
        command = [sys.executable, "-m", "esptool", "--port", self.port, "--baud", str(self._baud), "--connect-attempts",
                   str(ATTEMPTS), "--before", before, "--after", after, *words]
        code, said = _run(command, self._deadline_s, tell)
        if code != 0:
            raise _failure(self.port, code, said)
        return said

    def _reset(self) -> None:
        """EN low and high again. A board that lost its cable is reset by its power."""
        if is_pseudo(self.port):
            return   # a simulated board is reset when its port is closed
        with contextlib.suppress(OSError, serial.SerialException):
            line = serial.serial_for_url(self.port, do_not_open=True)
            line.dtr, line.rts = False, False
            line.open()
            with line:
                line.rts = True
                time.sleep(RESET_S)   # of the circuit: a capacitor at EN
                line.rts = False


def _run(command: list[str], deadline_s: float | None, tell: Tell | None) -> tuple[int | None, str]:
    """Exit code, None when it was given up, and what it said, line by line while it says it."""
    said: list[str] = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment) as process, selectors.DefaultSelector() as selector:
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


def _failure(port: str, code: int | None, said: str) -> ProvisioningError:
    if code is None:
        return ProvisioningError("board.silent", f"{port}: esptool was not done in time and was ended; {HOLD}")
    words = [line for line in said.splitlines() if "rror: " in line or "ERROR: " in line] or said.splitlines()[-1:]
    last = re.sub(r"^\W*(ERROR: )?(A fatal error occurred: )?", "", words[0]).rstrip(" .") if words else f"exit code {code}"
    for pattern, name, hint in FAILURES:
        if re.search(pattern, said):
            return ProvisioningError(name, f"{port}: {WHAT.get(name, last)}; {hint}")
    return ProvisioningError("board.tool", f"{port}: esptool: {last}")
