"""Writes a flash image to a board: erase, write, verify by digest. Cut off anywhere, the same call starts from the beginning.

Decides, before the board is touched, whether the image is whole, for this chip and no larger than its flash, and whether a device
key would be lost. Talking to the board is `provisioning.line.loader`'s; how many boards at once, the caller's: one thread a board.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioning.errors import ProvisioningError
from provisioning.line import esp_image
from provisioning.line.contents import look
from provisioning.line.esp_image import CHIPS, IMAGE_MAGIC, bootloader_offset
from provisioning.line.image import NOTHING, SECTOR_BYTES, TABLE_OFFSET, ImageError, read_table
from provisioning.line.loader import BAUD, Loader

GAP_BYTES = 0x10000   # of erased flash: a smaller one is written, which costs less than another part
CHIP_IDS = {0: "esp32", 9: "esp32s3", 5: "esp32c3", 13: "esp32c6"}   # esp_image_header_t.chip_id
CHIP_ID_AT, SIZE_AT = 12, 3   # in the bootloader's header; the flash's size is the upper half of its byte, 1 MiB << that
AT = re.compile(r"^Writing at 0x([0-9a-f]+)")
PHASES = ("look", "erase", "write", "verify", "done")


@dataclass(frozen=True)
class FlashImage:
    """A whole flash, to be written from address 0, checked. `name`: for messages. `flash_bytes`: what its bootloader expects."""

    name: str
    content: bytes
    chip: str
    flash_bytes: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Progress:
    """Where a board is: one of PHASES, and bytes done of all there are in `write`."""

    port: str
    phase: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Flashed:
    """A board that was written and verified."""

    port: str
    chip: str
    mac: str
    sha256: str


def read_image(path: Path) -> FlashImage:
    """Read a flash image as `tenfold image build` writes it.

    Raises:
        ProvisioningError: "image.absent"; "image.damaged": cut off, or no flash image at all; "image.chip": of a chip without a
            layout here.
    """
    if not path.is_file():
        raise ProvisioningError("image.absent", f"{path}: no such file; build it: make image (tenfold image build)")
    return check_image(path.read_bytes(), str(path))


def check_image(content: bytes, name: str) -> FlashImage:
    """A flash image from memory; see `read_image`."""
    chip = _chip_of(content, name)
    offset = bootloader_offset(chip)
    try:
        boot = esp_image.trimmed(content[offset:TABLE_OFFSET], f"{name}: bootloader")
        table = read_table(content)
        for one in table:
            if one.type == "app" and content[one.offset:one.offset + SECTOR_BYTES].strip(NOTHING):
                esp_image.trimmed(content[one.offset:one.end], f"{name}: {one.label}")
    except ImageError as error:
        raise ProvisioningError("image.damaged", f"{error}; build it again: make image") from None
    needs = max(len(content), 1 << (20 + (boot[SIZE_AT] >> 4)))
    if len(content) < max((one.offset for one in table), default=0):
        raise ProvisioningError("image.damaged", f"{name}: cut off: got {len(content):#x} bytes, its last partition begins behind; "
                                                 "build it again: make image")
    return FlashImage(name, content, chip, needs)


def flash(port: str, image: FlashImage, *, chip: str | None = None, mac: str | None = None, erase_identity: bool = False,
          baud: int = BAUD, progress: Callable[[Progress], None] = lambda _: None) -> Flashed:
    """Erase a board, write the image, verify the whole of it, and reset the board. Blocks; one call a port at a time.

    Args:
        chip: that the board is expected to have; another one is refused before it is opened. Default: the image's.
        mac: of the board that is expected at the port; another one is left as it is. Default: any.
        erase_identity: also a board that has a device key: the device is then gone, and its id comes to the ledger with another
            key, which it refuses as provisioning.second_identity.
        progress: hears of each step, from this thread.

    Raises:
        ProvisioningError: "image.chip", "image.size": the image is not for this board, "line.swapped": another board is at the
            port, "board.identity": it has a key; nothing was changed. "flash.lost": it went away while it was written;
            "flash.verify"; and what `provisioning.line.loader.Loader` raises.
    """
    if chip is not None and chip != image.chip:
        raise ProvisioningError("image.chip", f"{image.name}: got an image for {image.chip}, expected one for {chip}; build it for "
                                              "that board, or name another board")
    progress(Progress(port, "look"))
    with Loader(port, baud=baud) as loader:
        _want_fit(loader, image)
        if mac is not None and loader.mac != mac:
            raise ProvisioningError("line.swapped", f"{port}: got board {loader.mac}, expected {mac}: it was changed for another; "
                                                    "nothing was changed on it")
        if not erase_identity and look(loader.read, loader.mac, loader.flash_bytes).has_identity:
            raise ProvisioningError(
                "board.identity", f"{port}: {loader.mac} has a device key in its flash, and erasing destroys it for ever: the "
                "ledger takes no second key for one device. Update it instead (tenfold rollout, or make app PORT=…); if the "
                "device is to be given up, say so: --erase-identity (make: ERASE_IDENTITY=1)")
        try:
            _write(loader, image, progress)
        except ProvisioningError as error:
            if error.code in ("port.lost", "port.absent", "board.silent"):
                raise ProvisioningError("flash.lost", f"{port}: the board went away while it was written, it does not start now; "
                                                      "check cable and plug, then run the same command again") from None
            raise
    progress(Progress(port, "done", len(image.content), len(image.content)))
    return Flashed(port, loader.chip, loader.mac, image.sha256)


def _want_fit(loader: Loader, image: FlashImage) -> None:
    if loader.chip != image.chip:
        raise ProvisioningError("board.chip", f"{loader.port}: got a board with {loader.chip} ({loader.mac}), but {image.name} is "
                                f"for {image.chip}; nothing was changed. Take the image for {loader.chip}")
    if loader.flash_bytes and image.flash_bytes > loader.flash_bytes:
        raise ProvisioningError("image.size", f"{image.name}: is for a flash of {image.flash_bytes >> 20} MiB, {loader.port} "
                                f"({loader.mac}) has {loader.flash_bytes >> 20}; nothing was changed. Build it for that flash size")


def _write(loader: Loader, image: FlashImage, progress: Callable[[Progress], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "image"
        whole.write_bytes(image.content)
        words, places = [], []
        for start, part in _parts(image.content):
            path = Path(folder) / hex(start)
            path.write_bytes(part)
            words += [hex(start), str(path)]
            places.append((start, len(part)))
        total = sum(size for _, size in places)

        def tell(line: str) -> None:
            found = AT.match(line)
            if found:
                at = int(found[1], 16)
                progress(Progress(loader.port, "write", sum(max(0, min(size, at - start)) for start, size in places), total))

        progress(Progress(loader.port, "erase"))
        loader.esptool("write-flash", "--erase-all", *words, tell=tell)
        progress(Progress(loader.port, "verify", total, total))
        loader.esptool("verify-flash", "0", str(whole))


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """What is not erased, in whole sectors: address and bytes. Writing erased flash takes as long as writing anything else."""
    start = end = None
    for at in range(0, len(content), SECTOR_BYTES):
        if not content[at:at + SECTOR_BYTES].strip(NOTHING):
            continue
        if start is not None and end is not None and at - end > GAP_BYTES:
            yield start, content[start:end]
            start = None
        start = at if start is None else start
        end = at + SECTOR_BYTES
    if start is not None and end is not None:
        yield start, content[start:end]


def _chip_of(content: bytes, name: str) -> str:
    for chip in CHIPS:
        at = bootloader_offset(chip)
        if content[at:at + 1] == IMAGE_MAGIC and (at == 0 or not content[:at].strip(NOTHING)):
            number = int.from_bytes(content[at + CHIP_ID_AT:at + CHIP_ID_AT + 2], "little")
            if number not in CHIP_IDS:
                raise ProvisioningError("image.chip", f"{name}: got an image for chip id {number}, expected one for "
                                                      f"{', '.join(CHIPS)}; there is no layout for others")
            if bootloader_offset(CHIP_IDS[number]) == at:
                return CHIP_IDS[number]
    raise ProvisioningError("image.damaged", f"{name}: got {content[:4].hex(' ') or 'nothing'} at its start, expected the image of "
                            "a whole flash, as tenfold image build writes it; an image of micropython.org is its --stock")
