"""Names that could be mistaken for others, and birth records that prove nothing."""

import json
import unittest

from node.compat import hexstr, sha256
from node.errors import CallerError, FormatError
from node.wire import identity, p256, signed
from tests.node.common import DEVICE, code_of, golden, key


class DeviceIdTest(unittest.TestCase):
    def test_id_is_product_and_mac_in_lower_case(self):
        self.assertEqual(identity.device_id("hall", b"\x02\x42\xac\x11\x00\xfe"), "hall-0242ac1100fe")
        self.assertTrue(identity.is_device_id(DEVICE))

    def test_names_that_are_no_device_id_are_told_apart(self):
        for name in ("", "-", "hall", "hall-", "svc.ingest", "op.console", "hall-0242AC110001", "Hall-0242ac110001",
                     "hall-0242ac11000", "hall-0242ac1100011", "-0242ac110001", "a" * 17 + "-0242ac110001",
                     "ha-ll-0242ac110001", "hall-0242ac11000g",
                     "hall-0242ac110001\n", "hall.0242ac110001", "h\u00e4ll-0242ac110001", "hall/-0242ac110001", "+-0242ac110001"):
            self.assertFalse(identity.is_device_id(name), name)

    def test_unusable_products_and_addresses_are_refused(self):
        for product in ("", "a" * 17, "Hall", "ha-ll", "ha.ll", "h/#"):
            self.assertEqual(code_of(self, CallerError, identity.device_id, product, bytes(6)), "identity.product")
        self.assertEqual(code_of(self, CallerError, identity.device_id, "hall", bytes(5)), "identity.mac")


class BirthTest(unittest.TestCase):
    def test_golden_birth_verifies_and_proves_possession(self):
        payload = signed.verify(golden("birth"), signed.BIRTH, [key("station")[1]], 1)
        birth = identity.parse_birth(payload)
        self.assertEqual((birth["device"], birth["lot"], birth["station"], birth["at"]), (DEVICE, "lot-1", "bench-1", 1795000000))
        self.assertTrue(identity.birth_proof_holds(birth["device"], birth["key"], birth["proof"]))

    def test_proof_of_another_device_or_key_does_not_hold(self):
        proof = hexstr(p256.sign(key("device")[0], sha256(identity.proof_input(DEVICE))))
        self.assertTrue(identity.birth_proof_holds(DEVICE, hexstr(key("device")[1]), proof))
        self.assertFalse(identity.birth_proof_holds("hall-0242ac110002", hexstr(key("device")[1]), proof))
        self.assertFalse(identity.birth_proof_holds(DEVICE, hexstr(key("station")[1]), proof))

    def test_each_malformed_member_is_refused_by_name(self):
        good = json.loads(signed.split(golden("birth"), signed.BIRTH)[1].decode())
        bad = {"type": "root", "device": "svc.ingest", "key": good["key"][:-2], "model": "Hall!", "lot": "", "station": "x" * 33,
               "at": 1.5, "proof": good["proof"].upper() + "zz"}
        for name, wrong in bad.items():
            for value in (wrong, None, [], True):
                broken = dict(good)
                broken[name] = value
                self.assertEqual(code_of(self, FormatError, identity.parse_birth, json.dumps(broken).encode()), "birth." + name)
            broken.pop(name)
            self.assertEqual(code_of(self, FormatError, identity.parse_birth, json.dumps(broken).encode()), "birth." + name)

    def test_what_is_no_json_object_is_refused(self):
        for raw, code in ((b"", "birth.json"), (b"[]", "birth.object"), (b"{", "birth.json"), (b"\xff\xfe{\0}\0", "birth.json"),
                          (b"[" * 2000, "birth.json"), (b" " * 3000, "birth.size"), (b"{} {}", "birth.json")):
            self.assertEqual(code_of(self, FormatError, identity.parse_birth, raw), code)


if __name__ == "__main__":
    unittest.main()
