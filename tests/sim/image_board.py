"""A board with two partitions for images, its boots and its update server, for tests on CPython and on MicroPython.

Everything on it hangs on one supply: files and flash can be cut at each change.
"""

import unittest

from node.agent import verify
from node.wire import bundle, manifest
from tests.sim.boot_stub import choose
from tests.sim.deltas import Tools, between
from tests.sim.memory import MemoryFile, MemoryFiles
from tests.sim.ota_server import OtaServer
from tests.sim.partitions import Chip, make_image
from tests.sim.releases import Release, root_envelope
from tests.sim.updates import Boots, Device

APP_SECTORS = 4
OLD_IMAGE, NEW_IMAGE = make_image(9000, 1), make_image(10000, 2)   # two whole blocks and a part of a third
content_of = manifest._content
manifest._content = lambda obj, least: content_of(obj, 1)   # images of the real size would not fit the tests' heap
OLD = Release(1, {"main.mpy": b"one" * 30})
PLAIN = Release(2, {"main.mpy": b"two" * 30})
PATCHED_IMAGE = make_image(10000, 1)   # OLD_IMAGE and some more of the same
BOTH = Release(2, {"main.mpy": b"both" * 30}, image=NEW_IMAGE)
MORE = {"main.mpy": b"one" * 30 + b"more"}
PATCHED = Release(2, MORE, image=PATCHED_IMAGE,
                  deltas={"artifact": [(OLD.artifact, between(OLD.artifact, bundle.build(MORE)))],
                          "image": [(OLD_IMAGE, between(OLD_IMAGE, PATCHED_IMAGE))]})
MISLED = Release(2, {"main.mpy": b"both" * 30}, image=PATCHED_IMAGE,
                 deltas={"image": [(OLD_IMAGE, between(OLD_IMAGE, PATCHED_IMAGE[:-1] + b"?"))]})
NEXT = Release(3, {"main.mpy": b"three" * 30}, image=make_image(8192, 3))
manifest._content = content_of


class CutFiles(MemoryFiles):
    """Files on the chip's supply: each change can be cut before and after."""

    def __init__(self, chip):
        super().__init__()
        self._chip = chip

    def write_atomic(self, path, data):
        self._chip.other_use()
        super().write_atomic(path, data)
        self._chip.other_use()

    def remove(self, path):
        self._chip.other_use()
        super().remove(path)

    def append(self, path):
        super().append(path)
        return CutFile(self, path, self._chip)


class CutFile(MemoryFile):
    def __init__(self, files, path, chip):
        super().__init__(files, path)
        self._chip = chip

    def close(self):
        self._chip.other_use()
        super().close()
        self._chip.other_use()


class Board(Boots):
    """A device with OLD and OLD_IMAGE as it left the line, its server, and its boots one after the other."""

    def __init__(self, *releases):
        self.chip = Chip(APP_SECTORS)
        self.chip.flash_image(0, OLD_IMAGE)
        self.files = CutFiles(self.chip)
        self.files.write_atomic(verify.PINNED, root_envelope())
        OLD.install(self.files, "factory")
        self.http = OtaServer(OLD, PLAIN, BOTH, NEXT, *releases)
        self.deltas = Tools()
        self.asked = 0   # how often the Images port was wanted
        self.boot()

    def images(self):
        self.asked += 1
        return self.chip.images()

    def boot(self):
        label = self.chip.boot()
        self.info = choose.start(self.files, label)
        self.device = Device(self.files, self.http, self.info, images=self.images, deltas=self.deltas)
        return self.chip.running, self.info["slot"], self.info["trial"]

    def fault(self, release):
        """Why a release is refused."""
        self.http.offer = release
        if self.cycle() is not None:
            return "installed"
        return self.device.update.failed and self.device.update.failed["reason"]


class ImageTest(unittest.TestCase):
    def setUp(self):
        manifest._content = lambda obj, least: content_of(obj, 1)

    def tearDown(self):
        manifest._content = content_of
