"""What a device installs: every attack of The Update Framework and Uptane that needs no broken signature is refused."""

import json
import unittest

from node.agent import floors, verify
from node.agent.verify import Trust
from node.compat import hexstr, sha256
from node.errors import NodeError, PeerError
from node.wire import direction, root, signed
from tests.node.common import code_of
from tests.sim.memory import MemoryFiles
from tests.sim.ota_server import NOW_S
from tests.sim.releases import MODEL, MPY, ONLINE, OTHER, RELEASE, ROOT, Release, root_envelope, sign
from tests.sim.updates import DEVICE

NONCE = "5a" * 16
FILES = {"main.mpy": b"main" * 100}


def direct(sha, seq=1, nonce=NONCE, device=DEVICE, expires=NOW_S + 60, key=ONLINE):
    return sign(signed.DIRECTION, direction.build(device, nonce, seq, sha, NOW_S, expires), key)


class TestTrust(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()
        self.files.write_atomic(verify.PINNED, root_envelope())
        self.trust = Trust(self.files, DEVICE)

    def refused(self, code, call, *arguments):
        before = dict(self.files.data)
        try:
            call(*arguments)
        except NodeError as error:
            self.assertEqual(error.code, code)
        else:
            self.fail("accepted, expected " + code)
        self.assertEqual(self.files.data, before)   # what was refused leaves no trace

    def install(self, release, counter=1, directed=None):
        return self.trust.manifest(release.envelope, directed or release.sha, MODEL, counter, MPY)

    def test_directed_and_signed_release_is_accepted(self):
        release = Release(2, FILES)
        found = self.trust.direction(direct(release.sha), NONCE, NOW_S)
        self.assertEqual(self.install(release)["counter"], 2)
        self.trust.consume(found)
        self.assertEqual(Trust(self.files, DEVICE).seq, 1)

    def test_replayed_direction_is_refused(self):
        sha = "ab" * 32
        self.refused("direction.nonce", self.trust.direction, direct(sha, nonce="00" * 16), NONCE, NOW_S)
        first = direct(sha)
        self.trust.consume(self.trust.direction(first, NONCE, NOW_S))
        self.refused("direction.seq", Trust(self.files, DEVICE).direction, first, NONCE, NOW_S)

    def test_direction_for_another_device_is_refused(self):
        self.refused("direction.device", self.trust.direction, direct("ab" * 32, device="hall-0242ac110002"), NONCE, NOW_S)

    def test_expired_direction_is_refused_once_the_time_is_known(self):
        old = direct("ab" * 32, expires=NOW_S + 1)
        self.refused("direction.expired", self.trust.direction, old, NONCE, NOW_S + 2)
        self.assertEqual(self.trust.direction(old, NONCE, None)["seq"], 1)

    def test_fast_forward_of_the_sequence_is_refused(self):
        self.refused("direction.seq", self.trust.direction, direct("ab" * 32, seq=(1 << 20) + 1), NONCE, NOW_S)

    def test_release_key_cannot_direct(self):
        self.refused("signature.threshold", self.trust.direction, direct("ab" * 32, key=RELEASE), NONCE, NOW_S)

    def test_stolen_online_key_cannot_make_a_release(self):
        self.refused("signature.threshold", self.install, Release(2, FILES, key=ONLINE))

    def test_manifest_other_than_the_directed_one_is_refused(self):
        self.refused("manifest.hash", self.install, Release(2, FILES), 1, Release(3, FILES).sha)

    def test_release_for_another_model_is_refused(self):
        self.refused("manifest.model", self.install, Release(2, FILES, model="gate"))

    def test_rollback_to_the_running_or_an_older_release_is_refused(self):
        self.refused("manifest.counter", self.install, Release(2, FILES, span=(0, 9)), 2)
        self.refused("manifest.counter", self.install, Release(2, FILES, span=(0, 9)), 3)

    def test_release_below_the_floor_is_refused_after_falling_back_to_factory(self):
        self.trust.raise_floor(5)
        self.trust = Trust(self.files, DEVICE)
        self.refused("manifest.counter", self.install, Release(3, FILES), 1)
        self.install(Release(6, FILES), 1)

    def test_floor_never_sinks(self):
        self.trust.raise_floor(5)
        self.trust.raise_floor(4)
        self.assertEqual(Trust(self.files, DEVICE).floor, 5)

    def test_jump_over_a_stepping_stone_is_refused(self):
        self.refused("manifest.from", self.install, Release(9, FILES, span=(4, 8)), 2)

    def test_bytecode_that_this_interpreter_cannot_run_is_refused(self):
        self.refused("manifest.mpy", self.install, Release(2, FILES, mpy=MPY + 1))

    def test_release_below_the_roots_minimum_is_refused(self):
        self.trust.follow(root_envelope(2, min_counter=5))
        self.refused("manifest.counter", self.install, Release(4, FILES), 1)

    def test_damaged_manifest_is_refused(self):
        release = Release(2, FILES)
        release.envelope = release.envelope[:-1] + b" "
        self.refused("signature.threshold", self.install, release, 1, hexstr(sha256(release.envelope)))


class TestRoots(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()
        self.files.write_atomic(verify.PINNED, root_envelope())

    def trust(self):
        return Trust(self.files, DEVICE)

    def test_chain_is_followed_and_kept_over_a_reboot(self):
        trust = self.trust()
        trust.follow(root_envelope(2, online=OTHER))
        self.assertEqual((self.trust().root_version, self.trust().root()["version"]), (2, 2))
        self.trust().direction(direct("ab" * 32, key=OTHER), NONCE, NOW_S)
        self.assertRaises(NodeError, self.trust().direction, direct("ab" * 32), NONCE, NOW_S)

    def test_root_not_signed_by_the_one_before_is_refused(self):
        self.assertRaises(NodeError, self.trust().follow, root_envelope(2, own=OTHER))
        self.trust().follow(root_envelope(2, own=OTHER, before=ROOT))

    def test_root_version_cannot_be_skipped_or_repeated(self):
        for version in (1, 3):
            self.assertRaises(NodeError, self.trust().follow, root_envelope(version))
        self.assertEqual(sorted(self.files.data), [verify.PINNED])

    def test_damaged_newest_root_falls_back_to_the_pinned_one(self):
        self.trust().follow(root_envelope(2))
        for raw in (b"", b"TFS1", root_envelope(2)[:-1], root_envelope(2)[:-1] + b" "):
            self.files.data[verify.NEWEST] = raw
            trust = self.trust()
            self.assertEqual((trust.root()["version"], trust.root_version), (1, 2))
            self.assertEqual(trust.follow(root_envelope(2)), 2)

    def test_keys_that_a_lost_root_withdrew_do_not_come_back_with_the_pinned_one(self):
        trust = self.trust()
        trust.follow(root_envelope(2))
        trust.follow(root_envelope(3, online=OTHER))
        self.files.data[verify.NEWEST] = b"rot"
        stolen = direct("ab" * 32)   # by the key of roots 1 and 2
        for version in (1, 2):
            trust = self.trust()
            if version == 2:
                trust.follow(root_envelope(2))   # the thief holds back the third
            self.assertEqual(code_of(self, PeerError, trust.direction, stolen, NONCE, NOW_S), "root.version")
        self.trust().follow(root_envelope(3, online=OTHER))
        self.assertRaises(NodeError, self.trust().direction, stolen, NONCE, NOW_S)
        self.trust().direction(direct("ab" * 32, key=OTHER), NONCE, NOW_S)

    def test_damaged_pinned_root_installs_nothing(self):
        self.files.data[verify.PINNED] = root_envelope()[:-1] + b" "
        self.assertRaises(NodeError, self.trust().root)

    def test_new_direction_keys_undo_a_sequence_that_thieves_drove_up(self):
        trust = self.trust()
        trust.consume({"seq": 1 << 20})
        trust.follow(root_envelope(2))
        self.assertEqual(self.trust().seq, 1 << 20)
        trust.follow(root_envelope(3, online=OTHER))
        self.assertEqual(self.trust().seq, 0)

    def test_unreadable_floors_do_not_stop_a_device(self):
        for raw in (b"", b"{", b"[]", b"null", b"{}", b'{"seq":-1,"floor":0,"root":1}', b'{"seq":"1","floor":0,"root":1}', b"\xff"):
            self.files.data[floors.STATE] = raw
            self.assertEqual((self.trust().seq, self.trust().floor), (0, 0))

    def test_floors_fit_an_inline_file_of_littlefs(self):
        trust = self.trust()
        trust.consume({"seq": 0x7FFFFFFF})
        trust.raise_floor(0x7FFFFFFF)
        self.assertTrue(len(self.files.data[floors.STATE]) <= 128)
        self.assertEqual(json.loads(self.files.data[floors.STATE].decode()), {"seq": 0x7FFFFFFF, "floor": 0x7FFFFFFF, "root": 1})

    def test_root_role_is_needed_to_change_roles(self):
        payload = root.build(2, {"root": ([ROOT.pub], 1), "release": ([OTHER.pub], 1), "direction": ([OTHER.pub], 1)})
        self.assertRaises(NodeError, self.trust().follow, sign(signed.ROOT, payload, RELEASE, ONLINE))


if __name__ == "__main__":
    unittest.main()
