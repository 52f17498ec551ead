"""A board that boots from littlefs on simulated NOR flash, as far as boot.py sees one. MicroPython only.

Mounts the flash as the root, imports boot.py from it and waits for the reset. The root file system of the host is gone while a
board boots: import and read everything else before.
"""

import os
import sys

from host.sim.flash import PowerCut

EIO = 5


class Reset(BaseException):
    """The chip resets."""


class Chip:
    """A block device that answers with an error once the power is gone: exceptions cannot be raised through littlefs.

    Attributes:
        dead: the power went.
    """

    def __init__(self, flash):
        self.flash = flash
        self.dead = False

    def readblocks(self, *arguments):
        return self._try(self.flash.readblocks, arguments)

    def writeblocks(self, *arguments):
        return self._try(self.flash.writeblocks, arguments)

    def ioctl(self, *arguments):
        return self._try(self.flash.ioctl, arguments)

    def _try(self, call, arguments):
        if not self.dead:
            try:
                return call(*arguments)
            except PowerCut:
                self.dead = True
        return -EIO


class Simchip:
    """Stands for the module of that name.

    Attributes:
        cause: why the next boot starts.
    """

    cause = "power"

    class RTC:
        def memory(self, *data):
            return b""

    class Watchdog:
        armed = 0

        def __init__(self, timeout):
            Simchip.Watchdog.armed += 1

    @staticmethod
    def reset():
        raise Reset

    @staticmethod
    def reset_cause():
        cause, Simchip.cause = Simchip.cause, "soft"
        return cause


def boot(chip, before=None):
    """Power up: mount, import boot.py, until the chip resets.

    Args:
        before: called with the flash mounted, ahead of boot.py.

    Returns:
        True after a reset, False if boot.py came to an end without one.

    Raises:
        OSError: the file system cannot be mounted.
    """
    for name in list(sys.modules):
        if name in ("boot", "choose", "stub", "main") or name.startswith("part"):
            del sys.modules[name]
    sys.modules["simchip"] = Simchip
    os.mount(os.VfsLfs2(chip), "/")
    try:
        os.chdir("/")
        if before is not None:
            before()
        sys.path[:] = [""]
        __import__("boot")
        return False
    except Reset:
        return True
    finally:
        try:   # noqa: SIM105   (no contextlib here)
            os.umount("/app")   # the slot's bundle
        except OSError:
            pass
        os.umount("/")
