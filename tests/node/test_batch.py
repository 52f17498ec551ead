"""Batches that lose, change or invent readings, grow beyond a record, or cost more bytes than promised."""

import binascii
import unittest

from node.errors import CallerError, FormatError
from node.wire import batch
from node.wire.bits import BitReader, BitWriter
from node.wire.columns import (
    CLASSES,
    CONSTANT,
    DELTA,
    EMPTY,
    LEVEL,
    RAW,
    RUNS,
    SCALED,
    VALUE_MAX,
    VALUE_MIN,
    decode_column,
    encode_column,
)
from tests.node.common import code_of, golden


class Chance:
    """A repeatable generator of small noise: the sum of four uniform numbers is near enough to normal."""

    def __init__(self, seed):
        self._state = seed * 2654435761 % 4294967296

    def below(self, n):
        self._state = (self._state * 1664525 + 1013904223) % 4294967296
        return (self._state >> 8) % n

    def wide(self):
        """Return 32 bits."""
        return self.below(65536) << 16 | self.below(65536)

    def normal(self, sigma):
        """Return an integer with about this standard deviation."""
        total = sum([self.below(20001) - 10000 for _ in range(4)])   # sigma of the sum: 11547
        return total * sigma // 11547


def typical(seed, n=60):
    """Return one device's temperature, humidity, pressure and vibration: drift and white noise, and a machine on or off.

    The noise is set so that the steps have an entropy of 0.45 bytes a reading, which a field-like workload had (0.44).
    """
    chance = Chance(seed)
    walk = [2150000, 450000, 101325000, 1200000]   # in thousandths of a step
    columns = [[], [], [], []]
    running = True
    for _ in range(n):
        if chance.below(300) == 0:
            running = not running
        for i, (drift, noise) in enumerate(((700, 1500), (300, 800), (900, 3000), (0, 0))):
            walk[i] += chance.normal(drift)
            value = walk[i] + chance.normal(noise)
            if i == 3:
                value = 1200000 + chance.normal(4500) if running else 15000 + chance.normal(2000)
            columns[i].append(value // 1000)
    return columns


def encode(columns, exceptions=()):
    return batch.encode(3, 7, b"abcd", 61250, 1795000000000, 3, 10000, columns, list(exceptions))


def resealed(raw, place, value):
    body = bytearray(raw[:-4])
    body[place] = value
    return bytes(body) + binascii.crc32(bytes(body)).to_bytes(4, "little")


def coding_of(values):
    out = BitWriter()
    gaps = None in values
    encode_column(out, values, gaps)
    raw = out.finish()
    if decode_column(BitReader(raw, 0, len(raw)), len(values), gaps) != values:
        raise AssertionError("column did not return")
    return raw[0] >> 5, len(raw)


class ColumnTest(unittest.TestCase):
    def test_each_signal_gets_its_coding_and_returns(self):
        chance = Chance(1)
        drift = [0]
        for _ in range(99):
            drift.append(drift[-1] + chance.normal(30))
        bursts = [0]
        for i in range(99):
            bursts.append(bursts[-1] + (chance.below(2001) - 1000 if i % 6 == 0 else chance.below(3) - 1))
        for want, values in (
            (EMPTY, [None] * 9), (CONSTANT, [5] * 9), (CONSTANT, [None, -7, None]), (DELTA, drift),
            (LEVEL, [1000 + chance.below(9) for _ in range(60)]), (RUNS, [4] * 40 + [9] * 40),
            (RAW, [chance.wide() + VALUE_MIN for _ in range(50)]), (CLASSES, bursts),
            (SCALED, [5 - 25 * value for value in drift]), (SCALED, [3 + 64 * value for value in bursts]),
        ):
            self.assertEqual(coding_of(values)[0], want)

    def test_extreme_values_and_steps_return(self):
        for values in ([VALUE_MIN, VALUE_MAX] * 5, [VALUE_MAX], [VALUE_MIN, None, VALUE_MIN], [0] * 5 + [VALUE_MAX] + [0] * 5,
                       [VALUE_MIN] + [VALUE_MAX] * 30, [VALUE_MIN, VALUE_MAX] + list(range(60)),  # noqa: RUF005
                       [1, 2, 3, 4, 5, 6, 7, 8, 9, VALUE_MIN]):
            coding_of(values)

    def test_one_spike_does_not_cost_thousands_of_bits(self):
        quiet = [i % 3 for i in range(60)]
        spike = list(quiet)
        spike[30] = 2000000000
        self.assertTrue(coding_of(spike)[1] <= coding_of(quiet)[1] + 20)

    def test_no_signal_costs_more_than_raw(self):
        chance = Chance(3)
        for n in (1, 2, 17, 100):
            for top in (2, 1000, 2**31):
                values = [chance.wide() % top - top // 2 for _ in range(n)]
                width = len(bin(top)) - 2
                self.assertTrue(coding_of(values)[1] <= (3 + 39 + 6 + n * width) // 8 + 1)

    def test_values_beyond_32_bits_are_refused(self):
        for value in (VALUE_MAX + 1, VALUE_MIN - 1):
            self.assertEqual(code_of(self, CallerError, encode_column, BitWriter(), [0, value], False), "batch.range")


class BatchTest(unittest.TestCase):
    def test_golden_batch_is_reproduced_and_returns(self):
        raw = golden("batch")
        columns = golden("columns")
        self.assertEqual(
            batch.encode(3, 41, golden("schema_hash"), 61250, 1795000000000, 3, 250, columns, [(4, 12), (9, -7)]), raw)
        decoded = batch.decode(raw)
        times = [61250 + 250 * i for i in range(16)]
        times[4] += 12
        times[9] -= 7
        self.assertEqual(decoded, {"boot": 3, "seq": 41, "schema": golden("schema_hash"), "uptime_ms": 61250, "period_ms": 250,
                                   "epoch_ms": 1795000000000, "quality": 3, "times": times, "columns": columns})
        self.assertEqual(batch.peek(raw), (3, 41, golden("schema_hash"), 47, 61250, 1795000000000, 3))
        self.assertEqual(batch.record_name(raw), (batch.BATCH, 3, 41))
        self.assertEqual(batch.count_readings(columns), 47)

    def test_every_damaged_byte_is_caught_by_the_crc(self):
        raw = golden("batch")
        for place in range(len(raw)):
            damaged = bytearray(raw)
            damaged[place] ^= 0x10
            for read in (batch.decode, batch.peek, batch.record_name):
                self.assertEqual(code_of(self, FormatError, read, bytes(damaged)), "batch.crc")

    def test_every_truncation_is_refused(self):
        raw = golden("batch")
        for end in range(len(raw) - 4):
            with self.assertRaises(FormatError):
                batch.decode(raw[:end])
            with self.assertRaises(FormatError):   # also one whose sender computed the CRC over it
                batch.decode(raw[:end] + binascii.crc32(raw[:end]).to_bytes(4, "little"))

    def test_lies_in_the_header_are_refused(self):
        raw = encode([[1, 2, 3], [4, 5, 6]])
        # flags and kind 0, boot 1, seq 2, hash 3..6, uptime 7..9, epoch 10..14, columns and unit 15, period 16, n 17
        self.assertEqual((raw[0], raw[15], raw[16], raw[17]), (0x33, 1 << 2 | 1, 10, 3))
        for place, value, code in ((0, 0x39, "batch.kind"), (0, batch.SCHEMA, "batch.kind"), (0, 0x31, "batch.kind"),
                                   (0, 0x32, "batch.kind"), (0, 0xB3, "batch.header"), (16, 0, "batch.header"),
                                   (17, 0, "batch.header")):
            self.assertEqual(code_of(self, FormatError, batch.decode, resealed(raw, place, value)), code)
        gaps = encode([[1, None, 3], [4, 5, 6]])
        self.assertEqual((gaps[0], gaps[18]), (0xB3, 5))
        for place, value, code in ((0, 0x33, "bits.trailing"), (18, 6, "batch.header"), (18, 7, "batch.header"),
                                   (18, 4, "batch.count"), (15, 63 << 2 | 1, "bits.short")):
            self.assertEqual(code_of(self, FormatError, batch.decode, resealed(gaps, place, value)), code)
        unknown = batch.encode(3, 7, b"abcd", 61250, 0, 0, 10000, [[1]], [])
        self.assertEqual(code_of(self, FormatError, batch.decode, resealed(unknown, 0, 0x13)), "batch.header")

    def test_clock_that_is_wrong_by_decades_costs_no_reading(self):
        for epoch_ms, kept in ((1577836800000, False), (1577836800001, True), (1577836800000 + 2**40 - 1, True),
                               (1577836800000 + 2**40, False), (1, False), (2**53 - 1, False)):
            decoded = batch.decode(batch.encode(3, 7, b"abcd", 61250, epoch_ms, 2, 10000, [[1, 2]], []))
            self.assertEqual((decoded["epoch_ms"], decoded["quality"]), (epoch_ms, 2) if kept else (0, 0))

    def test_periods_return_in_the_coarsest_unit(self):
        for period_ms, size in ((1, 1), (127, 1), (250, 1), (6400, 2), (1000, 1), (127000, 1), (60000, 1),
                                (86400000, 2), (1001, 2)):
            raw = batch.encode(3, 7, b"abcd", 61250, 1795000000000, 3, period_ms, [[1, 2]], [])
            self.assertEqual(batch.decode(raw)["period_ms"], period_ms)
            self.assertEqual(raw[16 + size], 2)
        day = batch.encode(3, 7, b"abcd", 61250, 1795000000000, 3, 86400000, [[1, 2]], [])
        self.assertEqual(code_of(self, FormatError, batch.decode, resealed(day, 16, day[16] + 1)), "batch.header")

    def test_exceptions_that_point_nowhere_are_refused(self):
        raw = encode([[1, 2, 3]], [(2, 40)])
        self.assertEqual((raw[18], raw[19], raw[20]), (1, 2, 80))
        for place, value in ((18, 0), (18, 4), (19, 3), (20, 0)):
            self.assertEqual(code_of(self, FormatError, batch.decode, resealed(raw, place, value)), "batch.exceptions")
        for exceptions in ([(3, 1)], [(-1, 1)], [(1, 1), (1, 2)], [(2, 1), (1, 1)], [(0, 0)], [(0, batch.MAX_OFFSET_MS + 1)]):
            self.assertEqual(code_of(self, CallerError, encode, [[1, 2, 3]], exceptions), "batch.exceptions")

    def test_unusable_shapes_and_headers_are_refused(self):
        for columns in ([], [[]], [[1], [1, 2]], [[0]] * 65, [[0] * 4097]):
            self.assertEqual(code_of(self, CallerError, encode, columns), "batch.shape")
        good = [1, 1, b"abcd", 0, 0, 0, 1000, [[1]], []]
        for place, value in (
            (0, -1), (0, 2**32), (1, 2**32), (2, b"abc"), (3, -1), (3, 2**53), (4, -1), (5, 4), (6, 0), (6, 86400001),
        ):
            broken = list(good)
            broken[place] = value
            self.assertEqual(code_of(self, CallerError, batch.encode, *broken), "batch.header")

    def test_batch_that_does_not_fit_a_record_is_refused_for_the_caller_to_split(self):
        chance = Chance(5)
        columns = [[chance.wide() >> 1 for _ in range(600)]]
        self.assertEqual(code_of(self, CallerError, encode, columns), "batch.large")
        self.assertTrue(len(encode([columns[0][:500]])) <= batch.MAX_RECORD_BYTES)

    def test_missing_readings_stay_missing(self):
        columns = [[None, 1, None, 2], [None] * 4, [7, None, None, None]]
        decoded = batch.decode(encode(columns))
        self.assertEqual(decoded["columns"], columns)
        self.assertEqual(batch.peek(encode(columns))[3], 3)

    def test_typical_readings_cost_at_most_the_promised_bytes(self):
        total = readings = 0
        for seed in range(20):
            columns = typical(seed)
            raw = encode(columns)
            self.assertEqual(batch.decode(raw)["columns"], columns)
            total += len(raw)
            readings += batch.count_readings(columns)
        self.assertEqual(readings, 20 * 240)
        self.assertTrue(total <= 0.65 * readings, f"{total / readings:.3f} bytes a reading")


if __name__ == "__main__":
    unittest.main()
