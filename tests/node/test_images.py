"""A release that brings an image: on a chip with two partitions and a bootloader that goes back, no cut and no lie bricks it."""

import asyncio
import unittest

from host.sim.flash import TEARS, PowerCut
from node.agent import images, update
from node.agent.images import BLOCK_BYTES, PATH
from node.agent.paths import DELTA_PATH
from node.compat import sha256
from node.errors import FlashError
from tests.sim.boot_stub import complete, stub
from tests.sim.image_board import (
    APP_SECTORS,
    BOTH,
    MISLED,
    NEW_IMAGE,
    NEXT,
    OLD_IMAGE,
    PATCHED,
    PATCHED_IMAGE,
    PLAIN,
    Board,
    ImageTest,
)
from tests.sim.partitions import ABORTED, NEW, PENDING_VERIFY, VALID, Chip, make_image
from tests.sim.releases import Release
from tests.sim.updates import Device, Restart


class TestUpdate(ImageTest):
    def test_image_and_bundle_are_tried_together_and_confirmed(self):
        board = Board()
        self.assertEqual(board.install(BOTH), (1, "a", True))
        self.assertEqual((board.chip.image(1), board.chip.state(), stub.load(board.files)["app"]),
                         (NEW_IMAGE, PENDING_VERIFY, "ota_1"))
        self.assertTrue(board.confirm())
        self.assertEqual((board.chip.state(), stub.load(board.files)["slot"]), (VALID, "a"))
        self.assertEqual(board.boot(), (1, "a", False))
        board.cycle()
        self.assertEqual(board.install(NEXT), (0, "b", True))
        board.confirm()
        self.assertEqual((board.boot(), board.chip.flash.violations), ((0, "b", False), 0))

    def test_release_without_an_image_touches_no_partition(self):
        board = Board()
        asked, before, running = board.asked, sha256(board.chip.flash.image), board.chip.running
        board.http.offer = PLAIN
        self.assertEqual((board.cycle(), stub.load(board.files)["app"]), ("update", None))
        self.assertEqual((board.asked, sha256(board.chip.flash.image)), (asked, before))
        self.assertEqual(board.boot(), (running, "a", True))
        self.assertTrue(board.confirm())
        self.assertEqual((board.asked, board.chip.state()), (asked + 1, VALID))   # once: whether this boot is to be confirmed

    def test_otadata_is_read_once_in_a_boot(self):
        board = Board()
        kept, asked = board.device.update.keep(), board.asked
        update.Update(board.info, "d", "m", 6, slots=board.device.slots, files=board.files, floors=None, clock=None, trial_ms=0,
                      acked=None, stalled_ms=None, app_crashes=None, restart=None, log=None, images=board.images, kept=kept)
        self.assertEqual(board.asked, asked)

    def test_trial_that_is_given_up_goes_back_with_its_image_and_is_told(self):
        board = Board()
        board.install(BOTH)
        board.device.clock.now_ms = 30000
        self.assertEqual(board.tick(), "no server")
        board.http.offer = None
        self.assertEqual(board.boot(), (0, "factory", False))
        board.cycle()
        self.assertEqual(board.http.requests[-1]["failed"]["manifest"], BOTH.sha)
        self.assertEqual(board.chip.entries()[1][1], ABORTED)

    def test_image_that_was_rolled_back_need_not_come_again(self):
        board = Board()
        board.install(BOTH)
        board.boot()   # any reset
        self.assertEqual(board.info["failed"]["reason"], "image rolled back")
        board.http.asked.clear()
        self.assertEqual(board.install(BOTH), (1, "a", True))
        self.assertFalse([path for _, path, _ in board.http.asked if path.endswith(BOTH.image_sha)])

    def test_board_without_a_second_partition_refuses_the_release(self):
        board = Board()
        board.device = Device(board.files, board.http, board.info)
        self.assertEqual(board.fault(BOTH), "update.image")
        self.assertEqual(complete(board.files), {"factory"})
        self.assertFalse([path for _, path, _ in board.http.asked if "artifacts" in path])

    def test_image_that_does_not_fit_is_refused_before_a_byte_of_it(self):
        large = make_image(APP_SECTORS * BLOCK_BYTES + 1, 5)
        release = Release(2, BOTH.files, image=large)
        board = Board(release)
        before = sha256(board.chip.flash.image)
        self.assertEqual(board.fault(release), "update.image")
        self.assertEqual(sha256(board.chip.flash.image), before)
        self.assertFalse([path for _, path, _ in board.http.asked if "artifacts" in path])

    def test_signed_bytes_that_are_no_image_are_refused_and_change_nothing(self):
        release = Release(2, BOTH.files, image=b"x" * 5000)
        board = Board(release)
        before = board.chip.entries()
        self.assertEqual(board.fault(release), "update.image")
        self.assertEqual((board.chip.entries(), stub.load(board.files)["trial"]), (before, None))
        self.assertEqual(board.boot(), (0, "factory", False))

    def test_altered_image_is_refused(self):
        board = Board()
        board.http.corrupt_at = 70
        self.assertEqual(board.fault(BOTH), "download.hash")
        self.assertEqual(board.files.read(PATH), BOTH.image_sha.encode())

    def test_image_that_is_not_on_trial_is_left_at_once(self):
        """Power went between set_boot and begin_trial."""
        board = Board()
        board.device.slots.begin_trial = lambda slot, app: (_ for _ in ()).throw(PowerCut())
        board.http.offer = BOTH
        self.assertRaises(PowerCut, board.cycle)
        self.assertEqual((board.chip.entries()[1][1], board.boot()), (NEW, (1, "factory", False)))
        asyncio.run(board.device.update.offered(b"", "", lambda: board.device.server))
        self.assertEqual((board.device.update.state, board.tick()), (update.IDLE, "image not on trial"))
        self.assertEqual((board.boot(), board.info["failed"]), ((0, "factory", False), None))
        self.assertFalse(board.tick())
        self.assertEqual(board.install(BOTH), (1, "a", True))

    def test_image_whose_slot_was_damaged_is_left_at_once(self):
        board = Board()
        board.http.offer = BOTH
        board.cycle()
        board.files.data["/slots/a/bundle"] = b""
        self.assertEqual((board.boot(), board.tick()), ((1, "factory", False), "image not on trial"))
        self.assertEqual((board.boot(), board.info["failed"]["reason"]), ((0, "factory", False), "incomplete"))

    def test_image_is_confirmed_before_the_slot_so_that_cuts_between_lose_neither(self):
        board = Board()
        board.install(BOTH)
        for _ in range(3):
            board.files.refuse = stub.PATH   # the power goes in between
            self.assertRaises(FlashError, board.confirm)
            board.files.refuse = None
            self.assertEqual((board.chip.state(), stub.load(board.files)["trial"]), (VALID, "a"))
            self.assertEqual(board.boot(), (1, "a", True))
        self.assertTrue(board.confirm())

    def test_image_whose_state_a_cut_tore_is_left_as_one_that_is_not_on_trial(self):
        """The state in otadata is under no checksum: the bootloader starts the image as if it were confirmed."""
        for torn in (NEW | 2048, PENDING_VERIFY | ABORTED):
            board = Board()
            board.device.slots.begin_trial = lambda slot, app: (_ for _ in ()).throw(PowerCut())
            board.http.offer = BOTH
            self.assertRaises(PowerCut, board.cycle)
            board.chip.write_entry(1, 2, torn)
            for _ in range(2):   # once to hand it to the bootloader, once as any
                self.assertEqual((board.boot(), board.tick()), ((1, "factory", False), "image not on trial"))
            self.assertEqual((board.boot(), board.chip.flash.violations), ((0, "factory", False), 0))
            self.assertEqual(board.install(BOTH), (1, "a", True))

    def test_trial_whose_images_state_a_cut_tore_goes_on(self):
        board = Board()
        board.install(BOTH)
        board.chip.write_entry(1, 2, VALID | 2048)   # while it was confirmed
        self.assertEqual(board.boot(), (1, "a", True))
        self.assertTrue(board.confirm())
        self.assertEqual((board.chip.state(), board.boot()), (VALID, (1, "a", False)))

    def test_state_that_a_cut_tore_and_that_cannot_be_mended_is_no_reason_to_restart_for_ever(self):
        board = Board()
        board.install(BOTH)
        board.confirm()
        board.chip.write_entry(1, 2, VALID | 2048)
        board.chip.flash.refusing = {1}
        self.assertEqual((board.boot(), board.tick()), ((1, "a", False), False))

    def test_image_that_cannot_be_confirmed_leaves_the_trial_open(self):
        board = Board()
        board.install(BOTH)
        mark_valid = board.chip.mark_valid

        def refuse():
            raise OSError(5)   # EIO

        board.chip.mark_valid = refuse
        with self.assertRaises(FlashError) as caught:
            board.confirm()
        self.assertEqual((caught.exception.code, stub.load(board.files)["trial"]), ("update.image", "a"))
        board.chip.mark_valid = mark_valid
        self.assertTrue(board.tick())

    def test_trial_that_cannot_be_recorded_ends_on_the_old_image(self):
        board = Board()
        board.files.refuse = stub.PATH
        self.assertEqual(board.fault(BOTH), "files.io")
        board.files.refuse = None
        self.assertEqual((board.boot(), board.tick()), ((1, "factory", False), "image not on trial"))
        self.assertEqual(board.boot(), (0, "factory", False))

    def test_table_with_one_application_has_nothing_to_choose_from(self):
        def refuse(self):
            raise OSError(2)   # ENOENT

        for next_update in (refuse, lambda self: self):
            chip = Chip(APP_SECTORS)
            chip.running = 0
            chip.Partition.get_next_update = next_update
            self.assertIsNone(chip.images())

    def test_damaged_otadata_pends_nothing(self):
        board = Board()
        board.install(BOTH)
        board.chip.write_entry(1, 2, PENDING_VERIFY, 123)
        self.assertFalse(board.chip.images().pending())
        board.chip.write_entry(1, 2, NEW)   # a bootloader without rollback
        self.assertFalse(board.chip.images().pending())
        board.chip.running = 0
        board.chip.write_entry(1, 2, PENDING_VERIFY)   # of an image that the bootloader could not start
        self.assertFalse(board.chip.images().pending())


