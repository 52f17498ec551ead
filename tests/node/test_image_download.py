"""An image's way into the other partition: what was hashed lies there, whatever breaks."""

import asyncio
import unittest

from host.sim.flash import PowerCut
from node.agent import download, images
from node.agent.images import BLOCK_BYTES, PATH, ImagePart
from node.agent.server import Server
from node.errors import NetworkError
from node.wire import manifest
from tests.node.common import fault_of
from tests.sim.image_board import APP_SECTORS, BOTH, NEW_IMAGE, OLD_IMAGE, ImageTest
from tests.sim.memory import MemoryFiles, StepClock
from tests.sim.ota_server import OtaServer
from tests.sim.partitions import Chip, make_image
from tests.sim.releases import Release


class TestDownload(ImageTest):
    def setUp(self):
        super().setUp()
        self.chip = Chip(APP_SECTORS)
        self.chip.running = 0
        self.files = MemoryFiles()
        self.http = OtaServer(BOTH)
        self.content = {"sha256": BOTH.image_sha, "size": len(NEW_IMAGE)}

    def fetch(self, commit_bytes=BLOCK_BYTES, part=None):
        part = part or ImagePart(self.files, self.chip.images(), self.content["size"])
        return asyncio.run(download.fetch(Server(self.http, lambda: None), part, "image", self.content, StepClock(), commit_bytes))

    def fault(self):
        return fault_of(self.fetch)

    def offsets(self):
        return [offset for _, path, offset in self.http.asked]

    def test_block_is_erased_or_byte_programmed_twice(self):
        for piece_bytes in (7, 1024, 4095, 4096, 4097, 100000):
            self.setUp()
            self.http.piece_bytes = piece_bytes
            self.assertEqual(self.fetch() >= len(NEW_IMAGE), True)
            self.assertEqual((self.chip.image(1), self.chip.flash.programmed_bytes, self.chip.flash.erases),
                             (NEW_IMAGE, len(NEW_IMAGE), 3))
        self.assertEqual((self.fetch(), self.offsets()), (0, [0]))

    def test_broken_download_goes_on_at_the_block_where_it_stopped(self):
        for again in (False, True):   # in another boot, in the same
            self.setUp()
            part = ImagePart(self.files, self.chip.images(), len(NEW_IMAGE))
            self.http.break_after = 5000
            self.assertRaises(NetworkError, self.fetch, 65536, part)
            self.http.break_after = None
            self.fetch(65536, part if again else None)
            self.assertEqual((self.offsets(), self.chip.image(1)), ([0, BLOCK_BYTES], NEW_IMAGE))

    def test_power_cut_costs_what_was_not_committed(self):
        self.http.piece_bytes = BLOCK_BYTES
        self.chip.flash.cut_power_at(5, "half")   # erase and program of two blocks went well
        self.assertRaises(PowerCut, self.fetch)
        self.chip.flash = self.chip.flash.power_on()
        self.fetch()
        self.assertEqual((self.offsets(), self.chip.image(1)), ([0, 2 * BLOCK_BYTES], NEW_IMAGE))

    def test_file_system_is_not_worn_by_every_block(self):
        self.http.piece_bytes = 100
        self.fetch(2 * BLOCK_BYTES)
        self.assertEqual(self.files.read(PATH), self.told(2, 1))

    def test_file_of_the_largest_image_is_inline_on_littlefs(self):
        self.assertLessEqual(len(self.told()) + manifest.MAX_ARTIFACT_BYTES // images.COMMIT_BYTES, 128)

    def test_partition_that_holds_another_image_or_rot_is_filled_anew(self):
        for told in (b"", b"ab" * 32 + b"\x02", self.told(), self.told(2), self.told(2, 1), self.told(255, 255), b"\xff\xfe", b"x"):
            self.setUp()
            self.chip.flash_image(1, make_image(16000, 9))
            self.files.write_atomic(PATH, told)
            self.fetch()
            self.assertEqual((self.chip.image(1), sum(self.files.read(PATH)[64:])), (NEW_IMAGE, 3))

    def told(self, *blocks):
        """What the file says."""
        return BOTH.image_sha.encode() + bytes(blocks)

    def test_old_name_goes_before_the_first_byte_so_that_a_cut_claims_nothing(self):
        self.files.write_atomic(PATH, b"ab" * 32 + b"\x02")
        self.chip.flash.cut_power_at(1, "skipped")
        self.assertRaises(PowerCut, self.fetch)
        self.assertEqual(self.files.read(PATH), self.told())

    def test_endless_image_is_cut_off_at_the_signed_size(self):
        release = Release(2, BOTH.files, image=NEW_IMAGE)
        release.image += b"x" * 100000
        self.http.releases = [release]
        self.fetch()
        self.assertEqual(self.chip.image(1), NEW_IMAGE)
        self.assertEqual(self.chip.flash.erases, 3)

    def test_slow_retrieval_is_broken_off_and_what_came_is_kept(self):
        clock = StepClock()

        class Trickle:
            async def artifact(self, sha, offset, sink, cap):
                for at in range(0, len(NEW_IMAGE), 100):
                    clock.now_ms += 500 if at < 5000 else 30000
                    sink(NEW_IMAGE[at:at + 100])

        part = ImagePart(self.files, self.chip.images(), len(NEW_IMAGE))
        with self.assertRaises(NetworkError) as caught:
            asyncio.run(download.fetch(Trickle(), part, "image", self.content, clock, 65536))
        self.assertEqual((caught.exception.code, self.files.read(PATH)), ("download.slow", self.told(1)))

    def test_flash_that_refuses_a_block_is_told_and_keeps_what_came(self):
        self.chip.flash.refusing = {2 + APP_SECTORS + 1}
        self.assertEqual(self.fault(), "download.write")
        self.assertEqual(self.files.read(PATH), self.told(1))

    def test_flash_that_forgets_is_found_by_reading_back(self):
        self.chip.flash.deaf = {2 + APP_SECTORS + 1}
        self.assertEqual(self.fault(), "download.readback")
        self.assertEqual(self.files.read(PATH), self.told())

    def test_hash_is_of_the_image_and_not_of_what_lies_behind_it(self):
        at = (2 + APP_SECTORS) * BLOCK_BYTES
        self.chip.flash.image[at:at + 4 * BLOCK_BYTES] = bytes(4 * BLOCK_BYTES)   # an older, longer image
        self.fetch()
        self.assertEqual(self.fetch(), 0)

    def test_only_the_other_partition_is_written(self):
        self.chip.running = 1
        self.chip.flash_image(1, OLD_IMAGE)
        self.fetch()
        self.assertEqual((self.chip.image(0), self.chip.image(1)), (NEW_IMAGE, OLD_IMAGE))


if __name__ == "__main__":
    unittest.main()
