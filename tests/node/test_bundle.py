"""Bundles: the same files give the same bytes, and nothing that leaves its slot or its limits is read or built."""

import unittest

from node.errors import CallerError, FormatError
from node.wire import bundle
from tests.node.common import code_of, golden

FILES = {"node/ring.mpy": b"ring" * 20, "main.mpy": b"main", "node/a.mpy": b"M\n\n\x00\xff"}


class BundleTest(unittest.TestCase):
    def test_golden_bundle_is_built_and_read(self):
        files = bundle.parse(golden("bundle"))
        self.assertEqual(sorted(files), ["main.mpy", "node/ring.mpy"])
        self.assertEqual(bundle.build(files), golden("bundle"))

    def test_files_come_back_whatever_their_order_and_content(self):
        raw = bundle.build(FILES)
        self.assertEqual(bundle.parse(raw), FILES)
        self.assertEqual(bundle.build({path: FILES[path] for path in sorted(FILES)}), raw)

    def test_index_whose_own_length_needs_another_digit_settles(self):
        for n in range(1, bundle.MAX_FILES + 1):
            files = {f"m{i:03d}.mpy": b"x" * n for i in range(n)}
            self.assertEqual(bundle.parse(bundle.build(files)), files)

    def test_bundle_cut_anywhere_or_longer_is_refused(self):
        raw = bundle.build(FILES)
        for n in range(len(raw)):
            self.assertRaises(FormatError, bundle.parse, raw[:n])
        self.assertEqual(code_of(self, FormatError, bundle.parse, raw[:-1]), "bundle.short")
        self.assertEqual(code_of(self, FormatError, bundle.parse, raw + b"x"), "bundle.long")

    def test_malformed_index_is_refused_by_name(self):
        for raw, code in (
            (b"", "bundle.magic"), (b"TFB2 000014\n\n\n", "bundle.magic"), (b"TFB1 -00014\n\n\n", "bundle.magic"),
            (b"TFB1 000013\n\n", "bundle.files"), (b"TFB1 000012\n", "bundle.index"),
            (b"TFB1 009000\n" + b"\n" * 9000, "bundle.index"),
            (b"TFB1 000027\na.mpy 27 3\n\n\nxyz", "bundle.index"), (b"TFB1 000024\na.mpy 25 3\n\nxyz", "bundle.index"),
            (b"TFB1 000024\na.mpy 24 0\n\n", "bundle.size"), (b"TFB1 000028\na.mpy 28 99999\n\n", "bundle.size"),
            (b"TFB1 000023\na.mpy 023\n\nx", "bundle.index"), (b"TFB1 000024\na.mpy 2x 3\n\nxyz", "bundle.index"),
            (b"TFB1 000023\na.py 23 3\n\nxyz", "bundle.path"), (b"TFB1 000024\n\xff.mpy 24 3\n\nxyz", "bundle.path"),
            (b"TFB1 000035\nb.mpy 35 1\na.mpy 36 1\n\nxy", "bundle.path"),
            (b"TFB1 000035\na.mpy 35 1\na.mpy 36 1\n\nxy", "bundle.path"),
        ):
            self.assertEqual((raw[:40], code_of(self, FormatError, bundle.parse, raw)), (raw[:40], code))

    def test_paths_that_leave_the_slot_are_refused(self):
        for path in ("", "/main.mpy", "../main.mpy", "a/../b.mpy", "a//b.mpy", "main.py", "main", ".mpy", "a/.mpy", "Main.mpy",
                     "a.b.mpy", "a b.mpy", "a\\b.mpy", "m\u00e4in.mpy", "x" * 61 + ".mpy", "main.mpy\0", "boot.mpy/", 5, None):
            self.assertFalse(bundle.is_path(path), path)
        for path in ("main.mpy", "node/wire/p256.mpy", "board/config.json", "a_1.mpy"):
            self.assertTrue(bundle.is_path(path), path)

    def test_what_no_device_would_mount_is_not_built(self):
        for files, code in (
            ({"../boot.mpy": b"x"}, "bundle.path"), ({}, "bundle.files"), ({"a.mpy": b""}, "bundle.size"),
            ({"a.mpy": b"x" * (bundle.MAX_FILE_BYTES + 1)}, "bundle.size"),
            ({f"m{i:03d}.mpy": b"x" for i in range(129)}, "bundle.files"),
            ({"x" * 56 + f"{i:03d}.mpy": b"x" for i in range(128)}, "bundle.index"),
        ):
            with self.assertRaises(CallerError) as caught:
                bundle.build(files)
            self.assertEqual((caught.exception.code, caught.exception.message.split(":")[0]), ("bundle.invalid", code))


if __name__ == "__main__":
    unittest.main()
