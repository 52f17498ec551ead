"""Programs run at a board's prompt, with the real mpremote; what they print, line by line.

Decides what a program's lines mean. Each run begins with a soft reset: nothing of an earlier program is left, and files are read
from the flash again. The programs import the firmware's modules from this machine, over the port (`mpremote mount`): those in the
flash have lost the names that only a release itself uses. Nothing of them is left on the board.
"""

import contextlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ota.release.bundle import compile_sources, firmware_sources
from provisioning.errors import ProvisioningError
from provisioning.line.mpremote import TIMEOUT_S, mpremote
from provisioning.line.station import MAX_LINE_BYTES, WORD, Announcement, parse_line
from provisioning.rules.selftest import Measured, clock_ratio

HERE = Path(__file__).parent


def make_kit(firmware: Path, folder: Path) -> Path:
    """Compile the firmware's modules for programs at the prompt; gives the folder.

    Raises:
        BundleError: a module does not compile, or there is no firmware.
    """
    for name, code in compile_sources(dict(firmware_sources(firmware))).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code)
    return folder


def run(port: str, kit: Path, program: str, call: str, hear: Callable[[str, float], None], timeout_s: float = TIMEOUT_S) -> None:
    """Run one of the programs beside this module to its end.

    Args:
        kit: of make_kit. program: its file. call: a line of Python that starts it; it must carry no secret.
        hear: gets each line, with the time it came (time.monotonic()).

    Raises:
        ProvisioningError: as `mpremote`; "board.prompt" also of an exception on the board.
    """
    def tell(line: str) -> None:
        hear(line[:MAX_LINE_BYTES].strip(), time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / program
        path.write_text(f"{(HERE / program).read_text(encoding='utf-8')}\n{call}\n", encoding="utf-8")
        mpremote(port, ["mount", str(kit), "run", str(path)], tell=tell, timeout_s=timeout_s)


def measure(port: str, kit: Path, site: bytes) -> Measured:
    """A board's self-test.

    Args:
        site: a configuration (site.json) whose sensors are wired to the board; b"": none.

    Raises:
        ProvisioningError: as `run`.
    """
    numbers: dict[str, float] = {}
    missing: dict[str, str] = {}
    ticks: list[tuple[int, float]] = []
    mac: list[str] = []

    def hear(line: str, at_s: float) -> None:
        word, _, rest = line.partition(" ")
        with contextlib.suppress(ValueError, TypeError):
            if word == "BOARD":
                mac.append(rest)
            elif word == "TICK":
                ticks.append((int(rest), at_s))
            elif word == "TEST":
                name, number, why = json.loads(rest)
                if number is None:
                    missing[str(name)] = str(why)
                else:
                    numbers[str(name)] = float(number)

    run(port, kit, "selftest_on_device.py", f"main({site!r})", hear)
    ratio = clock_ratio([tick for tick, _ in ticks], [at_s for _, at_s in ticks])
    if ratio is not None:
        numbers["clock_ratio"] = ratio
    return Measured(mac[0] if mac else "", numbers, missing)


def announce(port: str, kit: Path, product: str, model: str, *, make: bool) -> Announcement | None:
    """The key that a board shows, with its proof; None when it has none.

    Args:
        make: let it make one when it has none.

    Raises:
        ProvisioningError: as `run`; "birth.format"; "board.radio": it makes no key without its radio.
    """
    found: list[Announcement] = []
    refused: list[str] = []

    def hear(line: str, at_s: float) -> None:
        del at_s
        if line.startswith(WORD):
            announced = parse_line(line)
            if announced is not None:
                found.append(announced)
        elif line.startswith("REFUSED "):
            refused.append(line)

    run(port, kit, "birth_on_device.py", f"main({product!r}, {model!r}, {make})", hear)
    if refused:
        raise ProvisioningError("board.radio", f"{port}: {refused[0].partition(' ')[2]}")
    return found[0] if found else None
