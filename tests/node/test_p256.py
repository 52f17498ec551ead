"""Wrong signatures, forged ones and malformed keys; vectors of RFC 6979 and of NIST."""

import binascii
import json
import unittest

from node.compat import sha256
from node.errors import CallerError
from node.wire import p256
from tests.node.common import code_of, key, shared_lines

# RFC 6979, A.2.5: private key, public point, then message, r, s for SHA-256.
RFC_KEY = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"
RFC_POINT = ("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
             "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299")
RFC_SIGNATURES = (
    (b"sample", "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
                "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"),
    (b"test", "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
              "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"),
)


def unhex(text):
    return binascii.unhexlify(text)


def number(raw):
    return int.from_bytes(raw, "big")


def blocks(lines):
    """Yield the `name = value` blocks of a NIST response file."""
    block = {}
    lines.append("")
    for line in lines:
        name, equals, value = line.partition(" = ")
        if equals:
            block[name.strip()] = value.strip()
        elif block:
            yield block
            block = {}


class SignatureTest(unittest.TestCase):
    def setUp(self):
        self.d, self.pub = key("device")
        self.digest = sha256(b"message")
        self.sig = p256.sign(self.d, self.digest)

    def test_deterministic_signatures_are_those_of_rfc_6979(self):
        d, pub = p256.keygen(unhex(RFC_KEY))
        self.assertEqual(pub, b"\x04" + unhex(RFC_POINT))
        for message, sig in RFC_SIGNATURES:
            self.assertEqual(p256.sign(d, sha256(message)), unhex(sig))
            self.assertTrue(p256.verify(pub, sha256(message), unhex(sig)))

    def test_shared_vectors_of_rfc_6979_are_reproduced(self):
        lines = shared_lines("rfc6979-p256/rfc6979_p256_sha256.json")
        if lines is None:
            self.skipTest("NOT TESTED against the shared vectors: ../shared/vectors/rfc6979-p256 is missing")
        vectors = json.loads("\n".join(lines))
        d, pub = p256.keygen(unhex(vectors["x"]))
        self.assertEqual(pub, b"\x04" + unhex(vectors["Ux"]) + unhex(vectors["Uy"]))
        self.assertEqual(len(vectors["tests"]), 2)
        for each in vectors["tests"]:
            digest, sig = sha256(each["message"].encode()), unhex(each["r"]) + unhex(each["s"])
            self.assertEqual(p256.sign(d, digest), sig)
            self.assertTrue(p256.verify(pub, digest, sig))
            self.assertFalse(p256.verify(pub, digest, unhex(each["der"])))   # an envelope's signatures are r | s, nothing else

    def test_nist_verdicts_are_reproduced(self):
        lines = shared_lines("nist-cavp-p256/SigVer_P-256_SHA-256.rsp")
        if lines is None:
            self.skipTest("NOT TESTED against NIST: ../shared/vectors/nist-cavp-p256 is missing")
        verdicts = []
        for block in blocks(lines):
            pub = b"\x04" + unhex(block["Qx"]) + unhex(block["Qy"])
            good = p256.verify(pub, sha256(unhex(block["Msg"])), unhex(block["R"]) + unhex(block["S"]))
            self.assertEqual(good, block["Result"][0] == "P")
            verdicts.append(good)
        self.assertEqual(len(verdicts), 15)
        self.assertEqual(set(verdicts), {True, False})

    def test_nist_generated_signatures_verify_and_keys_derive(self):
        lines = shared_lines("nist-cavp-p256/SigGen_P-256_SHA-256.txt")
        if lines is None:
            self.skipTest("NOT TESTED against NIST: ../shared/vectors/nist-cavp-p256 is missing")
        count = 0
        for block in blocks(lines):
            if "d" in block:
                pub = p256.public_key(number(unhex(block["d"])))
                self.assertEqual(pub, b"\x04" + unhex(block["Qx"]) + unhex(block["Qy"]))
                self.assertTrue(p256.verify(pub, sha256(unhex(block["Msg"])), unhex(block["R"]) + unhex(block["S"])))
                count += 1
        self.assertEqual(count, 15)

    def test_any_flipped_bit_breaks_a_signature(self):
        for place in (0, 31, 32, 63):
            sig = bytearray(self.sig)
            sig[place] ^= 1
            self.assertFalse(p256.verify(self.pub, self.digest, bytes(sig)))
        self.assertTrue(p256.verify(self.pub, self.digest, self.sig))
        self.assertFalse(p256.verify(self.pub, sha256(b"other"), self.sig))
        self.assertFalse(p256.verify(key("station")[1], self.digest, self.sig))

    def test_zero_and_oversized_r_and_s_are_refused(self):
        r, s = self.sig[:32], self.sig[32:]
        order = p256.N.to_bytes(32, "big")
        for bad in (bytes(32) + s, r + bytes(32), bytes(64), order + s, r + order, order + order, b"\xff" * 64,
                    (number(r) + p256.N if number(r) + p256.N < 2**256 else p256.N).to_bytes(32, "big") + s):
            self.assertFalse(p256.verify(self.pub, self.digest, bad))

    def test_nist_keys_moved_off_the_curve_are_refused_with_signatures_that_were_good(self):
        lines = shared_lines("nist-cavp-p256/SigVer_P-256_SHA-256.rsp")
        if lines is None:
            self.skipTest("NOT TESTED against NIST: ../shared/vectors/nist-cavp-p256 is missing")
        moved = 0
        for block in blocks(lines):
            if block["Result"][0] == "P":
                x, y = number(unhex(block["Qx"])), number(unhex(block["Qy"]))
                digest, sig = sha256(unhex(block["Msg"])), unhex(block["R"]) + unhex(block["S"])
                for other in ((x, y ^ 1), (x ^ 1, y), (y, x), (x, 0), (0, y)):
                    pub = b"\x04" + other[0].to_bytes(32, "big") + other[1].to_bytes(32, "big")
                    self.assertFalse(p256.is_public_key(pub))
                    self.assertFalse(p256.verify(pub, digest, sig))
                    moved += 1
                pub = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
                r, s = number(sig[:32]), number(sig[32:])
                for pair in ((0, s), (r, 0), (p256.N, s), (r, p256.N), (2**256 - 1, s), (r, 2**256 - 1)):
                    self.assertFalse(p256.verify(pub, digest, pair[0].to_bytes(32, "big") + pair[1].to_bytes(32, "big")))
        self.assertGreater(moved, 0)

    def test_malformed_keys_and_lengths_are_refused_without_an_exception(self):
        off_curve = bytearray(self.pub)
        off_curve[64] ^= 1
        field = p256.P.to_bytes(32, "big")
        for pub in (b"", self.pub[:64], self.pub + b"\0", b"\x02" + self.pub[1:], bytes(off_curve), b"\x04" + bytes(64),
                    b"\x04" + field + self.pub[33:], b"\x04" + b"\xff" * 64):
            self.assertFalse(p256.is_public_key(pub))
            self.assertFalse(p256.verify(pub, self.digest, self.sig))
        for digest, sig in ((b"", self.sig), (self.digest + b"\0", self.sig), (self.digest, self.sig[:63]), (self.digest, b"")):
            self.assertFalse(p256.verify(self.pub, digest, sig))

    def test_key_whose_sum_with_the_base_point_vanishes_is_handled(self):
        d = p256.N - 1   # public point is -G: the table of the double product holds the neutral element
        pub = p256.public_key(d)
        self.assertTrue(p256.verify(pub, self.digest, p256.sign(d, self.digest)))
        pub = p256.public_key(1)   # and here G + G
        self.assertTrue(p256.verify(pub, self.digest, p256.sign(1, self.digest)))

    def test_signature_that_sums_to_the_neutral_element_is_refused(self):
        d = 5
        r = 7
        e = (p256.N - r * d) % p256.N   # u1 + u2 * d = 0
        self.assertFalse(p256.verify(p256.public_key(d), e.to_bytes(32, "big"), r.to_bytes(32, "big") + (1).to_bytes(32, "big")))

    def test_digest_above_the_group_order_signs_and_verifies(self):
        digest = b"\xff" * 32
        self.assertTrue(p256.verify(self.pub, digest, p256.sign(self.d, digest)))

    def test_unusable_randomness_and_keys_are_refused(self):
        for seed in (bytes(32), b"\xff" * 32, bytes(31), b"\x01" * 33, p256.N.to_bytes(32, "big")):
            self.assertEqual(code_of(self, CallerError, p256.keygen, seed), "p256.random")
        for d in (0, p256.N, -1):
            self.assertEqual(code_of(self, CallerError, p256.sign, d, self.digest), "p256.key")
        self.assertEqual(code_of(self, CallerError, p256.sign, 1, b"short"), "p256.digest")


if __name__ == "__main__":
    unittest.main()
