"""Some days of a device as columns: samples of one track <-> one body with its times and its channels.

Decides what a body says and nothing about where it is kept. A track is a set of channels that are sampled together: their
times stand once, with the quality of the clock that told them, and each channel has its integers and, where some are missing,
which. A directory says where each channel lies, so that one is read without the others. A batch belongs whole to the UTC day in
which it starts, so a body's last samples may lie in the day after. Samples are in the order of their times. Writes and reads no
database; integers become bytes in packing.py.
"""

import zlib
from binascii import crc32
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.ingest.decode import DecodedBatch
from host.store.packing import PackingError, get, pack, put, unpack

ALL_VALID, BITMAP, PACKED = 0, 1, 2   # first byte of a channel: none is missing; a bitmap by zlib, only read; one by packing.py
BODY = b"day\x02"   # a body begins so; the fourth byte of what was written before, the length of times, is zero
MAX_CHANNELS = 1 << 16   # of one body; bounds what a damaged directory can ask for

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of one track.

    Attributes:
        times: [n] Unix ms, ascending.
        quality: [n] of the clock that told the time, node.wire.batch.QUALITY_*.
        values: [channels, n] scaled integers; 0 where not valid.
        valid: [channels, n] False where there was no reading.
    """

    times: Int64
    quality: Int64
    values: Int64
    valid: Bool

    def same(self, other: "Samples") -> bool:
        """Whether every time, quality, value and missing reading is equal."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in ("times", "quality", "values", "valid"))


def of_batch(decoded: DecodedBatch, start_ms: int, uptime_ms: int) -> Samples:
    """A batch's samples at the wall times that its place says; in the batch's own order."""
    n = len(decoded.uptime_ms)
    return Samples(
        decoded.uptime_ms + (start_ms - uptime_ms), np.full(n, decoded.quality, np.int64), decoded.values, decoded.valid,
    )


def join(parts: Sequence[Samples]) -> Samples:
    """Samples of the same channels as one, in the order of time; those of one instant in the order given."""
    times = np.concatenate([one.times for one in parts])
    order = np.argsort(times, kind="stable")
    return Samples(
        times[order], np.concatenate([one.quality for one in parts])[order],
        np.concatenate([one.values for one in parts], axis=1)[:, order],
        np.concatenate([one.valid for one in parts], axis=1)[:, order],
    )


def write_body(samples: Samples, places: Mapping[int, int]) -> bytes:
    """The body of a track, or of some of its channels.

    Args:
        places: series -> its place among the samples' channels.
    """
    times, quality = pack(samples.times), pack(samples.quality)
    out, channels, before = bytearray(BODY), [], 0
    for number in (len(times), len(quality), len(places)):
        put(out, number)
    for series in sorted(places):
        channels.append(_write_channel(samples.values[places[series]], samples.valid[places[series]]))
        put(out, series - before)
        put(out, len(channels[-1]))
        before = series
    out += crc32(out).to_bytes(4, "little")
    return b"".join((out, times, quality, *channels))


def is_body(raw: bytes) -> bool:
    """Whether `write_body` wrote it; what is older has a row for the times and one for each channel."""
    return raw[:4] == BODY


def read_body(raw: bytes, wanted: Collection[int] | None) -> tuple[Int64, Int64, dict[int, tuple[Int64, Bool]]]:
    """(times, quality, series -> (values, valid)) of those series that are wanted; None means all.

    Raises:
        PackingError: damaged.
    """
    view, lengths = memoryview(raw), []
    try:
        n_times, at = get(view, len(BODY))
        n_quality, at = get(view, at)
        count, at = get(view, at)
        if count > MAX_CHANNELS:
            raise PackingError(f"a directory of {count} channels")
        series = 0
        for _ in range(count):
            step, at = get(view, at)
            size, at = get(view, at)
            series += step
            lengths.append((series, size))
    except IndexError:
        raise PackingError("a directory without an end") from None
    if crc32(view[:at]) != int.from_bytes(view[at : at + 4], "little"):
        raise PackingError("CRC of the directory")
    at += 4
    if at + n_times + n_quality + sum(size for _, size in lengths) != len(raw):
        raise PackingError(f"a body of {len(raw)} bytes, its directory says otherwise")
    times, quality = unpack(raw[at : at + n_times]), unpack(raw[at + n_times : at + n_times + n_quality])
    if len(times) != len(quality):
        raise PackingError(f"{len(times)} times, {len(quality)} qualities")
    at += n_times + n_quality
    found = {}
    for series, size in lengths:
        if wanted is None or series in wanted:
            found[series] = read_channel(raw[at : at + size], len(times))
        at += size
    return times, quality, found


def read_times(raw: bytes) -> tuple[Int64, Int64]:
    """(times, quality) of a track whose channels have rows of their own.

    Raises:
        PackingError: damaged.
    """
    size = int.from_bytes(raw[:4], "little")
    times, quality = unpack(raw[4 : 4 + size]), unpack(raw[4 + size :])
    if len(times) != len(quality):
        raise PackingError(f"{len(times)} times, {len(quality)} qualities")
    return times, quality


def _write_channel(values: Int64, valid: Bool) -> bytes:
    if valid.all():
        return bytes((ALL_VALID,)) + pack(values)
    bitmap = pack(valid.astype(np.int64))
    return bytes((PACKED,)) + len(bitmap).to_bytes(4, "little") + bitmap + pack(values[valid])


def read_channel(raw: bytes, n: int) -> tuple[Int64, Bool]:
    """(values, valid) of one channel with n samples.

    Raises:
        PackingError: damaged.
    """
    if raw[:1] == bytes((ALL_VALID,)):
        values, valid = unpack(raw[1:]), np.ones(n, np.bool_)
        if len(values) != n:
            raise PackingError(f"{len(values)} values for {n} times")
        return values, valid
    size = int.from_bytes(raw[1:5], "little")
    valid = _valid(raw[:1], raw[5 : 5 + size], n)
    present = unpack(raw[5 + size :])
    if len(present) != np.count_nonzero(valid):
        raise PackingError(f"{len(present)} values where {np.count_nonzero(valid)} are marked")
    values = np.zeros(n, np.int64)
    values[valid] = present
    return values, valid


def _valid(form: bytes, raw: bytes, n: int) -> Bool:
    """Which of n samples a channel has."""
    if form == bytes((PACKED,)):
        told = unpack(raw)
        if len(told) != n or not np.isin(told, (0, 1)).all():
            raise PackingError(f"{len(told)} marks for {n} times")
        return told.astype(np.bool_)
    inflate = zlib.decompressobj()
    try:
        bits = np.frombuffer(inflate.decompress(raw, (n + 7) // 8 + 1), np.uint8)
    except zlib.error as error:
        raise PackingError(f"bitmap: {error}") from None
    if form != bytes((BITMAP,)) or len(bits) != (n + 7) // 8:
        raise PackingError(f"a bitmap of {len(bits)} bytes for {n} times")
    return np.unpackbits(bits, count=n).astype(np.bool_)
