"""The records that a ring holds and an uplink sends: batches of readings, and the schemas that explain them.

A batch names itself by (boot, seq) and its schema by hash; its samples lie on a time grid with exceptions; a CRC-32 ends it.
firmware/SPEC.md specifies every byte. Columns are coded by columns.py. Where records are kept is the ring's business.
"""

import binascii

from node.compat import Any, const
from node.errors import CallerError, FormatError
from node.wire import schema
from node.wire.bits import BitReader, BitWriter, get_varint, put_varint, unzigzag, zigzag
from node.wire.columns import decode_column, encode_column
from node.wire.limits import MAX_U32, MAX_U53

BATCH = const(3)   # low half of a record's first byte: kind and version of the format; 1 was another coding's
SCHEMA = const(2)
_HASH_BYTES = const(4)   # of a schema; as schema.HASH_BYTES
MAX_RECORD_BYTES = const(2048)   # a batch of 360 readings is about 250; larger ones are split by the batcher
MAX_SAMPLES = const(4096)
MAX_CHANNELS = const(64)   # as schema.MAX_CHANNELS
MAX_PERIOD_MS = const(86400000)   # a day
MAX_OFFSET_MS = const(86400000)
QUALITY_NONE = const(0)   # wall time unknown, epoch_ms is 0
QUALITY_FLOOR = const(1)   # not before a remembered time
QUALITY_SERVER = const(2)   # from the server's answers
QUALITY_NTP = const(3)
_KIND_MASK = const(15)
_QUALITY_SHIFT = const(4)   # high half of a batch's first byte
_QUALITY_MASK = const(3)
_HAS_EXCEPTIONS = const(0x40)
_HAS_GAPS = const(0x80)
_EPOCH_BASE_MS = 1577836800000   # 2020-01-01; with 40 bits until 2054-11-03
_EPOCH_BYTES = const(5)
_UNITS_MS = (60000, 1000, 50, 1)   # of a period: the coarsest that divides it takes a byte less


def count_readings(columns: list[list[int | None]]) -> int:
    """Return how many values are not missing."""
    return sum(len(column) - column.count(None) for column in columns)


