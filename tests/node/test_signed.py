"""Forged, replayed and multiplied signatures on the envelope of signed objects."""

import unittest

from node.errors import CallerError, FormatError, SignatureError
from node.wire import p256, signed
from tests.node.common import code_of, golden, key, seal

PAYLOAD = b'{"type":"root"}'
KEYS = ("release-1", "release-2", "station")


def points(*names):
    return [key(name)[1] for name in names]


class VerifyTest(unittest.TestCase):
    def verify_code(self, raw, keys, threshold, kind=signed.ROOT):
        return code_of(self, SignatureError, signed.verify, raw, kind, keys, threshold)

    def test_enough_distinct_keys_let_the_payload_through(self):
        raw = seal(signed.ROOT, PAYLOAD, *KEYS)
        for threshold in (1, 2, 3):
            self.assertEqual(signed.verify(raw, signed.ROOT, points(*KEYS), threshold), PAYLOAD)

    def test_too_few_signatures_are_refused(self):
        raw = seal(signed.ROOT, PAYLOAD, "release-1", "release-2")
        self.assertEqual(self.verify_code(raw, points(*KEYS), 3), "signature.threshold")

    def test_keys_that_may_not_sign_do_not_count(self):
        raw = seal(signed.ROOT, PAYLOAD, "release-1", "station")
        self.assertEqual(self.verify_code(raw, points("release-1", "release-2"), 2), "signature.threshold")
        self.assertEqual(self.verify_code(raw, [], 1), "signature.threshold")

    def test_one_key_listed_twice_counts_once(self):
        raw = seal(signed.ROOT, PAYLOAD, "release-1")
        self.assertEqual(self.verify_code(raw, points("release-1", "release-1"), 2), "signature.threshold")

    def test_one_key_signing_twice_is_refused(self):
        raw = seal(signed.ROOT, PAYLOAD, "release-1", "release-1")
        self.assertEqual(code_of(self, FormatError, signed.verify, raw, signed.ROOT, points("release-1"), 1), "signed.duplicate")

    def test_signature_of_one_kind_is_worthless_for_another(self):
        raw = bytearray(seal(signed.MANIFEST, PAYLOAD, "release-1"))
        self.assertEqual(code_of(self, FormatError, signed.verify, bytes(raw), signed.ROOT, points("release-1"), 1), "signed.kind")
        raw[4] = signed.ROOT
        self.assertEqual(self.verify_code(bytes(raw), points("release-1"), 1), "signature.threshold")

    def test_every_changed_byte_is_noticed(self):
        raw = seal(signed.DIRECTION, PAYLOAD, "direction")
        for place in range(0, len(raw), 3):
            changed = bytearray(raw)
            changed[place] ^= 0x80
            with self.assertRaises((FormatError, SignatureError)):
                signed.verify(bytes(changed), signed.DIRECTION, points("direction"), 1)

    def test_key_id_that_names_another_key_gains_nothing(self):
        sig = p256.sign(key("station")[0], signed.signing_digest(signed.ROOT, PAYLOAD))
        raw = signed.join(signed.ROOT, [(signed.key_id(key("release-1")[1]), sig)], PAYLOAD)
        self.assertEqual(self.verify_code(raw, points("release-1", "station"), 1), "signature.threshold")

    def test_threshold_of_zero_is_a_programming_error(self):
        self.assertEqual(code_of(self, CallerError, signed.verify, seal(1, PAYLOAD, "station"), 1, [], 0), "signed.threshold")


class EnvelopeTest(unittest.TestCase):
    def test_golden_envelopes_come_apart_and_verify(self):
        for name, kind, keys in (("root_1", signed.ROOT, ("root-1",)), ("manifest", signed.MANIFEST, ("release-1", "release-2")),
                                 ("direction", signed.DIRECTION, ("direction",)), ("birth", signed.BIRTH, ("station",))):
            raw = golden(name)
            signatures, payload = signed.split(raw, kind)
            self.assertEqual(signed.join(kind, signatures, payload), raw)
            self.assertEqual([keyid for keyid, _ in signatures], [signed.key_id(key(one)[1]) for one in keys])
            self.assertEqual(signed.verify(raw, kind, points(*keys), len(keys)), payload)
            self.assertEqual(seal(kind, payload, *keys), raw)

    def test_malformed_envelopes_are_refused_by_code(self):
        raw = seal(signed.ROOT, PAYLOAD, "station")
        for bad, code in (
            (b"", "signed.size"), (raw[:78], "signed.size"), (raw + b" " * 8192, "signed.size"),
            (b"TFS2" + raw[4:], "signed.magic"),
            (raw[:5] + b"\0" + raw[6:], "signed.signatures"), (raw[:5] + b"\x09" + raw[6:], "signed.signatures"),
            (raw[:5] + b"\x02" + raw[6:], "signed.signatures"), (raw[:4] + b"\x07" + raw[5:], "signed.kind"),
        ):
            self.assertEqual(code_of(self, FormatError, signed.split, bad, signed.ROOT), code)

    def test_unusable_signatures_and_sizes_are_refused_when_joining(self):
        one = (bytes(8), bytes(64))
        for signatures in ([], [one] * 9, [(bytes(7), bytes(64))]):
            self.assertEqual(code_of(self, CallerError, signed.join, 1, signatures, PAYLOAD), "signed.signatures")
        self.assertEqual(code_of(self, CallerError, signed.join, 3, [one], bytes(2048)), "signed.size")


if __name__ == "__main__":
    unittest.main()
