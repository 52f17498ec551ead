"""A chip's registers, as far as a loader is asked for them: eFuses, and the SPI controller that runs commands on the flash.

Pure. eFuses can be read only: a word that is written stays what it was, so that espefuse's read-back after burning complains.
"""

from collections.abc import Mapping

from host.sim.boards.chips import EFUSE_BYTES, MAGIC_ADDRESS, READ_ID, SPI_RUN, Chip, jedec_id


class Registers:
    """Of one chip. `efuses`: words by offset from the controller."""

    def __init__(self, chip: Chip, efuses: Mapping[int, int], flash_bytes: int) -> None:
        self.efuses = efuses
        self._chip = chip
        self._jedec = jedec_id(flash_bytes)
        self._words = {MAGIC_ADDRESS: chip.magic, **chip.words}

    def read(self, address: int) -> int:
        """A word; registers that nobody has written are 0."""
        if self._is_efuse(address):
            return self.efuses.get(address - self._chip.efuse, 0)
        return self._words.get(address, 0)

    def write(self, address: int, value: int, mask: int) -> None:
        """The masked bits of a word."""
        if self._is_efuse(address):
            return
        chip, words = self._chip, self._words
        words[address] = words.get(address, 0) & ~mask | value & mask
        if address == chip.spi and value & mask & SPI_RUN:
            command = words.get(chip.spi + chip.usr2, 0) & 0xFF
            words[chip.spi + chip.w0] = self._jedec if command == READ_ID else 0   # status registers: idle
            words[address] &= ~SPI_RUN   # done

    def _is_efuse(self, address: int) -> bool:
        return 0 <= address - self._chip.efuse < EFUSE_BYTES
