"""A board in its loader, by the real esptool as a subprocess: a process for each board, since esptool's log is a process's own.

Decides what esptool's words mean: the code that a failure has, and what to do about it. What is read and written is decided
elsewhere. esptool is under the GPL and is not imported here. Every way out of `Loader` resets the board.
"""

import contextlib
import re
import tempfile
from pathlib import Path
from types import TracebackType

import serial  # type: ignore[import-untyped]

from provisioning.errors import ProvisioningError
from provisioning.line import tool
from provisioning.line.serialport import fault, is_pseudo, press_reset, want_port

BAUD = 460800         # what USB bridges of common boards keep up with
ATTEMPTS = 3          # to get a board into its loader, 1 to 2 s each
CONNECTED = re.compile(r"^Connected to (ESP\S+) on ", re.MULTILINE)
MAC = re.compile(r"^MAC:\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})", re.MULTILINE)
SIZE = re.compile(r"^Detected flash size: (\d+)(KB|MB)", re.MULTILINE)
UNITS = {"KB": 1 << 10, "MB": 1 << 20}
HOLD = "hold its BOOT button, press and release EN (reset), let BOOT go and try again; check that the cable carries data"

# What esptool says when it fails -> code, and what to do; "": as of every port (serialport.FAULTS). The first that is found counts.
FAILURES = (
    (r"Permission denied|Errno 13", "port.denied", ""),
    (r"Could not exclusively lock|Errno 16|Device or resource busy", "port.busy", ""),
    (r"Could not open", "port.absent", ""),
    (r"MD5 of file does not match|digest mismatch", "flash.verify",
     "what is in the flash is not what was written; run it again; if it stays so, the flash is worn"),
    (r"Secure Download Mode|security restrictions|ENABLE_SECURITY_DOWNLOAD", "board.locked",
     "its eFuses do not let the flash be read (tenfold secure status): it can only be updated over the air"),
    (r"Lost connection|not open|serial exception|disconnected|Input/output error|Errno 5|Errno 19|rite timeout", "port.lost", ""),
    (r"Failed to connect|No serial data|Invalid head of packet|Packet content transfer stopped|timed out|Timeout|Guru|boot mode",
     "board.silent", HOLD),
)


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

    def esptool(self, *words: str, tell: tool.Tell | None = None) -> str:
        """Run one command of esptool's; gives what it said. `tell` hears each line when it comes.

        Raises:
            ProvisioningError: as FAILURES has it, "board.silent" when esptool says nothing any more, else "board.tool".
        """
        before, after = self._resets
        options = ("--port", self.port, "--baud", str(self._baud), "--connect-attempts", str(ATTEMPTS), "--before", before,
                   "--after", after)
        code, said = tool.run("esptool", [*options, *words], deadline_s=self._deadline_s, tell=tell)
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
                press_reset(line)


def _failure(port: str, code: int | None, said: str) -> ProvisioningError:
    if code is None:
        return ProvisioningError("board.silent", f"{port}: esptool was not done in time and was ended; {HOLD}")
    words = [line for line in said.splitlines() if "rror: " in line or "ERROR: " in line] or said.splitlines()[-1:]
    last = re.sub(r"^\W*(ERROR: )?(A fatal error occurred: )?", "", words[0]).rstrip(" .") if words else f"exit code {code}"
    for pattern, name, hint in FAILURES:
        if re.search(pattern, said):
            return ProvisioningError(name, f"{port}: {last}; {hint}") if hint else fault(port, name)
    return ProvisioningError("board.tool", f"{port}: esptool: {last}")
