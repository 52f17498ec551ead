"""Two application partitions with their otadata on simulated NOR flash, and the bootloader that chooses between them.

Does what ESP-IDF 5 with rollback does (bootloader_utility.c, esp_ota_ops.c). Offers class Partition as the `esp32` module does, so
that the device's own adapter runs on it. An image here is b"\\xe9", its length, anything, and the SHA-256 of all that. Runs on
CPython and on MicroPython.
"""

import binascii
import struct
import sys

from host.sim.flash import NorFlash
from node.compat import sha256

# The adapters lie outside every package of the host, as on the device.
sys.path.insert(0, __file__[:-len("tests/sim/partitions.py")] + "firmware")
from board.esp32 import images

sys.path.pop(0)

SECTOR_BYTES = 4096
NEW, PENDING_VERIFY, VALID, INVALID, ABORTED, UNDEFINED = 0, 1, 2, 3, 4, 0xFFFFFFFF
ERASED = 0xFFFFFFFF
LABELS = ("ota_0", "ota_1")
_VALIDATE_FAILED, _FAIL, _INVALID_SIZE = 0x1503, -1, 0x104   # esp_err_t


def make_image(length, seed):
    """An image of so many bytes; another seed gives another."""
    body = b"\xe9" + struct.pack("<I", length) + bytes(seed + i * i % 251 & 0xFF for i in range(length - 37))
    return body + sha256(body)


class Chip:
    """The flash of a board: two sectors of otadata, then ota_0, ota_1 and one sector for others; and which image runs.

    Attributes:
        app_sectors: of each application partition.
        running: 0 or 1, since boot().
        Partition: as esp32.Partition.
    """

    def __init__(self, app_sectors, flash=None):
        self.app_sectors = app_sectors
        self.flash = flash or NorFlash(3 + 2 * app_sectors)
        self.running = None
        self.Partition = partition_class(self)

    def images(self):
        """The device's own adapter on this chip."""
        return images.find(self.Partition)

    def other_use(self):
        """An operation on the same supply that touches neither images nor otadata."""
        self.flash.ioctl(6, self.flash.sectors - 1)

    def flash_image(self, index, image):
        """Put an image into a partition, as the line does."""
        at = (2 + index * self.app_sectors) * SECTOR_BYTES
        self.flash.image[at:at + len(image)] = image

    def image(self, index):
        """The image in a partition, or None: the bootloader would not start it."""
        at = (2 + index * self.app_sectors) * SECTOR_BYTES
        raw = self.flash.image
        length = struct.unpack_from("<I", raw, at + 1)[0]
        if raw[at] != 0xE9 or not 37 < length <= self.app_sectors * SECTOR_BYTES:
            return None
        body = bytes(memoryview(raw)[at:at + length])
        return body if sha256(body[:-32]) == body[-32:] else None

    def boot(self):
        """Reset: the bootloader chooses an image and starts it; its label."""
        entries = self.entries()
        for sector, (number, state, crc) in enumerate(entries):
            if state == PENDING_VERIFY:
                entries[sector] = (number, ABORTED, crc)
                self.write_entry(sector, number, ABORTED, crc)
        active = self.active(entries)
        chosen = 0
        if active is not None:
            number, state, crc = entries[active]
            chosen = (number - 1) % 2
            if state == NEW:
                self.write_entry(active, number, PENDING_VERIFY, crc)
        order = [index for index in (chosen, 1 - chosen) if self.image(index) is not None]
        if not order:
            raise AssertionError("bricked: no image to start")
        self.running = order[0]
        if not any(number != ERASED and crc == crc_of(number) for number, _, crc in entries):
            self.write_entry(0, self.running + 1, VALID)   # otadata as it left the line
        return LABELS[self.running]

    def entries(self):
        """[(sequence number, state, CRC)] of both sectors of otadata."""
        return [struct.unpack_from("<I", self.flash.image, at) + struct.unpack_from("<II", self.flash.image, at + 24)
                for at in (0, SECTOR_BYTES)]

    def active(self, entries):
        """Sector of the entry that counts, or None."""
        good = [(number, sector) for sector, (number, state, crc) in enumerate(entries)
                if number != ERASED and state not in (INVALID, ABORTED) and crc == crc_of(number)]
        return max(good)[1] if good else None

    def state(self):
        """State of the running image; None without an entry."""
        states = [state for number, state, crc in self.entries() if crc == crc_of(number) and (number - 1) % 2 == self.running]
        return states[0] if states else None

    def write_entry(self, sector, number, state, crc=None):
        self.flash.ioctl(6, sector)
        self.flash.writeblocks(sector, struct.pack("<I", number) + b"\xff" * 20
                               + struct.pack("<II", state, crc_of(number) if crc is None else crc), 0)

    def set_boot(self, index):
        """esp_ota_set_boot_partition."""
        if self.image(index) is None:
            raise OSError(-_VALIDATE_FAILED)
        entries = self.entries()
        active = self.active(entries)
        if active is None:
            self.write_entry(0, index + 1, NEW)
            return
        number = (index + 1) % 2
        while number < entries[active][0]:
            number += 2
        self.write_entry(1 - active, number, NEW)

    def mark_valid(self):
        """esp_ota_mark_app_valid_cancel_rollback."""
        entries = self.entries()
        active = self.active(entries)
        if active is None:
            raise OSError(_FAIL)
        if entries[active][1] != VALID:
            self.write_entry(active, entries[active][0], VALID)


