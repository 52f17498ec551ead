"""What a board says on its serial port, line by line, also when the cable is pulled and put in again.

Decides when a port is gone and when it is tried again. What the lines mean is decided elsewhere.
"""

import codecs
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import serial  # type: ignore[import-untyped]

from provisioning.errors import ProvisioningError
from provisioning.line.loader import Loader
from provisioning.line.mpremote import BAUD
from provisioning.line.serialport import is_pseudo, open_port, press_reset, want_port
from provisioning.line.station import WORD

READ_S = 0.5        # until somebody who wants the end is asked
RETRY_S = 0.5       # until a port that is gone is tried again
MAX_LINE = 4096     # characters; what is longer is noise, and told in pieces
BIRTH_S = 30.0      # from a reset to the BIRTH line: MicroPython, the radio, a key
BIRTH_TRIES = 3


@dataclass(frozen=True)
class Event:
    """A line of the console, or with `kind` "open" or "lost" what happened to its port. `at_s`: Unix seconds."""

    kind: str
    text: str
    at_s: float


def listen(port: str, ended: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """What the board says until `ended`; a port that goes away is waited for.

    Raises:
        ProvisioningError: "port.absent", "port.busy", "port.denied": at the beginning.
    """
    want_port(port)
    line = open_port(port, BAUD, READ_S)
    while True:
        yield Event("open", port, time.time())
        yield from _lines(line, ended)
        line.close()
        if ended():
            return
        yield Event("lost", port, time.time())
        while True:
            time.sleep(RETRY_S)
            if ended():
                return
            with contextlib.suppress(ProvisioningError):
                line = open_port(port, BAUD, READ_S)
                break


def birth(port: str) -> str:
    """Reset the board and give the BIRTH line that it says then. A board with a certificate says none.

    Raises:
        ProvisioningError: what `listen` raises, and "board.silent": there was none.
    """
    for _ in range(BIRTH_TRIES):
        if is_pseudo(port):
            with Loader(port):   # its way out is a reset
                pass
        line = open_port(port, BAUD, READ_S)
        with line:
            if not is_pseudo(port):
                press_reset(line)
            deadline_s = time.monotonic() + BIRTH_S
            for event in _lines(line, lambda: time.monotonic() >= deadline_s):   # noqa: B023  used up at once
                if event.text.startswith(WORD):
                    return event.text
    raise ProvisioningError("board.silent", f"{port}: the board told no birth; `tenfold monitor` shows what it says. One that has "
                                            "its certificate was born before")


def _lines(line: serial.Serial, ended: Callable[[], bool]) -> Iterator[Event]:
    """Whole lines until the port is gone or nobody wants more; then also what has no end yet."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    try:
        while not ended():
            data = line.read(max(1, line.in_waiting))
            rest += decoder.decode(data)
            *whole, rest = rest.replace("\r\n", "\n").split("\n")
            if len(rest) > MAX_LINE:
                whole, rest = [*whole, rest], ""
            for text in whole:
                yield Event("line", text.rstrip("\r"), time.time())
    except (OSError, serial.SerialException, TypeError):   # TypeError: pyserial, of a port that was closed while it read
        pass
    if rest:
        yield Event("line", rest, time.time())
