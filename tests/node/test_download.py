"""A download: it goes on where it stopped, takes no byte more than was signed, and cannot be held up."""

import asyncio
import unittest

from node.agent import download
from node.agent.checkin import Server
from node.agent.slots import Slots
from node.errors import NetworkError, NodeError
from tests.sim.updates import MemoryFiles, OtaServer, Release, StepClock, stub

FILES = {"main.mpy": b"m" * 1700, "node/a.mpy": b"a" * 900, "node/b.mpy": b"b" * 2500, "node/wire/c.mpy": b"c" * 10,
         "node/wire/d.mpy": b"d" * 10}
SIZE = 5120


class TestDownload(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()
        self.clock = StepClock()
        self.release = Release(2, FILES)
        self.http = OtaServer(self.release)
        self.manifest = {"artifact": {"sha256": self.release.artifact_sha, "size": SIZE, "files": [
            (path, len(FILES[path]), download.hexstr(download.hashlib.sha256(FILES[path]).digest())) for path in sorted(FILES)]}}

    def fetch(self):
        server = Server(self.http, lambda: None)
        return asyncio.run(download.fetch(server, Slots(self.files, stub, "a"), "b", self.manifest, self.clock))

    def fault(self):
        try:
            self.fetch()
        except NodeError as error:
            return error.code
        return None

    def held(self):
        start = "/slots/b/"
        return {path[len(start):]: data for path, data in self.files.data.items() if path.startswith(start)}

    def offsets(self):
        return [offset for _, path, offset in self.http.asked if path.startswith("/v1/artifacts/")]

    def test_slot_holds_exactly_the_release_and_no_marker_yet(self):
        self.files.write_atomic("/slots/b/release.json", b"{}")
        self.files.write_atomic("/slots/b/old.mpy", b"old")
        self.assertEqual(self.fetch(), SIZE)
        self.assertEqual(self.held(), FILES)

    def test_any_size_of_pieces_gives_the_same_files(self):
        for piece_bytes in (1, 9, 10, 11, 899, 2500, SIZE, SIZE + 1):
            self.files = MemoryFiles()
            self.http.piece_bytes = piece_bytes
            self.fetch()
            self.assertEqual(self.held(), FILES)

    def test_broken_download_goes_on_at_the_first_missing_file(self):
        self.http.break_after = 3000
        self.assertEqual(self.fault(), "http.short")
        self.http.break_after = None
        self.assertEqual(self.fetch(), SIZE - 2600)
        self.assertEqual((self.offsets(), self.held()), ([0, 2600], FILES))

    def test_download_that_breaks_again_and_again_arrives(self):
        self.http.break_after = 2000
        self.http.piece_bytes = 100
        for _ in range(2):
            self.assertEqual(self.fault(), "http.short")
        self.http.break_after = None
        self.assertEqual(self.fetch(), SIZE - 2600)
        self.assertEqual(self.held(), FILES)

    def test_complete_slot_asks_for_nothing(self):
        self.fetch()
        self.assertEqual((self.fetch(), self.offsets()), (0, [0]))

    def test_file_of_an_older_release_that_is_the_same_is_kept(self):
        self.fetch()
        for path in ("main.mpy", "node/b.mpy"):
            self.files.data["/slots/b/" + path] = b"another release"
        written = []
        create = self.files.create
        self.files.create = lambda path: written.append(path) or create(path)
        self.fetch()
        self.assertEqual((written, self.held()), (["/slots/b/main.mpy", "/slots/b/node/b.mpy"], FILES))

    def test_nothing_is_read_after_the_last_missing_file(self):
        self.fetch()
        self.files.data["/slots/b/main.mpy"] = b"damaged"
        self.assertEqual(self.fetch(), 2000)   # whole pieces of 500 around 1700 bytes

    def test_bit_rot_in_a_finished_file_is_found_and_mended(self):
        self.fetch()
        self.files.data["/slots/b/node/a.mpy"] = b"a" * 899 + b"b"
        self.fetch()
        self.assertEqual(self.held(), FILES)

    def test_altered_artifact_is_a_verdict_and_names_the_file(self):
        self.http.corrupt_at = 1800
        self.assertEqual(self.fault(), "download.hash")
        self.assertEqual(self.fault(), "download.hash")
        self.http.corrupt_at = None
        self.fetch()
        self.assertEqual((self.offsets(), self.held()), ([0, 1700, 1700], FILES))

    def test_endless_artifact_is_cut_off_at_the_signed_size(self):
        self.release.artifact += b"x" * 100000
        self.fetch()
        self.assertEqual(self.held(), FILES)

    def test_artifact_that_ends_early_is_no_verdict(self):
        self.release.artifact = self.release.artifact[:-5]
        self.assertEqual(self.fault(), "download.short")

    def test_slow_retrieval_is_broken_off_and_what_came_is_kept(self):
        self.http.piece_bytes = 100

        def trickle():
            self.clock.now_ms += 1000   # 100 B/s

        self.http.on_piece = trickle
        self.assertEqual(self.fault(), "download.slow")
        self.assertTrue("main.mpy" in self.held())
        self.http.on_piece = None
        self.fetch()
        self.assertEqual(self.held(), FILES)

    def test_download_just_fast_enough_for_ever_ends_with_its_session(self):
        rows = [("main.mpy", 1000000, "00" * 32)]
        self.manifest["artifact"] = {"sha256": self.release.artifact_sha, "size": 1000000, "files": rows}
        clock, files = self.clock, self.files

        class Crawl:
            async def artifact(self, sha, offset, sink, cap):
                while True:
                    clock.now_ms += 1000
                    sink(b"m" * 150)

        class Forget:
            def write(self, data):
                return len(data)

            def close(self):
                pass

        files.create = lambda path: Forget()
        with self.assertRaises(NetworkError):
            asyncio.run(download.fetch(Crawl(), Slots(files, stub, "a"), "b", self.manifest, clock))
        self.assertEqual(clock.now_ms, download.SESSION_MS + 1000)

    def test_full_flash_is_told_and_leaves_the_slot_incomplete(self):
        self.files.refuse = "/slots/b/node/b.mpy"
        self.assertEqual(self.fault(), "slot.io")
        self.assertEqual(stub.release(self.files, "b"), None)

    def test_flash_that_forgets_is_found_by_reading_back(self):
        create = self.files.create

        def forgetful(path):
            handle = create(path)
            if path.endswith("a.mpy"):
                handle.write = len
            return handle

        self.files.create = forgetful
        self.assertEqual(self.fault(), "download.readback")

    def test_overloaded_server_is_no_verdict(self):
        self.http.status = 503
        self.assertEqual(self.fault(), "server.status")


if __name__ == "__main__":
    unittest.main()
