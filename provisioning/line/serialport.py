"""A serial port of this machine: opened, reset by, or why it cannot be, in one set of words whichever tool met the fault.

Decides what the faults of a port are called, and what to do about each. What runs on the board behind it is decided elsewhere.
"""

import os
import time
from pathlib import Path

import serial  # type: ignore[import-untyped]

from provisioning.errors import ProvisioningError

RESET_S = 0.1   # how long EN is held low, as esptool does it
FAULTS = {      # code -> what it is, and what to do about it
    "port.absent": ("no such port", "plug the board in; `tenfold ports` lists those with a board"),
    "port.busy": ("it is in use", "end the monitor, shell or flashing that runs there"),
    "port.denied": ("permission denied", "join the group that owns it (Debian, Ubuntu: sudo usermod -aG dialout $USER, then log in "
                                         "again)"),
    "port.lost": ("the board went away", "check cable and plug, then run the same command again: it starts from the beginning"),
}
DENIED, BUSY = (1, 13), (11, 16)   # errno


def fault(port: str, code: str) -> ProvisioningError:
    """One of FAULTS, of this port."""
    what, hint = FAULTS[code]
    return ProvisioningError(code, f"{port}: {what}; {hint}")


def is_pseudo(port: str) -> bool:
    """Whether a port has no DTR and RTS: a pseudo-terminal (a simulated board) or a socket."""
    return port.startswith("socket://") or os.path.realpath(port).startswith("/dev/pts/")


def is_gone(port: str) -> bool:
    """Whether a port is a device file that is not there."""
    return "://" not in port and os.sep in port and not Path(port).exists()


def want_port(port: str) -> None:
    """Refuse a port that is not there.

    Raises:
        ProvisioningError: "port.absent".
    """
    if is_gone(port):
        raise fault(port, "port.absent")


def open_port(port: str, baud: int, timeout_s: float) -> serial.Serial:
    """Open a port for this process alone.

    Raises:
        ProvisioningError: "port.absent", "port.busy", "port.denied".
    """
    try:
        return serial.serial_for_url(port, baud, timeout=timeout_s, exclusive=True)
    except (OSError, serial.SerialException) as error:
        number = getattr(error, "errno", None)
        is_busy = number in BUSY or "lock" in str(error)   # pyserial's own words carry no number
        raise fault(port, "port.denied" if number in DENIED else "port.busy" if is_busy else "port.absent") from None


def press_reset(line: serial.Serial) -> None:
    """EN low and high again by an open port's RTS, as esptool does it; the board starts what is in its flash."""
    line.dtr, line.rts = False, True
    time.sleep(RESET_S)   # of the circuit: a capacitor at EN
    line.rts = False
