"""Faults of bit and varint readers: reading past the end, two encodings of one value, runs without end."""

import unittest

from node.errors import FormatError
from node.wire.bits import BitReader, BitWriter, bit_width, get_varint, put_varint, unzigzag, zigzag
from tests.node.common import code_of

EDGES = [0, 1, 127, 128, 255, 16383, 16384, 2**30, 2**31, 2**32 - 1, 2**53, 2**63 - 1]


class VarintTest(unittest.TestCase):
    def test_values_return_at_every_length(self):
        for value in EDGES:
            out = bytearray(b"??")
            put_varint(out, value)
            self.assertEqual(get_varint(out, 2, len(out)), (value, len(out)))

    def test_varint_cut_off_is_refused_at_every_place(self):
        out = bytearray()
        put_varint(out, 2**63 - 1)
        for end in range(len(out)):
            self.assertEqual(code_of(self, FormatError, get_varint, out, 0, end), "bits.varint")

    def test_endless_varint_is_refused(self):
        self.assertEqual(code_of(self, FormatError, get_varint, b"\xff" * 100, 0, 100), "bits.varint")

    def test_longer_form_of_the_same_value_is_refused(self):
        for raw in (b"\x80\x00", b"\xff\x80\x00"):
            self.assertEqual(code_of(self, FormatError, get_varint, raw, 0, len(raw)), "bits.varint")


class ZigzagTest(unittest.TestCase):
    def test_signed_values_return(self):
        for value in EDGES:
            for signed in (value, -value):
                self.assertEqual(unzigzag(zigzag(signed)), signed)

    def test_small_magnitudes_stay_small(self):
        self.assertEqual([zigzag(value) for value in (0, -1, 1, -2, 2)], [0, 1, 2, 3, 4])

    def test_bit_width_is_that_of_cpython(self):
        for value in EDGES:
            self.assertEqual(bit_width(value), len(bin(value)) - 2 if value else 0)


class BitsTest(unittest.TestCase):
    def test_mixed_widths_return(self):
        out = BitWriter()
        fields = [(1, 1), (0, 3), (2**33 - 1, 33), (5, 3), (0, 0), (2**32, 33), (77, 7)]
        for value, width in fields:
            out.write(value, width)
        for count in (0, 1, 7, 8, 9, 24):
            out.unary(count)
        source = BitReader(b"?" + out.finish(), 1, 1 + len(out.finish()))
        self.assertEqual([source.read(width) for _, width in fields], [value for value, _ in fields])
        self.assertEqual([source.unary(24) for _ in range(6)], [0, 1, 7, 8, 9, 24])
        source.finish()

    def test_bits_go_most_significant_first(self):
        out = BitWriter()
        out.write(0b101, 3)
        out.unary(2)
        self.assertEqual(out.finish(), bytes([0b10111000]))

    def test_reading_past_the_end_is_refused(self):
        source = BitReader(b"\xff\xff", 0, 1)
        source.read(5)
        self.assertEqual(code_of(self, FormatError, source.read, 4), "bits.short")

    def test_run_of_ones_beyond_the_limit_is_refused(self):
        self.assertEqual(code_of(self, FormatError, BitReader(b"\xff" * 9, 0, 9).unary, 24), "bits.unary")

    def test_anything_but_fill_bits_at_the_end_is_refused(self):
        for raw, used in ((b"\x01", 4), (b"\x00\x00", 4)):
            source = BitReader(raw, 0, len(raw))
            source.read(used)
            self.assertEqual(code_of(self, FormatError, source.finish), "bits.trailing")


if __name__ == "__main__":
    unittest.main()
