"""A release by its delta: the short way where it works, the long one where it does not, and never anything but what was signed."""

import asyncio
import unittest

from node.agent import deltas, patch, verify
from node.agent.http import Response
from node.agent.images import BLOCK_BYTES, ImagePart
from node.agent.paths import DELTA_PATH
from node.compat import hexstr, sha256
from tests.sim.boot_stub import choose, complete, stub
from tests.sim.deltas import Tools, between, delta, record
from tests.sim.image_board import APP_SECTORS, OLD_IMAGE, PATCHED_IMAGE, Board, ImageTest
from tests.sim.memory import MemoryFiles
from tests.sim.ota_server import OtaServer
from tests.sim.releases import Release, root_envelope
from tests.sim.updates import Boots, Device, Restart

FILES = {"main.mpy": b"one" * 900, "node/a.mpy": bytes(range(256)) * 40}
OLD = Release(1, FILES)
CHANGED = dict(FILES)
CHANGED["main.mpy"] = b"two" * 900
TARGET = Release(2, CHANGED).artifact
GOOD = between(OLD.artifact, TARGET)
LEFT = len(GOOD) + len(TARGET) + deltas.SPARE_BYTES


class Bench(Boots):
    """A device with OLD in its factory slot and what applies deltas, its server, and its boots one after the other."""

    def __init__(self, raw=GOOD, base=OLD.artifact):
        self.files = MemoryFiles()
        self.files.write_atomic(verify.PINNED, root_envelope())
        OLD.install(self.files, "factory")
        self.release = Release(2, CHANGED, deltas={"artifact": [(base, raw)]})
        self.tools = Tools()
        self.http = OtaServer(OLD, self.release)
        self.http.offer = self.release
        self.delta_sha = hexstr(sha256(raw))
        self.boot()

    def boot(self):
        self.info = choose.start(self.files)
        self.device = Device(self.files, self.http, self.info, deltas=self.tools)
        return self.device

    def fetched(self):
        """What was downloaded, and from where on."""
        names = {self.delta_sha: "delta", self.release.artifact_sha: "full"}
        return [(names[path[len("/v1/artifacts/"):]], at) for _, path, at in self.http.asked if "artifacts" in path]

    def told(self):
        return [detail.split(":")[0] for event, detail in self.device.logged if event == "delta"]