def encode(boot: int, seq: int, schema_hash: bytes, uptime_ms: int, epoch_ms: int, quality: int, period_ms: int,
           columns: list[list[int | None]], exceptions: list[tuple[int, int]]) -> bytes:
    """Build a batch.

    Args:
        uptime_ms: Of sample 0, since this boot.
        epoch_ms: Unix milliseconds of uptime 0; 0 when unknown. One before 2020 or after 2054 is stored as unknown: a clock
            that is wrong costs no reading.
        columns: One list per channel of the schema, all of one length; None is a missing reading.
        exceptions: (sample index ascending, ms off the grid) of samples not taken at uptime_ms + index * period_ms.

    Raises:
        CallerError: `batch.shape`, `batch.header`, `batch.exceptions`, `batch.range`, or `batch.large`: split it.
    """
    n = len(columns[0]) if columns else 0
    if not 0 < n <= MAX_SAMPLES or len(columns) > MAX_CHANNELS or any(len(column) != n for column in columns):
        raise CallerError("batch.shape", f"{len(columns)} columns of {n} samples")
    if not (0 <= boot <= MAX_U32 and 0 <= seq <= MAX_U32 and len(schema_hash) == _HASH_BYTES
            and 0 <= uptime_ms <= MAX_U53 and 0 <= epoch_ms <= MAX_U53
            and 0 <= quality <= _QUALITY_MASK and 0 < period_ms <= MAX_PERIOD_MS):
        raise CallerError("batch.header", f"boot {boot} seq {seq} period {period_ms} quality {quality}")
    since_ms = epoch_ms - _EPOCH_BASE_MS
    if not 0 < since_ms < 1 << 8 * _EPOCH_BYTES:
        since_ms = quality = 0
    n_readings = count_readings(columns)
    gaps = n_readings < n * len(columns)
    unit = 0
    while period_ms % _UNITS_MS[unit]:
        unit += 1
    out = bytearray((BATCH | quality << _QUALITY_SHIFT | (_HAS_EXCEPTIONS if exceptions else 0) | (_HAS_GAPS if gaps else 0),))
    put_varint(out, boot)
    put_varint(out, seq)
    out.extend(schema_hash)
    put_varint(out, uptime_ms)
    out.extend(since_ms.to_bytes(_EPOCH_BYTES, "little"))
    out.append(len(columns) - 1 << 2 | unit)
    put_varint(out, period_ms // _UNITS_MS[unit])
    put_varint(out, n)
    if gaps:
        put_varint(out, n_readings)
    if exceptions:
        _put_exceptions(out, exceptions, n)
    bits = BitWriter()
    for column in columns:
        encode_column(bits, column, gaps)
    out.extend(bits.finish())
    return _sealed(out)


def peek(raw: bytes) -> tuple[int, int, bytes, int, int, int, int]:
    """Check the CRC and read the header only.

    Returns:
        (boot, seq, schema_hash, n_readings, uptime_ms, epoch_ms, quality).

    Raises:
        FormatError: as decode, for what the header says.
    """
    head = read_header(raw)
    return head[0], head[1], head[2], head[8], head[3], head[4], head[5]


def decode(raw: bytes) -> dict[str, Any]:
    """Decode a batch.

    Returns:
        boot, seq, schema (4 bytes), uptime_ms, epoch_ms, quality, period_ms, times (uptime in ms of each sample), columns.

    Raises:
        FormatError: `batch.size`, `batch.crc`, `batch.kind`, `batch.header`, `batch.exceptions`,
            `batch.column`, `batch.range`, `batch.count` or `bits.*`.
    """
    boot, seq, schema_hash, uptime_ms, epoch_ms, quality, period_ms, shape, n_readings, exceptions, at = read_header(raw)
    n, n_columns = shape
    bits = BitReader(raw, at, len(raw) - 4)
    columns = [decode_column(bits, n, n_readings < n * n_columns) for _ in range(n_columns)]
    bits.finish()
    if count_readings(columns) != n_readings:
        raise FormatError("batch.count", f"header says {n_readings} readings")
    times = [uptime_ms + i * period_ms for i in range(n)]
    for index, offset_ms in exceptions:
        times[index] += offset_ms
    return {"boot": boot, "seq": seq, "schema": schema_hash, "uptime_ms": uptime_ms, "epoch_ms": epoch_ms, "quality": quality,
            "period_ms": period_ms, "times": times, "columns": columns}


def read_header(raw: bytes) -> tuple[int, int, bytes, int, int, int, int, tuple[int, int], int, list[tuple[int, int]], int]:
    """Check the CRC and read all that precedes the columns.

    Returns:
        (boot, seq, schema_hash, uptime_ms, epoch_ms, quality, period_ms, (n samples, n columns), n_readings, exceptions,
        position of the columns).
    """
    end = _checked(raw, BATCH)
    flags = raw[0]
    quality = flags >> _QUALITY_SHIFT & _QUALITY_MASK
    boot, seq, at = _get_name(raw, 1, end)
    schema_hash = bytes(raw[at:at + _HASH_BYTES])
    uptime_ms, at = get_varint(raw, at + _HASH_BYTES, end)
    epoch_ms = int.from_bytes(raw[at:at + _EPOCH_BYTES], "little")
    at += _EPOCH_BYTES
    if at >= end:
        raise FormatError("batch.header", f"ends at byte {end}")
    n_columns = (raw[at] >> 2) + 1
    units, after = get_varint(raw, at + 1, end)
    period_ms = units * _UNITS_MS[raw[at] & 3]
    n, at = get_varint(raw, after, end)
    n_readings = n * n_columns
    if flags & _HAS_GAPS:
        n_readings, at = get_varint(raw, at, end)
    if not (uptime_ms <= MAX_U53 and (epoch_ms or not quality) and 0 < period_ms <= MAX_PERIOD_MS and 0 < n <= MAX_SAMPLES
            and (n_readings < n * n_columns) == bool(flags & _HAS_GAPS)):
        raise FormatError("batch.header", f"{n_columns} columns of {n}, {n_readings} readings, every {period_ms} ms")
    exceptions: list[tuple[int, int]] = []
    if flags & _HAS_EXCEPTIONS:
        exceptions, at = _get_exceptions(raw, at, end, n)
    return (boot, seq, schema_hash, uptime_ms, epoch_ms + _EPOCH_BASE_MS if epoch_ms else 0, quality, period_ms, (n, n_columns),
            n_readings, exceptions, at)


def schema_record(boot: int, seq: int, canonical: bytes) -> bytes:
    """Build the ring record that carries a schema; it takes a sequence number as a batch does and weighs 0 readings."""
    out = bytearray((SCHEMA,))
    put_varint(out, boot)
    put_varint(out, seq)
    out.extend(canonical)
    return _sealed(out)


def parse_schema_record(raw: bytes) -> tuple[int, int, bytes, bytes]:
    """Return (boot, seq, schema hash, canonical bytes) of a schema record; the schema itself is checked too.

    Raises:
        FormatError: `batch.*` for the record, `schema.*` for the schema.
    """
    end = _checked(raw, SCHEMA)
    boot, seq, at = _get_name(raw, 1, end)
    canonical = bytes(raw[at:end])
    schema.parse(canonical)
    return boot, seq, schema.schema_hash(canonical), canonical


def record_name(raw: bytes) -> tuple[int, int, int]:
    """Return (kind, boot, seq) of any record after checking its CRC; kind is BATCH or SCHEMA.

    Raises:
        FormatError: `batch.size`, `batch.crc`, `batch.kind` or `bits.varint`.
    """
    kind = SCHEMA if raw[:1] == bytes((SCHEMA,)) else BATCH
    boot, seq, _ = _get_name(raw, 1, _checked(raw, kind))
    return kind, boot, seq


def _put_exceptions(out: bytearray, exceptions: list[tuple[int, int]], n: int) -> None:
    put_varint(out, len(exceptions))
    previous = -1
    for index, offset_ms in exceptions:
        if not previous < index < n or not 0 < abs(offset_ms) <= MAX_OFFSET_MS:
            raise CallerError("batch.exceptions", f"sample {index} of {n} is {offset_ms} ms off")
        put_varint(out, index - previous - 1)
        put_varint(out, zigzag(offset_ms))
        previous = index


def _get_exceptions(raw: bytes, at: int, end: int, n: int) -> tuple[list[tuple[int, int]], int]:
    count, at = get_varint(raw, at, end)
    if not 0 < count <= n:
        raise FormatError("batch.exceptions", f"{count} of {n} samples")
    exceptions = []
    index = -1
    for _ in range(count):
        skip, at = get_varint(raw, at, end)
        code, at = get_varint(raw, at, end)
        index += skip + 1
        offset_ms = unzigzag(code)
        if index >= n or not 0 < abs(offset_ms) <= MAX_OFFSET_MS:
            raise FormatError("batch.exceptions", f"sample {index} of {n} is {offset_ms} ms off")
        exceptions.append((index, offset_ms))
    return exceptions, at


def _get_name(raw: bytes, at: int, end: int) -> tuple[int, int, int]:
    boot, at = get_varint(raw, at, end)
    seq, at = get_varint(raw, at, end)
    if boot > MAX_U32 or seq > MAX_U32:
        raise FormatError("batch.header", f"boot {boot} seq {seq}")
    return boot, seq, at


def _sealed(out: bytearray) -> bytes:
    if len(out) + 4 > MAX_RECORD_BYTES:
        raise CallerError("batch.large", f"{len(out) + 4} bytes, at most {MAX_RECORD_BYTES}")
    crc = binascii.crc32(out)
    out.extend(crc.to_bytes(4, "little"))
    return bytes(out)


def _checked(raw: bytes, kind: int) -> int:
    """Return where the record's content ends, before its CRC."""
    end = len(raw) - 4
    if not 1 < end <= MAX_RECORD_BYTES - 4:
        raise FormatError("batch.size", f"{len(raw)} bytes")
    if binascii.crc32(memoryview(raw)[:end]) != int.from_bytes(raw[end:], "little"):
        raise FormatError("batch.crc", f"of {len(raw)} bytes")
    if raw[0] & _KIND_MASK != kind or (kind == SCHEMA and raw[0] != kind):
        raise FormatError("batch.kind", f"got {raw[0]}, expected {kind}")
    return end