class TestPowerCuts(ImageTest):
    """The power goes at every flash operation of an update with an image, from the first byte to the settled release."""

    release, new_image = BOTH, NEW_IMAGE

    def run_until_done(self, cut=None):
        """The board, and whether the trial had begun when the power went. `cut`: (operation, tear)."""
        board, begun = Board(PATCHED, MISLED), False
        board.http.offer = self.release
        start = board.chip.flash.ops
        if cut is not None:
            board.chip.flash.cut_power_at(*cut)
        for _ in range(12):
            try:
                self.one_boot(board)
                if board.device.update.state == update.IDLE and board.info["release"]["counter"] == 2:
                    board.ops = board.chip.flash.ops - start
                    return board, begun
            except Restart:
                pass
            except PowerCut:
                board.chip.flash = board.chip.flash.power_on()
                begun = stub.load(board.files)["trial"] is not None
            try:
                board.boot()
                self.check_boot(board)
            except PowerCut:
                board.chip.flash = board.chip.flash.power_on()
                begun = stub.load(board.files)["trial"] is not None
                board.boot()
        self.fail(f"{cut}: not done")
        return None

    def one_boot(self, board):
        board.device.update.tick()
        asyncio.run(board.device.cycle())
        board.device.acked = True
        board.device.update.tick()
        asyncio.run(board.device.cycle())

    def check_boot(self, board):
        new = board.chip.image(board.chip.running) == self.new_image
        self.assertTrue(new or board.chip.image(board.chip.running) == OLD_IMAGE)
        if not new:
            self.assertEqual((board.info["release"]["counter"], board.chip.images().pending()), (1, False))
        elif board.info["release"]["counter"] == 1:
            self.assertTrue(board.chip.images().pending())   # and so it is left at once

    def check_end(self, board, begun, cut):
        record = stub.load(board.files)
        new = board.chip.image(board.chip.running) == self.new_image
        self.assertEqual((cut, new, board.chip.state(), board.chip.flash.violations), (cut, True, VALID, 0))
        self.assertEqual((cut, record["slot"], record["trial"], record["bad"]), (cut, "a", None, None))
        told = [request["failed"]["reason"] for request in board.http.requests if request["failed"]]
        self.assertFalse(DELTA_PATH in board.files.data)
        self.assertTrue(told in ([], ["image rolled back"]) and (begun or not told), f"{cut}: told {told}")

    def test_no_cut_bricks_the_device_mixes_releases_or_fails_a_release_before_its_trial(self):
        self.cut_everywhere(len(TEARS))

    def test_no_cut_of_deltas_to_image_and_bundle_does_either(self):
        self.release, self.new_image = PATCHED, PATCHED_IMAGE
        board, _ = self.run_until_done()
        fetched = [path for _, path, _ in board.http.asked if "artifacts" in path]
        self.assertFalse([path for path in fetched if path.endswith(PATCHED.image_sha) or path.endswith(PATCHED.artifact_sha)])
        self.assertEqual(len(fetched), 2)
        self.cut_everywhere(1)

    def test_no_cut_on_the_way_back_from_a_delta_that_makes_something_else_does_either(self):
        self.release, self.new_image = MISLED, PATCHED_IMAGE
        self.cut_everywhere(1)

    def cut_everywhere(self, ways):
        """At every operation, in so many ways, by turns."""
        commit, images.COMMIT_BYTES = images.COMMIT_BYTES, BLOCK_BYTES
        try:
            board, begun = self.run_until_done()
            self.check_end(board, begun, None)
            self.assertGreater(board.ops, 30)
            for n in range(board.ops):
                for tear in [TEARS[(n + way) % len(TEARS)] for way in range(ways)]:
                    cut = (n + 1, tear)
                    self.check_end(*self.run_until_done(cut), cut)
        finally:
            images.COMMIT_BYTES = commit


if __name__ == "__main__":
    unittest.main()