def crc_of(number):
    return binascii.crc32(struct.pack("<I", number), 0xFFFFFFFF) & 0xFFFFFFFF


def partition_class(chip):
    """esp32.Partition of this chip."""

    class Partition:
        BOOT, RUNNING, TYPE_APP, TYPE_DATA = 0, 1, 0, 1

        def __init__(self, which, info=None):
            self._type, self._subtype = info or (0, 0x10 + chip.running)   # of `which`, only RUNNING is asked for
            app = self._type == Partition.TYPE_APP
            self._sectors = chip.app_sectors if app else 2
            self._first = 2 + (self._subtype - 0x10) * self._sectors if app else 0

        @staticmethod
        def find(type=0, subtype=0xFF, label=None):
            found = [Partition(None, info) for info in ((0, 0x10), (0, 0x11), (1, 0)) if info[0] == type]
            return [part for part in found if subtype in (0xFF, part.info()[1]) and label in (None, part.info()[4])]

        @staticmethod
        def mark_app_valid_cancel_rollback():
            chip.mark_valid()

        def info(self):
            label = LABELS[self._subtype - 0x10] if self._type == Partition.TYPE_APP else "otadata"
            return self._type, self._subtype, self._first * SECTOR_BYTES, self._sectors * SECTOR_BYTES, label, False

        def get_next_update(self):
            return Partition(None, (0, 0x10 + 0x11 - self._subtype))

        def readblocks(self, block, buf, offset=0):
            at = (self._first + block) * SECTOR_BYTES + offset
            self._check(block * SECTOR_BYTES + offset, len(buf))
            chip.flash.readblocks(at // SECTOR_BYTES, buf, at % SECTOR_BYTES)

        def writeblocks(self, block, buf, offset=None):
            self._check(block * SECTOR_BYTES + (offset or 0), len(buf))
            if offset is None:
                if len(buf) % SECTOR_BYTES:
                    raise OSError(-_INVALID_SIZE)
                for at in range(0, len(buf), SECTOR_BYTES):
                    self.ioctl(6, block + at // SECTOR_BYTES)
            for at in range(0, len(buf), SECTOR_BYTES):
                chip.flash.writeblocks(self._first + block + at // SECTOR_BYTES, buf[at:at + SECTOR_BYTES], offset or 0)

        def ioctl(self, op, arg):
            return chip.flash.ioctl(op, self._first + arg) if op == 6 else None

        def set_boot(self):
            chip.set_boot(self._subtype - 0x10)

        def _check(self, at, n):
            if not 0 <= at <= at + n <= self._sectors * SECTOR_BYTES:
                raise OSError(-_INVALID_SIZE)

    return Partition
