"""A device's day as columns: samples of one track <-> bytes of its times and of each of its channels.

Decides what a day column says and nothing about where it is kept. A track is a set of channels that are sampled together: their
times stand once, with the quality of the clock that told them, and each channel has its integers and, where some are missing,
which. A batch belongs whole to the UTC day in which it starts, so a day's last samples may lie in the next day. Samples are in
the order of their times. Writes and reads no database; integers become bytes in packing.py.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.ingest.decode import DecodedBatch
from host.store.packing import PackingError, pack, unpack

DAY_MS = 86_400_000
ALL_VALID, BITMAP = 0, 1   # first byte of a channel's body

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


def write_times(samples: Samples) -> bytes:
    """The body of a track's times."""
    times = pack(samples.times)
    return len(times).to_bytes(4, "little") + times + pack(samples.quality)


def read_times(raw: bytes) -> tuple[Int64, Int64]:
    """(times, quality) of a track.

    Raises:
        PackingError: damaged.
    """
    size = int.from_bytes(raw[:4], "little")
    times, quality = unpack(raw[4 : 4 + size]), unpack(raw[4 + size :])
    if len(times) != len(quality):
        raise PackingError(f"{len(times)} times, {len(quality)} qualities")
    return times, quality


def write_channel(values: Int64, valid: Bool) -> bytes:
    """The body of one channel."""
    if valid.all():
        return bytes((ALL_VALID,)) + pack(values)
    bitmap = zlib.compress(np.packbits(valid).tobytes(), 9)
    return bytes((BITMAP,)) + len(bitmap).to_bytes(4, "little") + bitmap + pack(values[valid])


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
    try:
        bits = np.frombuffer(zlib.decompress(raw[5 : 5 + size]), np.uint8)
    except zlib.error as error:
        raise PackingError(f"bitmap: {error}") from None
    if raw[:1] != bytes((BITMAP,)) or len(bits) != (n + 7) // 8:
        raise PackingError(f"a bitmap of {len(bits)} bytes for {n} times")
    valid = np.unpackbits(bits, count=n).astype(np.bool_)
    present = unpack(raw[5 + size :])
    if len(present) != np.count_nonzero(valid):
        raise PackingError(f"{len(present)} values where {np.count_nonzero(valid)} are marked")
    values = np.zeros(n, np.int64)
    values[valid] = present
    return values, valid
