"""Releases that must not be installed: foreign, older or unreachable."""

import json
import unittest

from node.errors import CallerError, FormatError, PeerError, SignatureError
from node.wire import manifest, root, signed
from tests.node.common import DIGEST, code_of, golden, root_payload, seal

ARTIFACT = {"sha256": DIGEST, "size": 200, "deltas": []}
IMAGE = {"sha256": "ab" * 32, "size": 1600000, "deltas": []}


def payload(counter=2, size=200, low=1, high=1, image=None):
    return manifest.build("1.1.0", counter, ["hall"], (low, high), False, 6, (DIGEST, size), image)


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.root = root.load(seal(signed.ROOT, root_payload(floor=2), "root-1"), None)

    def test_golden_manifest_loads_under_its_root(self):
        loaded = manifest.load(golden("manifest"), root.load(golden("root_1"), None))
        self.assertEqual((loaded["release"], loaded["counter"], loaded["models"], loaded["from"]), ("1.1.0", 2, ["hall"], [1, 1]))
        self.assertEqual((loaded["artifact"], loaded["image"]), (ARTIFACT, None))

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
    def test_image_is_told_when_the_release_brings_one(self):
        self.assertEqual(manifest.parse(payload(image=("ab" * 32, 1600000)))["image"], IMAGE)

    def test_manifest_that_no_device_would_parse_is_not_built(self):
        self.assertEqual(code_of(self, CallerError, payload, 2, 0), "manifest.invalid")

    def test_each_malformed_member_is_refused_by_name(self):
        def broken(change):
            obj = json.loads(payload().decode())
            change(obj)
            return json.dumps(obj).encode()

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
            (lambda o: o["artifact"].update(size=0), "manifest.size"),
            (lambda o: o["artifact"].update(size=True), "manifest.size"),
            (lambda o: o["artifact"].update(size=2**40), "manifest.size"),
            (lambda o: o.update(image=None), "manifest.image"),
            (lambda o: o.update(image=dict(IMAGE, sha256="")), "manifest.sha256"),
            (lambda o: o.update(image=dict(IMAGE, size=2**20 - 1)), "manifest.size"),
            (lambda o: o.update(image=dict(IMAGE, size=2**22 + 1)), "manifest.size"),
        ):
            self.assertEqual(code_of(self, FormatError, manifest.parse, broken(change)), code)

    def test_longest_manifest_with_the_most_signatures_fits_its_envelope(self):
        raw = manifest.build("1234567.1234567.1234", 2**31 - 1, ["m" * 16] * manifest.MAX_MODELS, (0, 2**31 - 1), False, 255,
                             (DIGEST, 2**22), (DIGEST, 2**22))
        envelope = signed.join(signed.MANIFEST, [(bytes((n,)) * 8, b"s" * 64) for n in range(signed.MAX_SIGNATURES)], raw)
        self.assertEqual(signed.split(envelope, signed.MANIFEST)[1], raw)


if __name__ == "__main__":
    unittest.main()
