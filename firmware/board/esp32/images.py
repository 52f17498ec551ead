"""The Images port on esp32.Partition: two OTA partitions, and what the bootloader wrote about them in `otadata`.

`otadata` has two sectors, each beginning with an entry (esp_ota_select_entry_t): sequence number, 20 unused bytes, state, CRC-32
of the number; little-endian. Sequence number n stands for partition (n - 1) modulo their number.
"""

import binascii
import struct

BLOCK_BYTES = 4096
ERASE = 6   # os.AbstractBlockDev's ioctl
OTA_0 = 0x10   # subtype of the application partition ota_0; ota_1 is one more
DATA_OTA = 0   # subtype of the data partition otadata
PENDING_VERIFY = 1   # state (esp_ota_img_states_t); a bootloader without rollback leaves it at 0, new
ABORTED, UNDEFINED = 4, 0xFFFFFFFF   # the last of the states, and an erased one
STATE_AT = 24   # in an entry


def find(Partition):   # noqa: N803   (it is a class)
    """The port, or None where there is nothing to choose from: a table with one application."""
    running = Partition(Partition.RUNNING)
    try:
        other = running.get_next_update()
    except OSError:   # ENOENT: no OTA partition at all
        return None
    otadata = Partition.find(Partition.TYPE_DATA, subtype=DATA_OTA)
    if not otadata or other.info()[2] == running.info()[2]:
        return None
    return EspImages(Partition, running, other, otadata[0])


class EspImages:
    """Made by find()."""

    def __init__(self, Partition, running, other, otadata):   # noqa: N803
        self._running = running
        self._other = other
        self._otadata = otadata
        self._index = running.info()[1] - OTA_0   # negative for a factory application, which is never pending
        self._count = sum(OTA_0 <= app.info()[1] < OTA_0 + 16 for app in Partition.find(Partition.TYPE_APP))
        self.size, self.label = other.info()[3:5]
        self.set_boot = other.set_boot
        self.confirm = Partition.mark_app_valid_cancel_rollback

    def read(self, at, buf):
        self._other.readblocks(at // BLOCK_BYTES, buf, at % BLOCK_BYTES)

    def read_running(self, at, buf):
        self._running.readblocks(at // BLOCK_BYTES, buf, at % BLOCK_BYTES)

    def erase(self, at):
        if self._other.ioctl(ERASE, at // BLOCK_BYTES):
            raise OSError(5)   # EIO

    def write(self, at, data):
        self._other.writeblocks(at // BLOCK_BYTES, data, at % BLOCK_BYTES)   # with an offset it does not erase

    def pending(self):
        entry = bytearray(32)
        for sector in range(2):
            self._otadata.readblocks(sector, entry, 0)
            number, = struct.unpack_from("<I", entry, 0)
            state, crc = struct.unpack_from("<II", entry, STATE_AT)
            if ((state == PENDING_VERIFY or ABORTED < state < UNDEFINED) and (number - 1) % self._count == self._index
                    and crc == binascii.crc32(entry[:4], 0xFFFFFFFF)):
                return state == PENDING_VERIFY or self._renew(sector)
        return False

    def _renew(self, sector):
        """The CRC does not cover the state: with one that a power cut tore, the bootloader starts an image as if it were confirmed.
        Zero is new, and can be programmed over anything; so it is on trial, and the next boot that does not confirm it goes back.
        """
        try:
            self._otadata.writeblocks(sector, bytes(4), STATE_AT)
        except OSError:   # a flash that refuses is no reason to restart for ever
            return False
        return True
