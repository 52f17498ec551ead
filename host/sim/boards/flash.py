"""A board's flash: a file that this process and the board's MicroPython both see at once, with NOR rules and faults.

Decides nothing of what is written. The file is mapped, so that what either has written is there for the other and after a kill.
"""

import mmap
from pathlib import Path
from typing import cast

from host.sim.flash import HALF, SECTOR_BYTES, NorFlash

_ERASE = 6          # MicroPython's ioctl of a block device
FLIPPED_BITS = 0x11   # in the first byte of a sector that is corrupted


class FlashFile:
    """The flash of one board.

    Attributes:
        size: in bytes.
        bad: sectors in whose next programming bits flip; each once.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Open a flash, or make an erased one."""
        if not path.exists() or path.stat().st_size != size:
            path.write_bytes(b"\xff" * size)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self.path, self.size = path, size
        self.bad: set[int] = set()
        self._nor = NorFlash(size // SECTOR_BYTES, cast(bytearray, self._map))   # used as one

    def power_on(self) -> None:
        """The same bytes after a power cut; one that was planned is forgotten."""
        self._nor = self._nor.power_on()

    def cut_power_at(self, operation: int) -> None:
        """Let the power go in the middle of an erase or program operation from now on, counted from 1: half of it happens."""
        self._nor.cut_power_at(operation, HALF)

    def holds(self, address: int, size: int) -> bool:
        """Whether this part is inside the flash."""
        return 0 <= address <= address + size <= self.size

    def read(self, address: int, size: int) -> bytes:
        return self._map[address:address + size]

    def erase(self, address: int, size: int) -> None:
        """Erase the sectors that these bytes lie in.

        Raises:
            PowerCut: as planned.
        """
        for sector in range(address // SECTOR_BYTES, (address + size + SECTOR_BYTES - 1) // SECTOR_BYTES):
            self._nor.ioctl(_ERASE, sector)

    def program(self, address: int, data: bytes) -> None:
        """Program bytes, sector by sector.

        Raises:
            PowerCut: as planned.
        """
        while data:
            sector, offset = divmod(address, SECTOR_BYTES)
            part = data[:SECTOR_BYTES - offset]
            self._nor.writeblocks(sector, part, offset)
            if sector in self.bad:
                self.bad.remove(sector)
                self._map[address] ^= FLIPPED_BITS
            address, data = address + len(part), data[len(part):]

    def replace(self, image: bytes) -> None:
        """Put an image there as if it had been flashed; the rest is erased."""
        self._map[:] = image.ljust(self.size, b"\xff")

    def close(self) -> None:
        self._map.close()
