"""NOR flash in memory behind MicroPython's block-device protocol, with a power supply that can be cut at any operation.

Implements what a real chip does: erasing sets a sector's bits, programming only clears them, and one with wide program units (ECC)
takes each unit whole and once. Counts operations, bytes, wear and attempts to set a bit by programming. Does not model read
disturb, reordering, or a chip that lies about completion. Runs on CPython and on MicroPython.
"""

SECTOR_BYTES = 4096

# What the operation in progress leaves behind when the power goes.
SKIPPED = "skipped"   # nothing happened yet
HALF = "half"   # the first half was programmed or erased
DONE = "done"   # everything happened, but nobody was told
GARBAGE = "garbage"   # each bit that was to change may or may not have
FLIPPED = "flipped"   # everything happened but for a few weak bits, which still read as before
TEARS = (SKIPPED, HALF, DONE, GARBAGE, FLIPPED)
_WEAK_EVERY = 97   # bytes between two weak bits, about: some in a record, some dozen in a sector

_COUNT, _SIZE, _ERASE = 4, 5, 6


class PowerCut(BaseException):
    """The device lost its power in the middle of an operation. An event, not an error: no handler may catch it."""


class NorFlash:
    """A chip, or a partition of one.

    Attributes:
        image: The bytes; hand them to another NorFlash to switch the power on again.
        ops: Program and erase operations so far, the unit in which cuts are counted.
        violations: Bits that a program operation tried to set, and wide units programmed that were not erased.
    """

    def __init__(self, sectors: int, image: bytearray | None = None, unit: int = 1) -> None:
        """Take over an image, or begin with an erased one; `unit` is the smallest program unit in bytes."""
        self.sectors = sectors
        self.unit = unit
        self.image = image if image is not None else bytearray(b"\xff" * (sectors * SECTOR_BYTES))
        self.reads = self.programs = self.programmed_bytes = self.erases = self.ops = self.violations = 0
        self.wear = [0] * sectors
        self.refusing: set[int] = set()   # sectors that raise OSError when programmed, as a worn-out one may
        self.deaf: set[int] = set()   # sectors that silently do not program
        self.stale: set[int] = set()   # sectors whose second half silently does not erase
        self._cut_at = 0
        self._tear = DONE
        self._dead = False
        self._noise = 1

    def cut_power_at(self, op: int, tear: str) -> None:
        """Cut the power during the op-th operation from now, counted from 1."""
        self._cut_at = self.ops + op
        self._tear = tear
        self._noise = op * 2654435761 % 4294967296 | 1

    def power_on(self) -> "NorFlash":
        """Return the chip after the supply came back: same bytes and violations, other counters at 0, no cut planned."""
        chip = NorFlash(self.sectors, self.image, self.unit)
        chip.violations = self.violations
        return chip

    def readblocks(self, block: int, buf: bytearray | memoryview, offset: int = 0) -> None:
        self._check_power()
        at = self._address(block, offset, len(buf))
        buf[:] = memoryview(self.image)[at:at + len(buf)]
        self.reads += 1

    def writeblocks(self, block: int, buf: bytes, offset: int | None = None) -> None:
        self._check_power()
        if offset is None:
            raise ValueError("a program operation without an offset implies an erase; not part of this chip")
        at = self._address(block, offset, len(buf))
        if offset % self.unit or len(buf) % self.unit:
            raise ValueError(f"{len(buf)} bytes at {block}:{offset} are not whole units of {self.unit}")
        if block in self.refusing:
            raise OSError(5)
        if block in self.deaf:
            return
        tear = self._next_op()
        n = {None: len(buf), SKIPPED: 0, HALF: len(buf) // 2}.get(tear, len(buf))
        erased = self.image[at:at + n] == b"\xff" * n
        if self.unit > 1 and not erased:
            self.violations += 1
        if erased and tear not in (GARBAGE, FLIPPED):
            self.image[at:at + n] = buf[:n]
        else:
            self._program(at, buf, n, tear)
        self.programs += 1
        self.programmed_bytes += n
        self._end_op(tear)

    def ioctl(self, op: int, arg: int) -> int | None:
        if op == _COUNT:
            return self.sectors
        if op == _SIZE:
            return SECTOR_BYTES
        if op != _ERASE:
            return None
        self._check_power()
        at = self._address(arg, 0, SECTOR_BYTES)
        tear = self._next_op()
        n = {None: SECTOR_BYTES, SKIPPED: 0, HALF: SECTOR_BYTES // 2}.get(tear, SECTOR_BYTES)
        if arg in self.stale:
            n = min(n, SECTOR_BYTES // 2)
        if tear in (GARBAGE, FLIPPED):
            for i in range(n):
                self.image[at + i] |= 0xFF & ~self._unchanged(tear)
        else:
            self.image[at:at + n] = b"\xff" * n
        self.erases += 1
        self.wear[arg] += 1
        self._end_op(tear)
        return 0

    def _program(self, at: int, buf: bytes, n: int, tear: str | None) -> None:
        """Clear bits one byte after the other."""
        for i in range(n):
            old = self.image[at + i]
            if ~old & buf[i]:
                self.violations += 1
            self.image[at + i] = old & (buf[i] | self._unchanged(tear))

    def _address(self, block: int, offset: int, n: int) -> int:
        if not (0 <= block < self.sectors and offset >= 0 and offset + n <= SECTOR_BYTES):
            raise ValueError(f"{n} bytes at {block}:{offset} leave the sector")
        return block * SECTOR_BYTES + offset

    def _check_power(self) -> None:
        if self._dead:
            raise PowerCut

    def _next_op(self) -> str | None:
        self.ops += 1
        return self._tear if self.ops == self._cut_at else None

    def _end_op(self, tear: str | None) -> None:
        if tear is not None:
            self._dead = True
            raise PowerCut

    def _unchanged(self, tear: str | None) -> int:
        """Return the bits of the next byte that the cut leaves as they were."""
        if tear == GARBAGE:
            return self._random_byte()
        if tear == FLIPPED and self._random_byte() % _WEAK_EVERY == 0:
            return 1 << (self._random_byte() & 7)
        return 0

    def _random_byte(self) -> int:
        self._noise = (self._noise * 1103515245 + 12345) % 4294967296   # the C standard's example generator: repeatable
        return self._noise >> 16 & 0xFF
