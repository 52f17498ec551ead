"""Boards for secure boot: flash images with bootloaders that check or do not, and chips with virtual eFuses."""

import subprocess
import sys
from pathlib import Path

from provisioning.line.efuses import Efuses
from provisioning.line.esp_image import Stock, bootloader_offset, build_esp_flash
from provisioning.line.signing import TRACE
from provisioning.rules.fuses import BLOCKS, CHIPS, Board, Fuse
from tests.provisioning.esp_images import application, esp_image_file

CSV = Path(__file__).parents[2] / "firmware/image/partitions.csv"
# chip -> id in the image's header, as esp_images has it for two of them; the other numbers do not matter here
IMAGES = {"esp32": (0, 0x1000, 0x3F400020), "esp32s3": (9, 0x0, 0x3C000020), "esp32c3": (5, 0x0, 0x3C000020),
          "esp32c6": (13, 0x0, 0x42000020)}
REVISIONS = {"esp32": ("CHIP_VER_REV1", "1", "CHIP_VER_REV2", "1"), "esp32c3": ("WAFER_VERSION_MINOR_LO", "3")}


def flash_image(chip: str, *, trace: bytes = TRACE) -> bytes:
    """A whole flash, unsigned: bootloader with the trace of signature checks, one application, our file system."""
    boot = esp_image_file(IMAGES[chip][0], [(0x3FFF0030, trace.ljust(0x1000, b"\x07"))])
    stock = Stock(chip, bootloader_offset(chip), boot, application(IMAGES[chip]))
    return build_esp_flash(stock, CSV, {"/boot.py": b"# ours\n"})


def board(chip: str, revision: int = 300, **values: int | Fuse) -> Board:
    """A chip fresh from the factory but for some fields: a value, or a Fuse."""
    names = CHIPS[chip]
    fields = {"WR_DIS", "RD_DIS", "SECURE_VERSION", names.boot, names.closed, names.crypt, *names.jtag}
    fields |= {"BLOCK2", "ABS_DONE_0", "CODING_SCHEME"} if chip == "esp32" else {
        "DIS_DIRECT_BOOT", names.writes_only, *(f"BLOCK_KEY{number}" for number in range(BLOCKS)),
        *(f"KEY_PURPOSE_{number}" for number in range(BLOCKS)), *(f"SECURE_BOOT_KEY_REVOKE{number}" for number in range(3))}
    assert set(values) <= fields
    fuses = dict.fromkeys(fields, Fuse(0)) | {name: one if isinstance(one, Fuse) else Fuse(one) for name, one in values.items()}
    return Board(chip, revision, "02:42:ac:12:00:01", fuses)


def blank(path: Path, chip: str) -> Efuses:
    """Virtual eFuses as a chip leaves the factory, of the first revision with secure boot v2."""
    efuses = Efuses.virtual(path, chip)
    if chip in REVISIONS:
        espefuse(efuses, "burn-efuse", *REVISIONS[chip])
    return efuses


def espefuse(efuses: Efuses, *words: str) -> None:
    """Burn by hand, past all rules."""
    command = [sys.executable, "-m", "espefuse", "--chip", efuses.chip, *efuses.place, "--do-not-confirm", *words]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
