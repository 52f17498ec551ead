"""Which boards are plugged in: the serial ports that may have one, and what each says of itself.

Decides which ports are asked: those whose USB id is one of the bridges and chips of ESP32 boards, and those that are named. All are
asked at once, each in a process of its own and for a limited time, and reset afterwards.
"""

import glob
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from serial.tools import list_ports  # type: ignore[import-untyped]

from provisioning.errors import ProvisioningError
from provisioning.line.contents import Contents, look
from provisioning.line.loader import BAUD, Loader
from provisioning.line.serialport import want_port

VARIABLE = "TENFOLD_PORTS"
TIMEOUT_S = 60.0   # a port; a board answers in 5 to 10 s
MAX_AT_ONCE = 32
USB_VENDORS = {    # of the bridges on ESP32 boards, and of the chips that have USB themselves
    0x303A: "Espressif",
    0x10C4: "Silicon Labs CP210x",
    0x1A86: "WCH CH34x, CH910x",
    0x0403: "FTDI",
    0x067B: "Prolific",
}


@dataclass(frozen=True)
class Found:
    """What a port said. Where something went wrong `fault` tells it, and what was learnt before stands.

    Attributes:
        chip: as esptool names it; "" when nobody answered. mac: with colons. flash_bytes: 0 when it is not known.
        contents: what is in its flash; None when it was not looked at.
    """

    port: str
    chip: str = ""
    mac: str = ""
    flash_bytes: int = 0
    contents: Contents | None = None
    fault: ProvisioningError | None = None


def candidates(named: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> list[str]:
    """The ports that may have a board, without opening any.

    Args:
        named: ports, or patterns such as build/boards/tty*; when there are none, TENFOLD_PORTS (with spaces in between) and what
            is plugged in by USB.
        environment: in place of this process's.

    Returns:
        Each port once. A name without a file stays: whoever asks it is told that it is absent.
    """
    wanted = [*named]
    if not wanted:
        wanted = (os.environ if environment is None else environment).get(VARIABLE, "").split()
        wanted += sorted(port.device for port in list_ports.comports() if port.vid in USB_VENDORS)
    found: list[str] = []
    for each in wanted:
        found += sorted(glob.glob(each)) if glob.has_magic(each) else [each]
    return list(dict.fromkeys(found))


def boards(ports: Sequence[str] | None = None, *, contents: bool = True, timeout_s: float = TIMEOUT_S,
           baud: int = BAUD) -> list[Found]:
    """Ask ports for their boards, all at once. Each board is reset: what ran on it starts again.

    Args:
        ports: as `candidates` gives them, which is the default.
        contents: whether to look into their flashes, which takes most of the time.
        timeout_s: for each port.
    """
    asked = candidates() if ports is None else list(ports)
    if not asked:
        return []
    with ThreadPoolExecutor(min(MAX_AT_ONCE, len(asked))) as pool:
        return list(pool.map(lambda port: ask(port, contents=contents, timeout_s=timeout_s, baud=baud), asked))


def ask(port: str, *, contents: bool = True, timeout_s: float = TIMEOUT_S, baud: int = BAUD) -> Found:
    """Ask one port. Raises nothing: what goes wrong is in `fault`."""
    found = Found(port)
    try:
        want_port(port)
        with Loader(port, baud=baud, deadline_s=time.monotonic() + timeout_s) as loader:
            found = Found(port, loader.chip, loader.mac, loader.flash_bytes)
            if contents:
                found = Found(port, loader.chip, loader.mac, loader.flash_bytes, look(loader.read, loader.mac, loader.flash_bytes))
    except ProvisioningError as error:
        return Found(port, found.chip, found.mac, found.flash_bytes, fault=error)
    return found
