"""Prefix codes that are too long, not complete or not the shortest, and magnitudes that return as others."""

import unittest

from node.errors import FormatError
from node.wire import classes
from node.wire.bits import BitReader, BitWriter, unzigzag, zigzag
from tests.node.common import code_of


def returned(codes):
    out = BitWriter()
    classes.put(out, codes)
    raw = out.finish()
    bits = classes.cost(codes, 1 << 30)
    if (bits + 7) >> 3 != len(raw):
        raise AssertionError(f"{len(raw)} bytes were written, {bits} bits were told")
    return classes.get(BitReader(raw, 0, len(raw)), len(codes))


def lengths(*values):
    out = BitWriter()
    for value in values:
        out.write(value, classes.LENGTH_BITS)
    raw = out.finish() + bytes(16)
    return BitReader(raw, 0, len(raw))


class ClassesTest(unittest.TestCase):
    def test_values_return_from_every_class(self):
        every = [0] + [zigzag(sign * (1 << c) + less) for c in range(32) for sign in (1, -1) for less in (0, sign * (1 << c) // 3)]
        for codes in (every, [0], [0, 0], [5], [5, 5, 6], [2**33 - 2, 2**33 - 3, 0]):
            self.assertEqual(returned(codes), [unzigzag(code) for code in codes])

    def test_rare_classes_get_no_code_beyond_the_table(self):
        """Counts like Fibonacci's numbers make Huffman's code as deep as it has members."""
        codes = []
        one = other = 1
        for c in range(15):
            codes.extend([zigzag((1 << c) >> 1)] * one)
            one, other = other, one + other
        self.assertEqual(returned(codes), [unzigzag(code) for code in codes])

    def test_common_class_gets_the_shortest_code(self):
        self.assertEqual(classes.cost([0] * 97 + [2, 2, 2], 1 << 30), 2 * 3 + 97 + 2 * 3)

    def test_code_that_cannot_win_is_not_made(self):
        self.assertEqual(classes.cost([9] * 50, 100), 100)

    def test_lengths_that_make_no_complete_code_are_refused(self):
        for wrong in ((1,) + (0,) * 33, (1, 2, 1), (3,) * 7 + (2,)):
            self.assertEqual(code_of(self, FormatError, classes.read_lengths, lengths(*wrong)), "batch.column")
        self.assertEqual(classes.read_lengths(lengths(0, 1, 2, 2, 7)), [0, 1, 2, 2])

    def test_table_agrees_with_the_reader(self):
        given = [2, 0, 1, 3, 3]
        table = classes.table(given)
        for seen in range(128):
            source = BitReader(bytes((seen << 1, 0)), 0, 2)
            of, length = table[seen]
            self.assertEqual(length, given[of])
            self.assertEqual(source.read(length), seen >> (7 - length))


if __name__ == "__main__":
    unittest.main()
