"""A board's profile as a board definition of MicroPython's esp32 port: the files of `ports/esp32/boards/<NAME>`.

Decides from values only what the build is told: chip, flash size, PSRAM, partition table, rollback, Bluetooth left out, which
modules are frozen. Names of settings and of the port's own files are those of the tag in firmware/image/micropython.json; another
tag may have others. Reads and builds nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.boards.profile import Board
from ota.release.bundle import UMQTT

MIB = 1 << 20
FLASH_MIB = (4, 8, 16, 32)   # CONFIG_ESPTOOLPY_FLASHSIZE_<n>MB; less has no two application slots
SMALL_MIB = 4                # application slots so small that the interpreter is built for size, as the port's variant OTA is
FOLDER = "tenfold"           # of the frozen agent, boot.py's FROZEN: a name that no bundle has
SMALLEST, ASSERTING = "frozen", "asserting"   # folders of sources: compiled with -O3, with assertions (as bundle.py does it)
RECORD = "release.py"        # RELEASE in it: what boot.py is told of the frozen agent
SIMULATED = "board/unix/"    # modules of the simulated board: no chip imports them


@dataclass(frozen=True, slots=True)
class Chip:
    """What the port's build must be told of a chip. `march`: mpy-cross's name. `sdkconfig`: files under boards/."""

    mcu: str
    march: str
    sdkconfig: Sequence[str] = ()
    quad: Sequence[str] = ()    # PSRAM
    octal: Sequence[str] = ()
    uart_prompt: bool = False   # the chip has USB, and the port would leave the UART to others


CHIPS: Mapping[str, Chip] = {
    "esp32": Chip("ESP32", "xtensawin", quad=("sdkconfig.spiram",)),
    "esp32s3": Chip("ESP32S3", "xtensawin", quad=("sdkconfig.spiram_sx",), octal=("sdkconfig.spiram_sx", "sdkconfig.spiram_oct"),
                    uart_prompt=True),
    "esp32c3": Chip("ESP32C3", "rv32imc", ("sdkconfig.riscv", "ESP32_GENERIC_C3/sdkconfig.c3usb"), uart_prompt=True),
    "esp32c6": Chip("ESP32C6", "rv32imc", ("sdkconfig.riscv", "sdkconfig.c6"), uart_prompt=True),
}


def board_name(profile: str) -> str:
    """The folder's name, which is the BOARD of the port's make: wt32-eth01 is TENFOLD_WT32_ETH01."""
    return "TENFOLD_" + re.sub(r"[^A-Z0-9]+", "_", profile.upper()).strip("_")


def render(name: str, board: Board, table: str, sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """The definition's files, by path in its folder; the same values give the same bytes.

    Args:
        name: from `board_name`.
        table: the partition table, ESP-IDF's CSV.
        sources: the agent's, from `frozen_sources`.

    Raises:
        ValueError: a flash that the build has no setting for.
    """
    texts = {"mpconfigboard.h": _header(board), "mpconfigboard.cmake": _cmake(name, board), "manifest.py": MANIFEST,
             "sdkconfig.board": _sdkconfig(name, board), "partitions.csv": table}
    return {path: text.encode() for path, text in texts.items()} | dict(sources)


def frozen_sources(agent: Mapping[str, bytes], release: Mapping[str, object]) -> dict[str, bytes]:
    """The agent's sources in the definition's folder, below FOLDER, and the record of what they are.

    Args:
        agent: from ota.release.bundle.bundle_sources. release: keys of the boot stub's RELEASE.
    """
    found = {path: content for path, content in agent.items() if not path.startswith(SIMULATED)}
    placed = {f"{ASSERTING if path == UMQTT else SMALLEST}/{FOLDER}/{path}": content for path, content in found.items()}
    placed[f"{SMALLEST}/{FOLDER}/{RECORD}"] = f"RELEASE = {dict(sorted(release.items()))!r}\n".encode()
    return placed


def sdkconfig_files(name: str, board: Board) -> list[str]:
    """The files of settings, later ones winning, by path in ports/esp32."""
    chip = CHIPS[board.chip]
    psram = {"quad": chip.quad, "octal": chip.octal}.get(board.psram or "", ())
    return [f"boards/{file}" for file in ("sdkconfig.base", *chip.sdkconfig, *psram, f"{name}/sdkconfig.board")]


def _header(board: Board) -> str:
    named = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in board.name)
    rows = [("MICROPY_HW_BOARD_NAME", f'"{named}"'), ("MICROPY_HW_MCU_NAME", f'"{CHIPS[board.chip].mcu}"'),
            ("MICROPY_PY_BLUETOOTH", "(0)")]
    if CHIPS[board.chip].uart_prompt:
        rows.append(("MICROPY_HW_ENABLE_UART_REPL", "(1)"))   # the line writes over it
    return "".join(f"#define {key} {value}\n" for key, value in rows)


def _cmake(name: str, board: Board) -> str:
    files = "".join(f"    {file}\n" for file in sdkconfig_files(name, board))
    return (f"set(IDF_TARGET {board.chip})\n\nset(SDKCONFIG_DEFAULTS\n{files})\n\n"
            "set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)\n")


def _sdkconfig(name: str, board: Board) -> str:
    size = board.flash_bytes // MIB
    if size not in FLASH_MIB or board.flash_bytes % MIB:
        raise ValueError(f"flash_bytes: got {board.flash_bytes}, expected one of {', '.join(map(str, FLASH_MIB))} MiB")
    rows = [(f"CONFIG_ESPTOOLPY_FLASHSIZE_{each}MB", "y" if each == size else "n") for each in FLASH_MIB]
    rows += [
        ("CONFIG_PARTITION_TABLE_CUSTOM", "y"),
        ("CONFIG_PARTITION_TABLE_CUSTOM_FILENAME", f'"boards/{name}/partitions.csv"'),
        ("CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE", "y"),          # an image on trial that resets goes back
        ("CONFIG_BOOTLOADER_SKIP_VALIDATE_IN_DEEP_SLEEP", "n"),  # nor does sleep start one that nobody looked at
    ]
    if size == SMALL_MIB:
        rows += [("CONFIG_COMPILER_OPTIMIZATION_SIZE", "y"), ("CONFIG_COMPILER_OPTIMIZATION_PERF", "n"),
                 ("CONFIG_COMPILER_OPTIMIZATION_CHECKS_SILENT", "y")]
    return "".join(f"{key}={value}\n" for key, value in rows)


MANIFEST = f"""\
freeze("$(PORT_DIR)/modules")
include("$(MPY_DIR)/extmod/asyncio")
require("onewire")
package("{FOLDER}", base_path="$(BOARD_DIR)/{SMALLEST}", opt=3)
package("{FOLDER}", base_path="$(BOARD_DIR)/{ASSERTING}", opt=0)
"""
