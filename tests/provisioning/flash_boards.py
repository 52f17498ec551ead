"""Simulated boards to be flashed: images with files of our firmware's, and boards that end with the test."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from host.sim.boards.board import Board
from node.agent.paths import KEY_PATH
from provisioning.line.esp_image import Stock, bootloader_offset, build_esp_flash
from provisioning.line.flashing import FlashImage, check_image
from tests.provisioning.esp_images import application, esp_image_file
from tests.provisioning.secure_boards import CSV, IMAGES

RELEASE = json.dumps({"release": "1.2.3", "counter": 1, "manifest": "", "model": "hall", "mpy": 6}).encode()
ON_THE_LINE = {"/boot.py": b"# ours\n", "/factory/release.json": RELEASE}
BORN = {**ON_THE_LINE, KEY_PATH: b"private", "/state/site.json": json.dumps({"product": "hall", "more": "x" * 5000}).encode()}


def image(chip: str, files: Mapping[str, bytes] | None = None) -> FlashImage:
    """A whole flash of 4 MiB; without files it is plain MicroPython."""
    boot = esp_image_file(IMAGES[chip][0], [(0x3FFF0030, b"\x07" * 0x1000)])
    stock = Stock(chip, bootloader_offset(chip), boot, application(IMAGES[chip]))
    return check_image(build_esp_flash(stock, CSV, files or {}), f"{chip}.bin")


@contextmanager
def boards(folder: Path, *chips: str, flash_bytes: int = 4 << 20) -> Iterator[list[Board]]:
    """Boards 1, 2 … of these chips, erased, switched off at the end."""
    made: list[Board] = []
    try:
        for number, chip in enumerate(chips, 1):
            made.append(Board(folder, number, chip, flash_bytes))
        yield made
    finally:
        for board in made:
            board.close()