class TestBundle(unittest.TestCase):
    def installed(self, bench, *fetched):
        """The release is on trial, after these downloads; nothing of a delta is left."""
        self.assertEqual((bench.cycle(), bench.fetched()), ("update", list(fetched)))
        self.assertEqual(bench.files.data["/slots/a/bundle"], TARGET)
        self.assertFalse(DELTA_PATH in bench.files.data)
        bench.boot()
        self.assertEqual((bench.info["slot"], bench.info["trial"]), ("a", True))

    def refused(self, raw, code, base=OLD.artifact):
        bench = Bench(raw, base)
        self.assertEqual(bench.cycle(), "update")
        self.assertEqual((bench.told(), bench.fetched()), ([code], [("delta", 0), ("full", 0)]))
        self.assertEqual((bench.files.data["/slots/a/bundle"], DELTA_PATH in bench.files.data), (TARGET, False))
        return bench

    def test_delta_from_what_runs_is_all_that_is_fetched(self):
        bench = Bench()
        self.installed(bench, ("delta", 0))
        self.assertTrue(len(GOOD) < len(TARGET) // 3)

    def test_device_that_runs_something_else_fetches_the_whole(self):
        for base in (OLD.artifact + b"x", b"x" + OLD.artifact, TARGET):
            bench = Bench(base=base)
            self.installed(bench, ("full", 0))
            self.assertEqual(bench.told(), [])

    def test_bit_rot_in_what_runs_is_seen_before_anything_is_fetched(self):
        bench = Bench()
        bench.files.data["/factory/bundle"] = OLD.artifact[:-1] + b"?"
        self.assertEqual((bench.cycle(), bench.fetched()), ("update", [("full", 0)]))

    def test_board_that_cannot_apply_deltas_fetches_the_whole(self):
        bench = Bench()
        bench.tools = None
        bench.boot()
        self.installed(bench, ("full", 0))

    def test_delta_without_room_is_not_fetched(self):
        for free, first in ((LEFT - 1, "full"), (LEFT, "delta")):
            bench = Bench()
            bench.tools.free = free
            self.installed(bench, (first, 0))

    def test_delta_longer_than_what_is_missing_is_not_fetched(self):
        bench = Bench()
        bench.files.write_atomic("/slots/a/part", bench.release.artifact_sha.encode())
        bench.files.write_atomic("/slots/a/bundle", TARGET[:-len(GOOD)])
        self.installed(bench, ("full", len(TARGET) - len(GOOD)))

    def test_broken_download_of_a_delta_goes_on_where_it_stopped(self):
        bench = Bench()
        bench.http.piece_bytes, bench.http.break_after = 100, 1000
        self.assertEqual(bench.cycle(), None)
        bench.http.break_after = None
        bench.boot()
        self.installed(bench, ("delta", 0), ("delta", 1000))

    def test_server_without_the_delta_gives_the_whole(self):
        bench = Bench()
        bench.release.deltas = []
        answer = bench.http.download

        async def missing(path, offset, sink, cap):
            if path.endswith(bench.delta_sha):
                bench.http.asked.append(("GET", path, offset))
                return Response(404, {}, b"")
            return await answer(path, offset, sink, cap)

        bench.http.download = missing
        self.installed(bench, ("delta", 0), ("full", 0))
        self.assertEqual(deltas.DeltaFile(bench.files).failed(), b"")   # not condemned

    def test_bit_flips_on_the_way_are_seen_before_the_delta_is_parsed(self):
        bench = Bench()
        taken = []
        inflate, bench.tools.inflate = bench.tools.inflate, lambda file, bits: taken.append(1) or inflate(file, bits)
        bench.http.corrupt_at = 20
        bench.cycle()
        self.assertEqual((taken, bench.told()), ([], ["download.hash"]))

    def test_control_that_seeks_outside_of_the_old_artifact_is_refused(self):
        for wrong in (record(-1, [], 1), record(len(OLD.artifact), [], 1), record(10, [], len(TARGET) - 5)):
            self.refused(delta(OLD.artifact, len(TARGET), wrong), "delta.base")

    def test_delta_that_inflates_endlessly_is_refused(self):
        endless = delta(OLD.artifact, len(TARGET), *[record(0, [], 500), record(-500, [], 500)] * 20)
        self.refused(endless, "delta.size")
        self.refused(delta(OLD.artifact, len(TARGET), bytes(9000)), "delta.size")

    def test_delta_for_another_base_is_refused_though_the_manifest_says_otherwise(self):
        other = OLD.artifact[:500] + b"?" + OLD.artifact[501:]
        self.refused(between(other, TARGET), "delta.hash")
        self.refused(between(OLD.artifact + b"x", TARGET), "delta.size")

    def test_delta_for_another_target_is_refused(self):
        self.refused(between(OLD.artifact, TARGET[:-1] + b"?"), "delta.hash")
        self.refused(between(OLD.artifact, TARGET + b"?"), "delta.size")

    def test_truncated_delta_and_trailing_bytes_are_refused(self):
        self.refused(GOOD + b"x", "delta.trailing")
        for end in (1, 11, 12, 13, 100, len(GOOD) - 1):
            bench = Bench(GOOD[:end])
            self.assertEqual((bench.cycle(), len(bench.told())), ("update", 1))
            self.assertEqual(bench.files.data["/slots/a/bundle"], TARGET)

    def test_bit_flips_that_were_signed_make_no_other_release(self):
        for at in range(0, len(GOOD), 97):
            bench = Bench(GOOD[:at] + bytes([GOOD[at] ^ 1 << at % 8]) + GOOD[at + 1:])
            self.assertEqual((bench.cycle(), bench.files.data["/slots/a/bundle"]), ("update", TARGET))

    def test_delta_that_did_not_work_is_not_tried_again(self):
        bench = Bench(between(OLD.artifact, TARGET[:-1] + b"?"))
        answer = bench.http.download

        async def breaks_later(path, offset, sink, cap):
            bench.http.break_after = None if path.endswith(bench.delta_sha) else 3000
            return await answer(path, offset, sink, cap)

        bench.http.download = breaks_later
        self.assertEqual(bench.cycle(), None)
        bench.http.download, bench.http.break_after = answer, None
        bench.boot()
        self.installed(bench, ("delta", 0), ("full", 0), ("full", 3000))

    def test_device_without_the_memory_to_apply_it_fetches_the_whole(self):
        bench = Bench()

        def starved(file, bits):
            raise MemoryError

        bench.tools.inflate = starved
        self.installed(bench, ("delta", 0), ("full", 0))

    def test_flash_that_refuses_the_delta_costs_the_short_way_only(self):
        bench = Bench()
        bench.files.refuse = DELTA_PATH
        self.assertEqual((bench.cycle(), bench.files.data["/slots/a/bundle"]), ("update", TARGET))
        self.assertEqual(bench.fetched()[-1], ("full", 0))

    def test_flash_that_forgets_what_was_made_is_found_by_reading_back(self):
        bench = Bench()
        append = bench.files.append

        def forgetful(path):
            handle = append(path)
            if path.endswith("bundle"):
                bench.files.append = append
                write = handle.write
                handle.write = lambda data: write(bytes(len(data)))
            return handle

        bench.files.append = forgetful
        self.installed(bench, ("delta", 0), ("full", 0))

    def test_what_a_cut_left_of_the_target_is_not_written_again(self):
        bench = Bench()
        bench.files.write_atomic("/slots/a/part", bench.release.artifact_sha.encode())
        bench.files.write_atomic("/slots/a/bundle", TARGET[:5000])
        written = []
        append = bench.files.append

        def watched(path):
            handle = append(path)
            write = handle.write
            handle.write = lambda data: (written.append(len(data)) if path.endswith("bundle") else None) or write(data)
            return handle

        bench.files.append = watched
        self.installed(bench, ("delta", 0))
        self.assertEqual(sum(written), len(TARGET) - 5000)

    def test_delta_of_a_release_that_was_given_up_is_removed(self):
        bench = Bench()
        bench.files.write_atomic(DELTA_PATH, b"x" * 5000)
        bench.http.offer = bench.release = Release(2, CHANGED)
        bench.http.releases.append(bench.release)
        self.installed(bench, ("full", 0))

    def test_sampling_goes_on_and_the_watchdog_is_fed_while_a_target_is_made(self):
        bench = Bench()
        fed = []
        bench.device.server.alive = lambda: fed.append(1)
        turns = []

        async def sample():
            while True:
                turns.append(1)
                await asyncio.sleep(0)

        async def both():
            task = asyncio.create_task(sample())
            try:
                await bench.device.cycle()
            finally:
                task.cancel()

        self.assertRaises(Restart, asyncio.run, both())
        pieces = len(TARGET) // patch.READ_BYTES
        self.assertTrue(len(turns) >= 2 * pieces and len(fed) >= 2 * pieces)


class TestImage(ImageTest):
    def board(self, raw=None, base=OLD_IMAGE):
        raw = raw or between(OLD_IMAGE, PATCHED_IMAGE)
        self.release = Release(2, {"main.mpy": b"both" * 30}, image=PATCHED_IMAGE, deltas={"image": [(base, raw)]})
        board = Board(self.release)
        board.http.offer = self.release
        self.names = {hexstr(sha256(raw)): "delta", self.release.image_sha: "full", self.release.artifact_sha: "bundle"}
        return board

    def fetched(self, board):
        return [self.names[path[len("/v1/artifacts/"):]] for _, path, _ in board.http.asked if "artifacts" in path]

    def test_image_is_made_of_the_one_that_runs_and_tried(self):
        board = self.board()
        self.assertEqual((board.cycle(), self.fetched(board)), ("update", ["delta", "bundle"]))
        self.assertEqual((board.chip.image(1), board.chip.image(0)), (PATCHED_IMAGE, OLD_IMAGE))
        self.assertEqual((board.boot(), board.confirm()), ((1, "a", True), True))
        self.assertEqual(board.chip.flash.violations, 0)

    def test_image_is_fetched_whole_where_its_delta_does_not_work(self):
        for raw, base in ((between(OLD_IMAGE, PATCHED_IMAGE[:-1] + b"?"), OLD_IMAGE), (None, PATCHED_IMAGE),
                          (delta(OLD_IMAGE, len(PATCHED_IMAGE), record(APP_SECTORS * BLOCK_BYTES, [], 1)), OLD_IMAGE)):
            board = self.board(raw, base)
            self.assertEqual((board.cycle(), self.fetched(board)[-2:]), ("update", ["full", "bundle"]))
            self.assertEqual((board.boot(), board.chip.image(1)), ((1, "a", True), PATCHED_IMAGE))

    def test_base_as_large_as_the_partition_is_read_to_its_end_and_not_beyond(self):
        board = self.board()
        part = ImagePart(board.files, board.chip.images(), 100)
        part.base(APP_SECTORS * BLOCK_BYTES - 16, bytearray(16))
        self.assertRaises(OSError, part.base, APP_SECTORS * BLOCK_BYTES - 16, bytearray(17))

    def test_what_the_slot_held_makes_room_for_an_images_delta(self):
        board = self.board()
        board.files.write_atomic("/slots/a/bundle", b"x" * 5000)
        seen = []
        board.deltas.free_bytes = lambda: seen.append("/slots/a/bundle" in board.files.data) or 1 << 20
        board.cycle()
        self.assertEqual((seen[0], complete(board.files), stub.load(board.files)["trial"]), (False, {"factory", "a"}, "a"))


if __name__ == "__main__":
    unittest.main()
