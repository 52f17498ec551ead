"""Malformed DER, keys that do not belong together, certificate answers that are none."""

import unittest

from node.errors import CallerError, FormatError
from node.wire import der
from tests.node.common import DEVICE, code_of, golden, key


def certificate(not_before=b"\x17\x0d261121000000Z", not_after=b"\x18\x0f20570101000000Z", pub=None):
    """A certificate's shape with fields we read; not signed."""
    spki = der.tlv(0x30, der.tlv(0x30, b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"), der.tlv(0x03, b"\0", pub or key("device")[1]))
    name = der.tlv(0x30)
    return der.tlv(0x30, der.tlv(0x30, b"\xa0\x03\x02\x01\x02", b"\x02\x01\x05", der.tlv(0x30), name,
                                 der.tlv(0x30, not_before, not_after), name, spki), der.tlv(0x30), der.tlv(0x03, b"\0"))


def pkcs7(*certs):
    digests = der.tlv(0x31)
    content = der.tlv(0x30, b"\x06\x01\x01")
    signed_data = der.tlv(0x30, b"\x02\x01\x01", digests, content, der.tlv(0xA0, *certs), der.tlv(0x31))
    return der.tlv(0x30, b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", der.tlv(0xA0, signed_data))


class DerTest(unittest.TestCase):
    def test_golden_request_and_key_are_reproduced(self):
        self.assertEqual(der.csr(key("device")[0], key("device")[1], DEVICE), golden("csr"))
        self.assertEqual(der.sec1(key("device")[0], key("device")[1]), golden("sec1"))
        self.assertEqual(der.parse_sec1(golden("sec1")), key("device"))

    def test_lengths_of_all_forms_return(self):
        for n in (0, 1, 127, 128, 255, 256, 3000):
            raw = der.tlv(0x04, bytes(n))
            self.assertEqual(der.read_tlv(raw, 0, len(raw)), (4, len(raw) - n, len(raw)))

    def test_element_longer_than_its_container_is_refused(self):
        for raw in (b"", b"\x30", b"\x30\x01", b"\x30\x05abcd", b"\x30\x82\x01", b"\x30\x82\x01\x00", b"\x30\x84\0\0\0\1a"):
            self.assertEqual(code_of(self, FormatError, der.read_tlv, raw, 0, len(raw)), "der.length")

    def test_lengths_in_a_longer_form_than_needed_are_refused(self):
        for raw in (b"\x04\x81\x05aaaaa", b"\x04\x82\x00\x05aaaaa", b"\x04\x80"):
            self.assertEqual(code_of(self, FormatError, der.read_tlv, raw, 0, len(raw)), "der.length")

    def test_bytes_behind_a_structure_or_inside_its_end_are_refused(self):
        inner = der.tlv(0x30, golden("sec1")[2:], b"\x05\x00")   # a NULL behind the last member of a key
        self.assertEqual(code_of(self, FormatError, der.parse_sec1, inner), "der.trailing")
        for read, raw in ((der.parse_sec1, golden("sec1")), (der.certs_only, pkcs7(certificate())),
                          (der.cert_validity, certificate()), (der.cert_public_key, certificate())):
            read(raw)
            for more in (b"\0", b"\x30\x00", raw):
                self.assertEqual(code_of(self, FormatError, read, raw + more), "der.trailing")

    def test_key_with_another_version_or_unused_bits_is_refused(self):
        raw = golden("sec1")
        version, bits = raw.index(b"\x02\x01\x01") + 2, raw.index(b"\x03\x42\x00\x04") + 2
        for place in (version, bits):
            for value in (2, 0x80):
                other = bytearray(raw)
                other[place] = value
                self.assertEqual(code_of(self, FormatError, der.parse_sec1, bytes(other)), "der.key")

    def test_certified_key_with_unused_bits_is_refused(self):
        raw = certificate()
        place = raw.index(b"\x03\x42\x00\x04") + 2
        self.assertEqual(code_of(self, FormatError, der.cert_public_key, raw[:place] + b"\x01" + raw[place + 1:]), "der.key")

    def test_every_truncation_of_every_structure_is_refused(self):
        cases = ((der.parse_sec1, golden("sec1")), (der.certs_only, pkcs7(certificate())), (der.cert_validity, certificate()),
                 (der.cert_public_key, certificate()))
        for read, raw in cases:
            read(raw)
            for end in range(len(raw)):
                with self.assertRaises(FormatError):
                    read(raw[:end])

    def test_damaged_bytes_raise_nothing_but_format_errors(self):
        cases = ((der.certs_only, pkcs7(certificate(), certificate())), (der.cert_validity, certificate()),
                 (der.cert_public_key, certificate()))
        for read, raw in cases:
            for place in range(len(raw)):
                damaged = bytearray(raw)
                damaged[place] ^= 0x41
                try:  # noqa: SIM105   (no contextlib on MicroPython)
                    read(bytes(damaged))
                except FormatError:
                    pass

    def test_private_key_with_a_foreign_public_point_is_refused(self):
        raw = der.sec1(key("device")[0], key("station")[1])
        self.assertEqual(code_of(self, FormatError, der.parse_sec1, raw), "der.key")

    def test_certificates_of_an_answer_return_in_order(self):
        certs = [certificate(), certificate(not_before=b"\x17\x0d270101000000Z")]
        self.assertEqual(der.certs_only(pkcs7(*certs)), certs)

    def test_answers_without_or_with_too_many_certificates_are_refused(self):
        for raw in (pkcs7(), pkcs7(*[certificate()] * 9)):
            self.assertEqual(code_of(self, FormatError, der.certs_only, raw), "der.pkcs7")
        self.assertEqual(code_of(self, FormatError, der.certs_only, der.tlv(0x30, b"\x06\x01\x01")), "der.pkcs7")
        self.assertEqual(code_of(self, FormatError, der.certs_only, bytes(20000)), "der.length")

    def test_validity_is_unix_seconds_in_both_time_forms(self):
        self.assertEqual(der.cert_validity(certificate()), (1795219200, 2745532800))
        for text, seconds in (
            (b"\x17\x0d700101000000Z", 0),
            (b"\x17\x0d491231235959Z", 2524607999),
            (b"\x17\x0d500101000000Z", -631152000),
            (b"\x18\x0f20000229120000Z", 951825600),
            (b"\x18\x0f21000301000000Z", 4107542400),
        ):
            self.assertEqual(der.cert_validity(certificate(not_before=text))[0], seconds)

    def test_malformed_times_are_refused(self):
        for text in (b"\x17\x0d26112100000Z0", b"\x17\x0c26112100000Z", b"\x17\x0d261321000000Z", b"\x17\x0d261132000000Z",
                     b"\x18\x0f2026112100000aZ", b"\x17\x0d26112124000Z ", b"\x0c\x0d261121000000Z", b"\x17\x0d26-121000000Z"):
            self.assertEqual(code_of(self, FormatError, der.cert_validity, certificate(not_before=text)), "der.time")

    def test_certified_key_is_returned_and_checked(self):
        self.assertEqual(der.cert_public_key(certificate()), key("device")[1])
        self.assertEqual(code_of(self, FormatError, der.cert_public_key, certificate(pub=b"\x04" + bytes(64))), "der.key")

    def test_unusable_common_name_is_refused(self):
        for name in ("", "x" * 65):
            self.assertEqual(code_of(self, CallerError, der.csr, key("device")[0], key("device")[1], name), "der.cn")


if __name__ == "__main__":
    unittest.main()
