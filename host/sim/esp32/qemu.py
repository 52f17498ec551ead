"""The user's QEMU: what it must be able to do, and the command line of one board.

Decides whether a program can emulate a chip with its Wi-Fi, by asking it; starts nothing that stays.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from host.sim.errors import DemoError

ASK_S = 20.0   # --version takes 30 ms
QUIT = '{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n'   # QEMU's machine protocol
STEADY = ("-icount", "shift=4,sleep=on")   # 16 ns an instruction: half a chip's pace, and about what QEMU does on an idle machine
WANTED = "Tenfold needs a QEMU with Espressif's chips and their Wi-Fi (the fork lcgamboa/qemu has them)"


class EmulatorError(DemoError):
    """An emulated board cannot run here, or did not do what a board does; the message says what to do."""


@dataclass(frozen=True)
class Model:
    """How QEMU calls a chip: its program, its machine, its Wi-Fi."""

    program: str
    machine: str
    nic: str


MODELS = {
    "esp32": Model("qemu-system-xtensa", "esp32", "esp32_wifi"),
    "esp32c3": Model("qemu-system-riscv32", "esp32c3-picsimlab", "esp32c3_wifi"),
}


@dataclass(frozen=True)
class Emulator:
    """A QEMU that was asked: `check` makes it.

    Without `watchdog` the chip's timers never reset it: on a loaded machine they do, since they count the time of day and not
    what the chip got done, and QEMU does not always come back from that.

    `steady` gives the chip a clock that goes by what it got done: a loaded machine makes it slow, but its deadlines come no sooner
    for it. Its time of day then falls behind. Its two cores share one of the machine's.
    """

    program: Path
    chip: str
    roms: Path | None = None
    watchdog: bool = True
    steady: bool = False

    def argv(self, flash: Path, efuse: Path, listener: int) -> list[str]:
        """Give the command line of one board.

        Args:
            listener: file descriptor of a listening TCP socket: the board's serial port. The board starts at its first client,
                so that no word of a boot is missed.
        """
        tame = [] if self.watchdog else ["-global", f"driver=timer.{self.chip}.timg,property=wdt_disable,value=true"]
        return [
            *self._machine(), *tame, *(STEADY if self.steady else ()), "-display", "none", "-monitor", "none",
            "-drive", f"file={_escaped(flash)},if=mtd,format=raw",   # through the page cache: what was written outlives SIGKILL
            "-drive", f"file={_escaped(efuse)},if=none,format=raw,id=efuse",
            "-global", f"driver=nvram.{self.chip}.efuse,property=drive,value=efuse",
            "-chardev", f"socket,id=uart,fd={listener},server=on,wait=on", "-serial", "chardev:uart",
        ]

    def probe(self) -> list[str]:
        """Give the command line of a machine that never runs and takes QMP on standard input."""
        return [*self._machine(), "-S", "-display", "none", "-serial", "none", "-monitor", "none", "-qmp", "stdio"]

    def _machine(self) -> list[str]:
        model = MODELS[self.chip]
        roms = ["-L", str(self.roms)] if self.roms else []
        return [str(self.program), *roms, "-M", model.machine, "-nic", f"user,model={model.nic}"]


def check(program: Path, chip: str, roms: Path | None = None) -> Emulator:
    """Ask a QEMU whether it can be this chip, with Wi-Fi.

    Args:
        chip: of the image that shall run.
        roms: folder of the chips' ROM files, when QEMU does not find them by itself.

    Raises:
        EmulatorError: it is missing, cannot run, or is for something else.
    """
    if chip not in MODELS:
        raise EmulatorError(f"chip {chip}: cannot be emulated; use an image for {' or '.join(MODELS)}")
    if not program.is_file():
        raise EmulatorError(f"QEMU {program}: no such file; name the program itself, e.g. --qemu …/{MODELS[chip].program} "
                            f"(make: QEMU=…). {WANTED}")
    if not os.access(program, os.X_OK):
        raise EmulatorError(f"QEMU {program}: not executable; name the program, or: chmod +x {program}")
    program = program.resolve()
    if roms is not None and not roms.is_dir():
        raise EmulatorError(f"ROM folder {roms}: no such folder; name the one with {chip}*-rom.bin, or leave --roms out")
    version = _ask([str(program), "--version"])
    if "QEMU emulator" not in version.stdout:
        raise EmulatorError(f"{program}: is not QEMU; name the program, e.g. --qemu …/{MODELS[chip].program}")
    _require_machine(program, chip)
    emulator = Emulator(program, chip, roms.resolve() if roms else None)
    done = _ask(emulator.probe(), QUIT)
    if done.returncode:
        words = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise EmulatorError(f"{program}: {words}; if its ROM files are missing, name their folder: --roms DIR")
    if "was not created" in done.stderr or "not supported" in done.stderr:
        raise EmulatorError(f"{program}: emulates {chip}, but without Wi-Fi (network model {MODELS[chip].nic}). {WANTED}")
    return emulator


def _require_machine(program: Path, chip: str) -> None:
    machines = {line.split()[0] for line in _ask([str(program), "-machine", "help"]).stdout.splitlines()[1:] if line.strip()}
    if MODELS[chip].machine in machines:
        return
    others = [name for name, model in MODELS.items() if model.machine in machines]
    if others:
        raise EmulatorError(
            f"{program}: emulates {', '.join(others)}, the image is for {chip}; use {MODELS[chip].program}, or another image")
    raise EmulatorError(f"{program}: has no machine {MODELS[chip].machine}. {WANTED}")


def _ask(command: list[str], words: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=words, capture_output=True, text=True, errors="replace", timeout=ASK_S, check=False)
    except subprocess.TimeoutExpired:
        raise EmulatorError(f"{command[0]}: did not answer {command[-1]} within {ASK_S:.0f} s; is it QEMU?") from None
    except OSError as error:
        raise EmulatorError(f"{command[0]}: cannot be started: {error.strerror}; it must be a program for this machine") from None


def _escaped(path: Path) -> str:
    """QEMU takes a comma for the end of an option's value, unless it is doubled."""
    return str(path).replace(",", ",,")
