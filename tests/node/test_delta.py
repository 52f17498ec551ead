"""What a delta may do: nothing outside of the old artifact, nothing beyond the new one, and nothing else than what it says."""

import io
import unittest

from node.errors import FormatError
from node.wire import delta as fmt
from tests.node.common import golden
from tests.sim.deltas import Tools, between, delta, record, stored

BASE = bytes(range(256)) * 8


def applied(raw, base=BASE, size=None):
    """What a delta makes, and whether its stream ends where its file does."""
    def read(at, out):
        if at + len(out) > len(base):
            raise OSError(5)   # EIO: nothing may ask for it
        out[:] = base[at:at + len(out)]

    file = io.BytesIO(raw)
    file.seek(fmt.HEAD_BYTES)
    base_bytes, target_bytes = fmt.head(raw)
    patch = fmt.Patch(Tools().inflate(file, fmt.WINDOW_BITS), read, base_bytes, size or target_bytes)
    made = b""
    while True:
        piece = bytes(patch.piece())
        if not piece:
            return made
        made += piece


class TestDelta(unittest.TestCase):
    def fault(self, *records, size=100):
        """Why these records are refused."""
        with self.assertRaises(FormatError) as caught:
            applied(delta(BASE, size, *records))
        return caught.exception.code

    def test_golden_delta_turns_its_base_into_its_target(self):
        example = golden("delta")
        base, target, raw = [bytes.fromhex(example[name]) for name in ("base", "target", "delta")]
        self.assertEqual(applied(raw, base), target)

    def test_copied_added_inserted_and_sought_bytes_come_in_their_order(self):
        raw = delta(BASE, 17, record(16, [(2, b"\x01\xff"), (1, 0)], 2, b"new"), record(-20, [(0, b"\x05")], 4))
        self.assertEqual(applied(raw), bytes([16, 17, 19, 18, 20, 22, 21, 23, 24]) + b"new" + bytes([10, 6, 7, 8, 9]))

    def test_pieces_end_anywhere(self):
        target = bytearray(BASE * 2)
        for at in range(0, len(target), 7):
            target[at] ^= 0x5A
        for n in (1, 511, 512, 513, 1024, len(BASE), len(BASE) + 1, len(target)):
            self.assertEqual(applied(between(BASE, bytes(target[:n]))), bytes(target[:n]))

    def test_recent_difference_moves_to_the_front_and_the_oldest_is_forgotten(self):
        runs = [(0, bytes([i + 1])) for i in range(fmt.RECENT)]
        made = applied(delta(BASE, 18, record(0, runs + [(0, 15), (0, 0)])))   # noqa: RUF005   (MicroPython cannot)
        self.assertEqual(made, bytes([2 * i + 1 for i in range(16)]) + bytes([16 + 1, 17 + 1]))
        made = applied(delta(BASE, 18, record(0, runs + [(0, b"\x77"), (0, 15)])))   # noqa: RUF005
        self.assertEqual(made[16:], bytes([16 + 0x77, 17 + 2]))   # the first has gone: the oldest is the second

    def test_long_difference_is_not_kept(self):
        self.assertEqual(self.fault(record(0, [(0, b"12345"), (0, 0)])), "delta.number")

    def test_control_that_seeks_outside_of_the_old_artifact_is_refused(self):
        for move in (-1, len(BASE) + 1, 1 << 20):
            self.assertEqual(self.fault(record(move, [], 1)), "delta.base")
        self.assertEqual(self.fault(record(10, [], 1), record(-12, [], 1)), "delta.base")

    def test_copy_that_runs_out_of_the_old_artifact_is_refused(self):
        end = len(BASE) - 10
        for runs, tail in (([], 11), ([(10, b"x")], 0), ([(9, b"xy")], 0), ([(0, b"x")], 10)):
            self.assertEqual(self.fault(record(end, runs, tail)), "delta.base")

    def test_more_than_the_signed_size_is_refused_before_it_is_made(self):
        for wrong in (record(0, [], 101), record(0, [], 0, b"x" * 101), record(0, [(100, b"x")]), record(0, [], 60, b"x" * 41),
                      record(0, [(99, b"xy")])):
            self.assertEqual(self.fault(wrong), "delta.size")
        self.assertEqual(self.fault(b"\0\0\xff\xff\xff\x7f\0"), "delta.size")

    def test_delta_that_inflates_endlessly_is_refused_at_its_first_empty_record(self):
        self.assertEqual(self.fault(bytes(100000)), "delta.size")
        self.assertEqual(self.fault(record(1), record(-1), record(0, [], 100)), "delta.size")

    def test_difference_without_an_end_is_refused(self):
        self.assertEqual(self.fault(record(0, [(0, b"x" * (fmt.MAX_ADD_BYTES + 1))])), "delta.number")

    def test_difference_that_was_never_told_is_refused(self):
        self.assertEqual(self.fault(record(0, [(0, 0)])), "delta.number")

    def test_number_of_more_than_28_bits_is_refused(self):
        self.assertEqual(self.fault(b"\xff\xff\xff\xff\x7f"), "delta.number")

    def test_truncated_delta_is_refused_wherever_it_ends(self):
        raw = between(BASE, bytes(100) + BASE[100:300] + b"new" * 50)
        for end in range(fmt.HEAD_BYTES, len(raw)):
            with self.assertRaises(FormatError):
                applied(raw[:end])
        self.assertEqual(self.fault(record(0, [], 50)), "delta.short")

    def test_instructions_behind_the_end_are_refused(self):
        self.assertEqual(self.fault(record(0, [], 100), b"\0"), "delta.trailing")
        self.assertEqual(self.fault(record(0, [], 100), bytes(1000)), "delta.trailing")

    def test_damaged_deflate_stream_is_refused(self):
        raw = bytearray(delta(BASE, 100, record(0, [], 100)))
        raw[fmt.HEAD_BYTES] = 0x07   # a block of the reserved kind
        with self.assertRaises(FormatError) as caught:
            applied(bytes(raw))
        self.assertEqual(caught.exception.code, "delta.inflate")

    def test_what_is_no_delta_is_refused(self):
        for raw in (b"", b"TFD1", b"TFD2" + bytes(8), b"BSDIFF40" + bytes(8)):
            with self.assertRaises(FormatError) as caught:
                fmt.head(raw)
            self.assertEqual(caught.exception.code, "delta.magic")

    def test_stored_blocks_of_any_size_are_read(self):
        size = 70000
        new = bytes(range(250)) * (size // 250)
        self.assertEqual(applied(delta(b"x", size, record(0, [], 0, new)), b"x"), new)
        self.assertEqual(stored(b""), b"\x01\0\0\xff\xff")


if __name__ == "__main__":
    unittest.main()
