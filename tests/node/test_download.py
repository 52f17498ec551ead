"""A download: it goes on where it stopped, takes no byte more than was signed, and cannot be held up."""

import asyncio
import unittest

from node.agent import download
from node.agent.server import Server
from node.agent.slots import Slots
from node.errors import NetworkError
from tests.node.common import fault_of
from tests.sim.boot_stub import stub
from tests.sim.memory import MemoryFile, MemoryFiles, StepClock
from tests.sim.ota_server import OtaServer
from tests.sim.releases import Release

FILES = {"main.mpy": b"m" * 1700, "node/a.mpy": b"a" * 900, "node/b.mpy": bytes(range(250)) * 70, "node/wire/c.mpy": b"c" * 10}
BUNDLE = "/slots/b/bundle"


class TestDownload(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()
        self.clock = StepClock()
        self.release = Release(2, FILES)
        self.artifact = self.release.artifact
        self.size = len(self.artifact)
        self.http = OtaServer(self.release)
        self.content = {"sha256": self.release.artifact_sha, "size": self.size}

    def fetch(self):
        server = Server(self.http, lambda: None)
        return asyncio.run(download.fetch(server, Slots(self.files, stub, "a"), "b", self.content, self.clock))

    def fault(self):
        return fault_of(self.fetch)

    def held(self):
        start = "/slots/b/"
        return {path[len(start):]: data for path, data in self.files.data.items() if path.startswith(start)}

    def whole(self):
        return {"bundle": self.artifact, "part": self.release.artifact_sha.encode()}

    def offsets(self):
        return [offset for _, path, offset in self.http.asked if path.startswith("/v1/artifacts/")]

    def commits(self):
        """Lengths at which the bundle is closed, as they come."""
        lengths = []

        class Watched(MemoryFile):
            def close(self):
                super().close()
                lengths.append(len(self._files.data[self._path]))

        def append(path):
            self.files.data.setdefault(path, b"")
            return Watched(self.files, path)

        self.files.append = append
        return lengths

    def test_slot_holds_exactly_the_release_and_no_marker_yet(self):
        self.files.write_atomic("/slots/b/release.json", b"{}")
        self.files.write_atomic("/slots/b/old.mpy", b"old")
        self.assertEqual(self.fetch(), self.size)
        self.assertEqual(self.held(), self.whole())

    def test_any_size_of_pieces_gives_the_same_bundle(self):
        for piece_bytes in (7, 1024, 8192, 8193, self.size - 1, self.size, self.size + 1):
            self.files = MemoryFiles()
            self.http.piece_bytes = piece_bytes
            self.fetch()
            self.assertEqual(self.held(), self.whole())

    def test_broken_download_goes_on_at_the_byte_where_it_stopped(self):
        self.http.break_after = 9000
        self.assertEqual(self.fault(), "http.short")
        self.http.break_after = None
        self.assertEqual(self.fetch(), self.size - 9000)
        self.assertEqual((self.offsets(), self.held()), ([0, 9000], self.whole()))

    def test_download_that_breaks_again_and_again_arrives(self):
        self.http.break_after = 3000
        faults = 0
        while self.fault() == "http.short":
            faults += 1
        self.assertEqual((faults, self.held()), (6, self.whole()))

    def test_power_cut_costs_no_more_than_what_was_not_committed(self):
        lengths = self.commits()
        self.http.on_piece = lambda: None if sum(lengths) < 2 * 8192 else self.fail("power cut")
        with self.assertRaises(AssertionError):
            self.fetch()
        self.assertTrue(0 < lengths[0] < download.COMMIT_BYTES + self.http.piece_bytes)
        self.files.data[BUNDLE] = self.artifact[:lengths[0]]   # nothing after it was closed
        self.http.on_piece = None
        self.assertEqual(self.fetch(), self.size - lengths[0])
        self.assertEqual(self.held(), self.whole())

    def test_flash_is_not_worn_by_a_commit_for_each_piece(self):
        lengths = self.commits()
        self.http.piece_bytes = 100
        self.fetch()
        self.assertEqual(lengths, [8200, 16400, self.size])

    def test_whole_bundle_asks_for_nothing(self):
        self.fetch()
        self.assertEqual((self.fetch(), self.offsets()), (0, [0]))

    def test_part_of_another_release_is_not_gone_on_with(self):
        self.files.write_atomic("/slots/b/part", b"cd" * 32)
        self.files.write_atomic(BUNDLE, b"another release")
        self.assertEqual(self.fetch(), self.size)
        self.assertEqual((self.offsets(), self.held()), ([0], self.whole()))

    def test_bit_rot_or_a_tail_too_many_is_found_and_mended(self):
        for raw in (b"x" + self.artifact[1:], self.artifact[:-1] + b"x", self.artifact + b"x", b"x", b""):
            self.files.write_atomic("/slots/b/part", self.release.artifact_sha.encode())
            self.files.data[BUNDLE] = raw
            self.fetch()
            self.assertEqual(self.held(), self.whole())

    def test_altered_artifact_is_a_verdict_and_leaves_nothing_to_go_on_with(self):
        self.http.corrupt_at = 1800
        self.assertEqual(self.fault(), "download.hash")
        self.assertFalse(BUNDLE in self.files.data)
        self.http.corrupt_at = None
        self.fetch()
        self.assertEqual((self.offsets(), self.held()), ([0, 0], self.whole()))

    def test_bytes_altered_before_the_connection_broke_condemn_no_release(self):
        self.http.corrupt_at, self.http.break_after = 1800, 9000
        self.assertEqual(self.fault(), "http.short")
        self.http.corrupt_at = self.http.break_after = None
        self.fetch()
        self.assertEqual((self.offsets(), self.held()), ([0, 9000, 0], self.whole()))

    def test_endless_artifact_is_cut_off_at_the_signed_size(self):
        self.release.artifact += b"x" * 100000
        self.fetch()
        self.assertEqual(self.held(), self.whole())

    def test_artifact_that_ends_early_is_no_verdict(self):
        self.release.artifact = self.release.artifact[:-5]
        self.assertEqual(self.fault(), "download.short")
        self.assertEqual(self.held()["bundle"], self.artifact[:-5])

    def test_slow_retrieval_is_broken_off_and_what_came_is_kept(self):
        self.http.piece_bytes = 100

        def trickle():
            self.clock.now_ms += 1000   # 100 B/s

        self.http.on_piece = trickle
        self.assertEqual(self.fault(), "download.slow")
        self.assertEqual(self.held()["bundle"], self.artifact[:2900])
        self.http.on_piece = None
        self.fetch()
        self.assertEqual(self.held(), self.whole())

    def test_download_just_fast_enough_for_ever_ends_with_its_session(self):
        self.content["size"] = 1000000
        clock, files = self.clock, self.files

        class Crawl:
            async def artifact(self, sha, offset, sink, cap):
                while True:
                    clock.now_ms += 1000
                    sink(b"m" * 150)

        with self.assertRaises(NetworkError):
            asyncio.run(download.fetch(Crawl(), Slots(files, stub, "a"), "b", self.content, clock))
        self.assertEqual(clock.now_ms, download.SESSION_MS + 1000)

    def test_full_flash_is_told_and_leaves_the_slot_incomplete(self):
        self.files.refuse = BUNDLE
        self.assertEqual(self.fault(), "slot.io")
        self.assertEqual(stub.release(self.files, "b"), None)

    def test_flash_that_forgets_is_found_by_reading_back(self):
        append = self.files.append

        def forgetful(path):
            handle = append(path)
            handle.write = lambda data: MemoryFile.write(handle, bytes(len(data)))
            return handle

        self.files.append = forgetful
        self.assertEqual(self.fault(), "download.readback")
        self.assertFalse(BUNDLE in self.files.data)

    def test_flash_that_cannot_be_read_is_told_apart_from_the_network(self):
        self.http.break_after = 9000
        self.fault()

        class Worn:
            def readinto(self, buffer):
                raise OSError(5)   # EIO

            def close(self):
                pass

        self.files.open = lambda path: Worn()
        self.assertEqual(self.fault(), "download.read")

    def test_sampling_goes_on_while_a_bundle_is_read(self):
        self.fetch()
        turns = []

        async def sample():
            while True:
                turns.append(1)
                await asyncio.sleep(0)

        async def both():
            task = asyncio.create_task(sample())
            await download.fetch(Server(self.http, lambda: None), Slots(self.files, stub, "a"), "b", self.content, self.clock)
            task.cancel()

        asyncio.run(both())
        self.assertTrue(len(turns) >= self.size // download.READ_BYTES)

    def test_overloaded_server_is_no_verdict(self):
        self.http.status = 503
        self.assertEqual(self.fault(), "server.status")


if __name__ == "__main__":
    unittest.main()
