"""Directions that answer another device, another question or another time."""

import json
import unittest

from node.errors import CallerError, FormatError, PeerError, SignatureError
from node.wire import direction, root, signed
from tests.node.common import DEVICE, DIGEST, NONCE, code_of, golden, root_payload, seal

ISSUED = 1795000000
EXPIRES = ISSUED + 3600


def sealed(device=DEVICE, nonce=NONCE, seq=7, by="direction"):
    return seal(signed.DIRECTION, direction.build(device, nonce, seq, DIGEST, ISSUED, EXPIRES), by)


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.root = root.load(seal(signed.ROOT, root_payload(), "root-1"), None)

    def refusal(self, raw, floor=6, now_s=ISSUED, error=PeerError):
        return code_of(self, error, direction.load, raw, self.root, DEVICE, NONCE, floor, now_s)

    def test_golden_direction_loads(self):
        loaded = direction.load(golden("direction"), root.load(golden("root_1"), None), DEVICE, NONCE, 6, ISSUED)
        self.assertEqual((loaded["device"], loaded["seq"], loaded["expires"]), (DEVICE, 7, EXPIRES))

    def test_direction_signed_by_another_role_is_refused(self):
        for name in ("release-1", "root-1", "station"):
            self.assertEqual(self.refusal(sealed(by=name), error=SignatureError), "signature.threshold")

    def test_direction_for_another_device_is_refused(self):
        self.assertEqual(self.refusal(sealed(device="hall-0242ac110002")), "direction.device")

    def test_replayed_direction_is_refused(self):
        self.assertEqual(self.refusal(sealed(nonce="aa" * 16)), "direction.nonce")

    def test_sequence_that_does_not_rise_is_refused(self):
        for seq in (5, 6):
            self.assertEqual(self.refusal(sealed(seq=seq)), "direction.seq")

    def test_sequence_that_would_lock_out_later_servers_is_refused(self):
        self.assertEqual(self.refusal(sealed(seq=6 + direction.MAX_STEP + 1)), "direction.seq")
        loaded = direction.load(sealed(seq=6 + direction.MAX_STEP), self.root, DEVICE, NONCE, 6, ISSUED)
        self.assertEqual(loaded["seq"], 6 + direction.MAX_STEP)

    def test_expired_direction_is_refused_when_the_clock_is_known(self):
        self.assertEqual(self.refusal(sealed(), now_s=EXPIRES), "direction.expired")
        for now_s in (EXPIRES - 1, None):
            self.assertEqual(direction.load(sealed(), self.root, DEVICE, NONCE, 6, now_s)["manifest"], DIGEST)


class PayloadTest(unittest.TestCase):
    def test_each_malformed_member_is_refused_by_name(self):
        good = json.loads(direction.build(DEVICE, NONCE, 7, DIGEST, ISSUED, EXPIRES).decode())
        for name, value in (("type", "manifest"), ("device", "op.console"), ("nonce", NONCE[2:]), ("seq", 0), ("seq", 2**31),
                            ("manifest", ""), ("issued", "now"), ("issued", 0), ("expires", ISSUED - 1), ("expires", None)):
            broken = dict(good)
            broken[name] = value
            self.assertEqual(code_of(self, FormatError, direction.parse, json.dumps(broken).encode()), "direction." + name)

    def test_building_what_parse_would_refuse_is_a_programming_error(self):
        self.assertEqual(code_of(self, CallerError, direction.build, DEVICE, NONCE, 0, DIGEST, 1, 2), "direction.invalid")


if __name__ == "__main__":
    unittest.main()
