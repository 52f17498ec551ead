"""Schemas with two spellings of one content, or none a console could show."""

import unittest

from node.errors import CallerError, FormatError
from node.wire import batch, schema
from tests.node.common import code_of, golden

ONE = [("temperature", "\u00b0C", "0.01")]


class SchemaTest(unittest.TestCase):
    def test_golden_schema_is_reproduced_and_returns(self):
        channels = [tuple(row) for row in golden("channels")]
        self.assertEqual(schema.build(channels), golden("schema"))
        self.assertEqual(schema.parse(golden("schema")), channels)
        self.assertEqual(schema.schema_hash(golden("schema")), golden("schema_hash"))

    def test_column_of_a_channels_statistics_has_a_name(self):
        self.assertEqual(schema.parse(schema.build([("temp.min", "", "1")])), [("temp.min", "", "1")])

    def test_unusable_channels_are_refused_when_built(self):
        for channels, code in (
            ([], "schema.channels"),
            ([("c%d" % i, "", "1") for i in range(65)], "schema.channels"),  # noqa: UP031
            ([("a", "", 1)], "schema.channels"),
            ([("", "", "1")], "schema.name"),
            ([("1a", "", "1")], "schema.name"),
            ([("A", "", "1")], "schema.name"),
            ([("a-b", "", "1")], "schema.name"),
            ([(".a", "", "1")], "schema.name"),
            ([("a" * 33, "", "1")], "schema.name"),
            ([("a", "", "1"), ("a", "", "1")], "schema.name"),
            ([("a", 'm"', "1")], "schema.unit"),
            ([("a", "m\\", "1")], "schema.unit"),
            ([("a", "m\n", "1")], "schema.unit"),
            ([("a", "\u00b0" * 9, "1")], "schema.unit"),
            ([("a%030d" % i, "u" * 16, "0.000000001") for i in range(40)], "schema.size"),  # noqa: UP031
        ):
            self.assertEqual(code_of(self, CallerError, schema.build, channels), code)

    def test_resolution_has_one_spelling(self):
        for good in ("1", "10", "0.1", "0.01", "2.5", "0.0000000001"):
            self.assertTrue(schema.is_resolution(good), good)
        for bad in ("", "0", "0.0", "00.1", "01", "1.", ".1", "0.10", "1.0", "1e-2", "-1", "+1",
                    "1,5", "0.00000000001", " 1", "1.2.3"):
            self.assertFalse(schema.is_resolution(bad), bad)

    def test_other_bytes_with_the_same_content_are_refused(self):
        for raw in (b'{"channels": [["a","","1"]]}', b'{"channels":[["a","","1"]],"x":1}', b'{"channels":[["\\u0061","","1"]]}',
                    b'{"channels":[["a","","1"]]} '):
            self.assertEqual(code_of(self, FormatError, schema.parse, raw), "schema.canonical")
        self.assertEqual(schema.parse(b'{"channels":[["a","","1"]]}'), [("a", "", "1")])

    def test_what_is_no_schema_is_refused(self):
        for raw, code in ((b"", "schema.json"), (b"{}", "schema.json"), (b"[]", "schema.json"), (b'{"channels":5}', "schema.json"),
                          (b'{"channels":[[1,2]]}', "schema.json"), (b'{"channels":[[1,2,3]]}', "schema.channels"),
                          (b'{"channels":[]}', "schema.channels"), (b"\xff" * 9, "schema.json"), (b"[" * 1999, "schema.json"),
                          (b" " * 2001, "schema.size"), (b'{"channels":["abc"]}', "schema.unit")):
            with self.subTest(raw=raw[:40]):
                caught = code_of(self, FormatError, schema.parse, raw)
                self.assertIn(caught, (code, "schema.resolution"))


class SchemaRecordTest(unittest.TestCase):
    def test_golden_record_is_reproduced_and_returns(self):
        self.assertEqual(batch.schema_record(3, 40, golden("schema")), golden("schema_record"))
        self.assertEqual(batch.parse_schema_record(golden("schema_record")), (3, 40, golden("schema_hash"), golden("schema")))
        self.assertEqual(batch.record_name(golden("schema_record")), (batch.SCHEMA, 3, 40))

    def test_damage_is_refused(self):
        raw = golden("schema_record")
        for place in range(len(raw)):
            damaged = bytearray(raw)
            damaged[place] ^= 1
            with self.assertRaises(FormatError):
                batch.parse_schema_record(bytes(damaged))
        self.assertEqual(code_of(self, FormatError, batch.parse_schema_record, golden("batch")), "batch.kind")

    def test_record_around_a_broken_schema_is_refused(self):
        raw = batch.schema_record(1, 2, b'{"channels": []}')
        self.assertEqual(code_of(self, FormatError, batch.parse_schema_record, raw), "schema.channels")

    def test_largest_schema_fits_a_record(self):
        channels = [("%s%02d" % ("n" * 8, i), "", "1") for i in range(64)]  # noqa: UP031
        raw = batch.schema_record(2**32 - 1, 2**32 - 1, schema.build(channels))
        self.assertTrue(len(raw) <= batch.MAX_RECORD_BYTES)
        self.assertTrue(schema.MAX_BYTES + 1 + 5 + 5 + 4 <= batch.MAX_RECORD_BYTES)


if __name__ == "__main__":
    unittest.main()
