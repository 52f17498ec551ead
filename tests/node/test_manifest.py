"""Releases that must not be installed: foreign, older, unreachable, or with files that leave their slot."""

import json
import unittest

from node.errors import CallerError, FormatError, PeerError, SignatureError
from node.wire import manifest, root, signed
from tests.node.common import DIGEST, code_of, golden, root_payload, seal

FILES = [("main.mpy", 120, DIGEST), ("node/ring.mpy", 80, DIGEST)]


def payload(counter=2, files=None, low=1, high=1):
    return manifest.build("1.1.0", counter, ["hall"], (low, high), False, 6, DIGEST, FILES if files is None else files)


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.root = root.load(seal(signed.ROOT, root_payload(floor=2), "root-1"), None)

    def test_golden_manifest_loads_under_its_root(self):
        loaded = manifest.load(golden("manifest"), root.load(golden("root_1"), None))
        self.assertEqual((loaded["release"], loaded["counter"], loaded["models"], loaded["from"]), ("1.1.0", 2, ["hall"], [1, 1]))
        self.assertEqual(loaded["artifact"], {"sha256": DIGEST, "size": 200, "files": FILES})

    def test_manifest_signed_by_another_role_is_refused(self):
        for name in ("direction", "root-1", "station"):
            raw = seal(signed.MANIFEST, payload(), name)
            self.assertEqual(code_of(self, SignatureError, manifest.load, raw, self.root), "signature.threshold")

    def test_release_below_the_roots_floor_is_refused(self):
        raw = seal(signed.MANIFEST, payload(1), "release-1")
        self.assertEqual(code_of(self, PeerError, manifest.load, raw, self.root), "manifest.counter")


class InstallTest(unittest.TestCase):
    def refusal(self, model="hall", now=1, floor=1, mpy=6):
        return code_of(self, PeerError, manifest.check_install, manifest.parse(payload()), model, now, floor, mpy)

    def test_release_for_this_device_is_accepted(self):
        self.assertIsNone(manifest.check_install(manifest.parse(payload()), "hall", 1, 2, 6))

    def test_release_of_another_model_is_refused(self):
        self.assertEqual(self.refusal(model="press"), "manifest.model")

    def test_same_older_and_below_floor_releases_are_refused(self):
        for now, floor in ((2, 1), (3, 1), (1, 3)):
            self.assertEqual(self.refusal(now=now, floor=floor), "manifest.counter")

    def test_release_that_skips_a_stepping_stone_is_refused(self):
        self.assertEqual(self.refusal(now=0), "manifest.from")

    def test_bytecode_that_the_interpreter_cannot_read_is_refused(self):
        self.assertEqual(self.refusal(mpy=7), "manifest.mpy")


class PayloadTest(unittest.TestCase):
    def test_paths_that_leave_the_slot_or_forge_its_marker_are_refused(self):
        for path in ("", "/main.mpy", "../main.mpy", "a/../b.mpy", "a//b.mpy", "main.py", "main", ".mpy", "a/.mpy", "Main.mpy",
                     "a.b.mpy", "a b.mpy", "a\\b.mpy",
                     "m\u00e4in.mpy", "release.json", "x" * 61 + ".mpy", "main.mpy\0", "boot.mpy/", 5, None):
            self.assertFalse(manifest.is_path(path), path)
        for path in ("main.mpy", "node/wire/p256.mpy", "board/config.json", "a_1.mpy", "node/release.json"):
            self.assertTrue(manifest.is_path(path), path)
        self.assertEqual(code_of(self, CallerError, payload, 2, [("../boot.mpy", 1, DIGEST)]), "manifest.invalid")

    def test_each_malformed_member_is_refused_by_name(self):
        def broken(change):
            obj = json.loads(payload().decode())
            change(obj)
            return json.dumps(obj).encode()

        row = ["main.mpy", 1, DIGEST]
        for change, code in (
            (lambda o: o.update(type="root"), "manifest.type"),
            (lambda o: o.update(release="1.1"), "manifest.release"),
            (lambda o: o.update(release="1.1.x"), "manifest.release"),
            (lambda o: o.update(counter=0), "manifest.counter"),
            (lambda o: o.update(counter=2**31), "manifest.counter"),
            (lambda o: o.update(counter=2.0), "manifest.counter"),
            (lambda o: o.update(models=[]), "manifest.models"),
            (lambda o: o.update(models=["Hall"]), "manifest.models"),
            (lambda o: o.update({"from": [1]}), "manifest.from"),
            (lambda o: o.update({"from": ["a", 2]}), "manifest.from"),
            (lambda o: o.update({"from": [3, 2]}), "manifest.to"),
            (lambda o: o.update(stone=1), "manifest.stone"),
            (lambda o: o.update(mpy=0), "manifest.mpy"),
            (lambda o: o.update(artifact=None), "manifest.artifact"),
            (lambda o: o["artifact"].update(sha256=DIGEST.upper() + "0"), "manifest.sha256"),
            (lambda o: o["artifact"].update(size=201), "manifest.size"),
            (lambda o: o["artifact"].update(size=2**40, files=[["main.mpy", 2**40, DIGEST]]), "manifest.size"),
            (lambda o: o["artifact"].update(files=[]), "manifest.files"),
            (lambda o: o["artifact"].update(files=[row] * 129), "manifest.files"),
            (lambda o: o["artifact"].update(files=[row] * 2), "manifest.path"),
            (lambda o: o["artifact"].update(files=[["main.mpy", -1, DIGEST]]), "manifest.files"),
            (lambda o: o["artifact"].update(files=[["main.mpy", True, DIGEST]]), "manifest.files"),
            (lambda o: o["artifact"].update(files=[["main.mpy", 1]]), "manifest.files"),
            (lambda o: o["artifact"].update(files=[["release.json", 200, DIGEST]]), "manifest.path"),
        ):
            self.assertEqual(code_of(self, FormatError, manifest.parse, broken(change)), code)

    def test_manifest_with_the_most_files_fits_its_envelope(self):
        files = [(f"node/wire/module_number_{i:03d}.mpy", 1000, DIGEST) for i in range(manifest.MAX_FILES)]
        raw = seal(signed.MANIFEST, payload(files=files), "release-1")
        self.assertTrue(len(raw) <= signed.MAX_BYTES[signed.MANIFEST])
        self.assertEqual(len(manifest.parse(signed.split(raw, signed.MANIFEST)[1])["artifact"]["files"]), manifest.MAX_FILES)


if __name__ == "__main__":
    unittest.main()
