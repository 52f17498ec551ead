"""A flash that remembers what was done to it: power cuts at each of its operations without running the device again for each.

What a device does without power leaves nothing on flash: a cut at an operation leaves what came before, and of that one what the
tear leaves. Also remembers what the world outside was like at each operation. Runs on CPython and on MicroPython.
"""

from host.sim.flash import SECTOR_BYTES, NorFlash, PowerCut

ERASE = 6   # os.AbstractBlockDev's ioctl


class Journal(NorFlash):
    """A chip that has its power all the time.

    Args:
        image: bytes that it begins with; they are copied. outside: gives what the world is like, as a value.
    """

    def __init__(self, image, outside):
        super().__init__(len(image) // SECTOR_BYTES, bytearray(image))
        self._start = image
        self._outside = outside
        self._done = []   # (what the world was like, method, arguments)

    def readblocks(self, block, buf, offset=0):
        """As NorFlash's, without its checks: a boot reads a thousand times."""
        at = block * SECTOR_BYTES + offset
        buf[:] = memoryview(self.image)[at:at + len(buf)]

    def writeblocks(self, block, buf, offset=None):
        self._done.append((self._outside(), NorFlash.writeblocks, (block, bytes(buf), offset)))
        return super().writeblocks(block, buf, offset)

    def ioctl(self, op, arg):
        if op == ERASE:
            self._done.append((self._outside(), NorFlash.ioctl, (op, arg)))
        return super().ioctl(op, arg)

    def cut(self, op, tear):
        """The image that the power leaves when it goes during the op-th operation, counted from 1; what the world was like then."""
        if op > self.ops:
            raise ValueError(f"got operation {op}, expected at most {self.ops}")
        flash = NorFlash(self.sectors, bytearray(self._start))
        flash.cut_power_at(op, tear)
        try:
            for _, call, arguments in self._done[:op]:
                call(flash, *arguments)
        except PowerCut:
            pass
        return flash.image, self._done[op - 1][0]
