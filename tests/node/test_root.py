"""Attacks on the chain of roots: forks, skips, rollbacks and weakened roles."""

import json
import unittest

from node.errors import CallerError, FormatError, PeerError, SignatureError
from node.wire import root, signed
from tests.node.common import code_of, golden, key, root_payload, seal


class ChainTest(unittest.TestCase):
    def setUp(self):
        self.first = root.load(golden("root_1"), None)

    def test_golden_chain_loads_and_gives_its_roles(self):
        second = root.load(golden("root_2"), self.first)
        self.assertEqual((self.first["version"], second["version"], second["min_counter"]), (1, 2, 1))
        self.assertEqual(root.role(second, "root"), ([key("root-2")[1]], 1))
        self.assertEqual(root.role(second, "release"), ([key("release-1")[1], key("release-2")[1]], 2))

    def test_pinned_root_must_be_signed_by_itself(self):
        raw = seal(signed.ROOT, root_payload(root_keys=("root-1",)), "station")
        self.assertEqual(code_of(self, SignatureError, root.load, raw, None), "signature.threshold")

    def test_next_root_not_signed_by_the_one_in_force_is_refused(self):
        raw = seal(signed.ROOT, root_payload(2, ("root-2",)), "root-2")
        self.assertEqual(code_of(self, SignatureError, root.load, raw, self.first), "signature.threshold")

    def test_next_root_not_signed_by_its_own_keys_is_refused(self):
        raw = seal(signed.ROOT, root_payload(2, ("root-2",)), "root-1")
        self.assertEqual(code_of(self, SignatureError, root.load, raw, self.first), "signature.threshold")

    def test_skipped_repeated_and_older_versions_are_refused(self):
        for version in (1, 3, 2**31 - 1):
            raw = seal(signed.ROOT, root_payload(version), "root-1")
            self.assertEqual(code_of(self, PeerError, root.load, raw, self.first), "root.version")
        second = root.load(golden("root_2"), self.first)
        self.assertEqual(code_of(self, SignatureError, root.load, golden("root_1"), second), "signature.threshold")

    def test_sinking_floor_is_refused(self):
        high = root.load(seal(signed.ROOT, root_payload(1, floor=9), "root-1"), None)
        raw = seal(signed.ROOT, root_payload(2, floor=8), "root-1")
        self.assertEqual(code_of(self, PeerError, root.load, raw, high), "root.min_counter")

    def test_threshold_of_the_root_in_force_holds(self):
        two = root.load(seal(signed.ROOT, root_payload(1, ("root-1", "root-2"), 2), "root-1", "root-2"), None)
        raw = seal(signed.ROOT, root_payload(2, ("root-2",), 1), "root-2")
        self.assertEqual(code_of(self, SignatureError, root.load, raw, two), "signature.threshold")


class PayloadTest(unittest.TestCase):
    def test_each_malformed_member_is_refused_by_name(self):
        def broken(change):
            obj = json.loads(root_payload().decode())
            change(obj)
            return json.dumps(obj).encode()

        one = json.loads(root_payload().decode())["roles"]["root"]["keys"][0]
        for change, code in (
            (lambda o: o.update(type="manifest"), "root.type"),
            (lambda o: o.update(version=0), "root.version"),
            (lambda o: o.update(version=True), "root.version"),
            (lambda o: o.update(min_counter=-1), "root.min_counter"),
            (lambda o: o.update(roles=[]), "root.roles"),
            (lambda o: o["roles"].pop("release"), "root.release"),
            (lambda o: o["roles"]["root"].update(keys=[]), "root.keys"),
            (lambda o: o["roles"]["root"].update(keys=[one] * 2), "root.keys"),
            (lambda o: o["roles"]["root"].update(keys=[one] * 9), "root.keys"),
            (lambda o: o["roles"]["root"].update(keys=["04" + "00" * 64]), "root.keys"),
            (lambda o: o["roles"]["root"].update(keys=[5]), "root.keys"),
            (lambda o: o["roles"]["root"].update(threshold=0), "root.threshold"),
            (lambda o: o["roles"]["root"].update(threshold=2), "root.threshold"),
        ):
            self.assertEqual(code_of(self, FormatError, root.parse, broken(change)), code)

    def test_building_what_parse_would_refuse_is_a_programming_error(self):
        self.assertEqual(code_of(self, CallerError, root_payload, 0), "root.invalid")


if __name__ == "__main__":
    unittest.main()
