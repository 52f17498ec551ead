"""A file system without space, real littlefs under MicroPython: the device boots, is heard, says why, and takes what does fit."""

import gc
import os
import unittest

from host.sim.flash import SECTOR_BYTES, NorFlash
from node.agent import download, update, verify  # noqa: F401  loaded now: an update imports the first when "/" is the device's
from node.compat import IS_MICROPYTHON
from tests.sim.boot_stub import choose, complete, stub
from tests.sim.ota_server import OtaServer
from tests.sim.releases import Release, root_envelope
from tests.sim.updates import Boots, Device

if IS_MICROPYTHON:
    gc.threshold(100_000)
    from board import deltas
    from board.files import VfsFiles

SECTORS = 24
OLD = Release(1, {"main.mpy": b"one" * 3000})
HUGE = Release(2, {"a.mpy": b"a" * 30000, "b.mpy": b"b" * 30000, "c.mpy": b"c" * 30000})   # more than the flash has
NEW = Release(3, {"main.mpy": b"three" * 3000})
FOLDERS = 4   # blocks of /slots and /slots/a, a pair each
CERTIFICATE = b"c" * 900   # the largest file that the agent replaces


class Bench(Boots):
    """A device on littlefs, its server, its boots."""

    def __init__(self):
        self.files = VfsFiles()
        self.files.write_atomic(verify.PINNED, root_envelope())
        self.files.write_atomic("/state/cert.der", CERTIFICATE)
        OLD.install(self.files, "factory")
        self.http = OtaServer(OLD, HUGE, NEW)
        self.http.piece_bytes = 2000
        self.boot()

    def boot(self):
        self.info = choose.start(self.files)
        self.device = Device(self.files, self.http, self.info)
        return self.device

    def fill(self):
        """Whatever it is: a file takes all the space that there is."""
        size = 4096
        with open("/log", "ab") as file:
            while size:
                try:
                    file.write(b"x" * size)
                    file.flush()
                except OSError:
                    size //= 2


class Bundle:
    """What boot.py mounts: a file system that nobody lists."""

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass


class TestFullDisk(unittest.TestCase):
    def setUp(self):
        if not IS_MICROPYTHON:
            raise unittest.SkipTest("needs VfsLfs2")
        self.folder = os.getcwd()
        self.flash = NorFlash(SECTORS)
        os.VfsLfs2.mkfs(self.flash)
        os.umount("/")
        os.mount(os.VfsLfs2(self.flash), "/")
        self.bench = Bench()

    def tearDown(self):
        if IS_MICROPYTHON:
            os.umount("/")
            os.mount(os.VfsPosix(), "/")
            os.chdir(self.folder)

    def room(self):
        """Blocks that a file can still have; statvfs counts some twice."""
        self.bench.fill()
        blocks = os.stat("/log")[6] // SECTOR_BYTES
        os.remove("/log")
        return blocks

    def test_release_that_fits_is_taken_for_too_large(self):
        for folder in ("/slots/a", "/slots/b", "/trust/old"):
            self.bench.files.mkdirs(folder)   # each is two blocks, and statvfs counts four
        os.mount(Bundle(), "/app")
        free = deltas.free_bytes() // SECTOR_BYTES
        os.umount("/app")
        room = self.room()
        self.assertTrue(free - 1 <= room <= free, (free, room))

    def test_release_that_cannot_fit_is_fetched_until_the_flash_is_full(self):
        bench = self.bench
        bench.device = Device(bench.files, bench.http, bench.info, deltas=deltas)
        bench.http.offer = HUGE
        self.assertEqual(bench.cycle(), None)
        self.assertEqual(bench.device.update.failed, {"counter": 2, "manifest": HUGE.sha, "reason": "slot.room"})
        self.assertEqual([path for _, path, _ in bench.http.asked if "/artifacts/" in path], [])

    def test_release_that_does_not_fit_is_told_and_takes_no_space_from_what_keeps_the_device_alive(self):
        bench = self.bench
        bench.cycle()
        before = self.room()
        bench.http.offer = HUGE
        self.assertEqual(bench.cycle(), None)
        self.assertEqual(bench.device.update.failed, {"counter": 2, "manifest": HUGE.sha, "reason": "download.write"})
        self.assertGreaterEqual(self.room(), before - FOLDERS)
        bench.files.write_atomic("/state/cert.der", CERTIFICATE)   # a renewal
        bench.http.offer = None
        bench.cycle()
        self.assertEqual(bench.http.requests[-1]["failed"]["reason"], "download.write")
        bench.install(NEW)
        self.assertTrue(bench.confirm())
        self.assertEqual(stub.load(bench.files)["slot"], "a")

    def test_full_flash_stops_neither_boot_nor_check_in_and_the_reason_is_told(self):
        bench = self.bench
        bench.cycle()
        bench.fill()
        for _ in range(3):
            stub.ended(bench.files, "ValueError", True)
            bench.boot()
            bench.http.offer = NEW
            self.assertEqual(bench.cycle(), None)
            self.assertIn(bench.device.update.failed["reason"], ("files.io", "slot.io", "download.write"))
            bench.http.offer = None
            bench.cycle()
            self.assertEqual(bench.http.requests[-1]["failed"]["manifest"], NEW.sha)
        self.assertEqual((stub.load(bench.files)["tries"], complete(bench.files)), (3, {"factory"}))
        bench.files.remove("/log")
        bench.install(NEW)
        self.assertTrue(bench.confirm())

    def test_trial_on_a_flash_that_filled_up_meanwhile_can_be_confirmed_or_rolled_back(self):
        for proves in (True, False):
            if not proves:
                self.tearDown()
                self.setUp()
            bench = self.bench
            bench.install(NEW)
            bench.http.offer = None
            bench.fill()
            if proves:
                self.assertTrue(bench.confirm())
                bench.cycle()
            else:
                bench.boot()
                bench.boot()
                bench.cycle()
                self.assertEqual(bench.http.requests[-1]["failed"]["reason"], "unconfirmed")
            bench.boot()
            self.assertEqual((bench.info["slot"], bench.info["trial"]), ("a" if proves else "factory", False))


if __name__ == "__main__":
    unittest.main()
