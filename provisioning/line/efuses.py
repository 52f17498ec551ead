"""A chip's eFuses, read and burned by the real espefuse as a subprocess: at a serial port, or virtual ones in a file.

Decides nothing: what is burned comes as a step of `provisioning.rules.secure`. espefuse is under the GPL and is never imported. A
path is all that a command line or a message here tells of a key; a copy of a board's eFuses goes by a file of arguments.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from provisioning.errors import ProvisioningError
from provisioning.rules.fuses import CHIPS, Board, Fuse
from provisioning.rules.secure import Step

TIMEOUT_S = 120.0         # a connection and a step take 3 s at a port, virtual ones 1 s, ten times that on a loaded machine
READ_TIMEOUT_S = 1200.0   # 16 MiB at READ_BAUD take six minutes
READ_BAUD = 460800        # what USB bridges of common boards keep up with
CLOSED = "; check the port, and that the board is in download mode. A board that was guarded or locked does not answer any more"


@dataclass(frozen=True)
class Efuses:
    """Where a chip's eFuses are: `place` is espefuse's options for it. Virtual ones need the chip's name, a port tells it."""

    name: str
    place: tuple[str, ...]
    chip: str = "auto"

    @classmethod
    def at(cls, port: str) -> "Efuses":
        """The chip at a serial port, as esptool takes it."""
        return cls(port, ("--port", port))

    @classmethod
    def virtual(cls, path: Path, chip: str) -> "Efuses":
        """Virtual eFuses in a file, which is made when it is missing: a blank chip."""
        return cls(str(path), ("--virt", "--path-efuse-file", str(path)), chip)

    @property
    def is_virtual(self) -> bool:
        return "--virt" in self.place

    def read(self) -> Board:
        """Read all fields in one connection.

        Raises:
            ProvisioningError: "secure.tool": nobody answers, or a chip that does not let itself be read; "secure.chip": one
                that there are no rules for.
        """
        with tempfile.TemporaryDirectory() as folder:
            token = self._dump(Path(folder), "summary", "--file", f"{folder}/fuses", "--format", "json")
            found = json.loads((Path(folder) / "fuses").read_text(encoding="utf-8"))
        fuses = {name: Fuse(_number(one["raw_value"]), one["readable"], one["writeable"]) for name, one in found.items()}
        _, chip, revision, _ = token.split(":", 3)
        if chip not in CHIPS:
            raise ProvisioningError("secure.chip", f"{self.name}: got {chip}, expected one of {', '.join(CHIPS)}")
        return Board(chip, int(revision), found["MAC"]["value"].split()[0].lower(), fuses)

    def burn(self, step: Step) -> None:
        """Burn one step. Burning it again does nothing.

        Raises:
            ProvisioningError: "secure.tool": espefuse refused, or what it read back was something else.
        """
        words = [step.key.path if word == "{key}" and step.key else word for word in step.command]
        self._espefuse("--do-not-confirm", *words)

    def copy(self, path: Path) -> "Efuses":
        """Virtual eFuses in a new file that are what these are now.

        Raises:
            ProvisioningError: "secure.tool", as above.
        """
        with tempfile.TemporaryDirectory() as folder:
            token = self._dump(Path(folder))
            chip = token.split(":", 2)[1]
            arguments = Path(folder) / "arguments"
            arguments.write_text(f'--chip {chip} --virt --token {token} --path-efuse-file "{path}" summary', encoding="utf-8")
            run_tool("espefuse", f"@{arguments}", name=self.name)
        return Efuses.virtual(path, chip)

    def _dump(self, folder: Path, *more: str) -> str:
        """Every block, with chip and revision, in espefuse's own words."""
        self._espefuse("dump", "--format", "token", "--file-name", str(folder / "token"), *more)
        return (folder / "token").read_text(encoding="utf-8").strip()

    def _espefuse(self, *arguments: str) -> None:
        hint = "" if self.is_virtual else CLOSED
        run_tool("espefuse", "--chip", self.chip, *self.place, *arguments, name=self.name, hint=hint)


def read_flash(port: str) -> bytes:
    """The whole flash of the board at a port. Takes a minute or two for 4 MiB. The board stays in its loader.

    It must not start: a bootloader with secure boot burns eFuses at its first start, as it was configured and not as planned.

    Raises:
        ProvisioningError: "secure.tool": nobody answers, or the chip does not let itself be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "flash"
        run_tool("esptool", "--port", port, "--baud", str(READ_BAUD), "--after", "no-reset", "read-flash", "0", "ALL", str(out),
                 name=port, hint=CLOSED, timeout_s=READ_TIMEOUT_S)
        return out.read_bytes()


def run_tool(tool: str, *arguments: str, name: str, hint: str = "", timeout_s: float = TIMEOUT_S) -> None:
    """Run esptool, espefuse or espsecure; files that it makes are for this user alone.

    Args:
        name: what a message names: the port or file.

    Raises:
        ProvisioningError: "secure.tool": it ended with a fault, or not at all; with its last words.
    """
    command = [sys.executable, "-m", tool, *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
                              umask=0o077)
    except subprocess.TimeoutExpired:
        raise ProvisioningError("secure.tool", f"{name}: {tool} did not end within {timeout_s:.0f} s{hint}") from None
    if done.returncode:
        words = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip(" │╭╮╰╯─")]
        raise ProvisioningError("secure.tool", f"{name}: {tool}: {words[-1] if words else f'exit code {done.returncode}'}{hint}")


def _number(raw: str) -> int:
    """A field's bits; what the chip does not let be read is told as question marks."""
    return 0 if "?" in raw else int(raw, 16)
