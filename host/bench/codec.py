"""Bytes per reading: our batches and what others would send, on recorded data.

Cuts a recording into batches as a device would and adds up their sizes; every batch of ours is decoded again and compared, so a
figure cannot come from an encoder that loses something. Headers are those of a device in its first weeks: boot 3, sequence
numbers from 1,000, an hour of uptime, wall time known. Does not count what carries a batch: MQTT, TLS and TCP are the
budget's business.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

from host.bench.peers import PEERS, Batch
from host.ingest.decode import decode
from host.sim import replay
from host.sim.signals import MISSING, quantise
from node.errors import CallerError
from node.wire import batch

SAMPLES = (1, 12, 60, 360)   # a batch: as they come, a minute at 5 s, the notes' workload, an hour at 10 s
MAX_CHANNELS = batch.MAX_CHANNELS
DEFAULT_PERIOD_MS = 1000   # of a file without times
BOOT, FIRST_SEQ, UPTIME_MS, EPOCH_MS = 3, 1000, 3_600_000, 1_795_306_472_000
_HASH = bytes(4)

Column = list[int | None]


class Figures(TypedDict):
    """One batch size in the report; all but `readings` in bytes per reading."""

    readings: int
    bytes_per_reading: float
    entropy_floor: float
    peers: dict[str, float]


@dataclass
class Count:
    """Bytes of one batch size.

    Attributes:
        readings: values that are not missing.
        ours: bytes of our batches. peers: bytes by peer.
        floor_bits: bits that the order-0 entropy of the steps asks for, pooled by channel over the whole file.
    """

    readings: int = 0
    ours: int = 0
    floor_bits: float = 0.0
    peers: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Count") -> None:
        """Add another file's bytes."""
        self.readings += other.readings
        self.ours += other.ours
        self.floor_bits += other.floor_bits
        self.peers.update(other.peers)

    def figures(self) -> Figures:
        """The line of the report."""
        return Figures(readings=self.readings, bytes_per_reading=self.ours / self.readings,
                       entropy_floor=self.floor_bits / 8 / self.readings,
                       peers={name: size / self.readings for name, size in self.peers.items()})


@dataclass(frozen=True)
class Recording:
    """A file as a device's channels.

    Attributes:
        columns: scaled integers, one list a channel; None where there is no reading.
        channels: (name, unit, resolution) each.
        told: names of channels or columns whose resolution was told.
    """

    path: Path
    channels: tuple[tuple[str, str, str], ...]
    columns: tuple[Column, ...]
    period_ms: int
    notes: tuple[str, ...]
    told: frozenset[str]

    @property
    def rows(self) -> int:
        return len(self.columns[0])


class CodecError(Exception):
    """Our own decoder did not return what our encoder was given: a bug of ours, told by file and batch."""


def load(path: Path, resolutions: dict[str, str]) -> Recording:
    """Read a CSV; a channel's resolution is what its digits show, or its converter's step behind them.

    Raises:
        ReplayError: the codes of replay.record.
    """
    found = replay.record(path, max_channels=MAX_CHANNELS, constant=True, resolutions=resolutions, converter=True)
    columns = []
    for channel, values in zip(found.channels, found.values, strict=True):
        columns.append([None if step == MISSING else step for step in quantise(values, channel.resolution).tolist()])
    interval_s = found.times.interval_s
    period_ms = DEFAULT_PERIOD_MS if interval_s is None else max(1, min(batch.MAX_PERIOD_MS, round(interval_s * 1000)))
    channels = tuple((one.name, one.unit, one.resolution) for one in found.channels)
    return Recording(path, channels, tuple(columns), period_ms, found.notes, found.told)


def measure(recording: Recording, step: Callable[[int], None]) -> dict[int, Count]:
    """Encode all whole batches of each size; rows that fill no batch are left out.

    Args:
        step: told how many rows are done since the last call; in all len(SAMPLES) times the rows.

    Raises:
        CodecError: a batch did not come back.
    """
    floor = entropy_bits(recording.columns)
    found = {}
    for samples in SAMPLES:
        count = Count()
        for start in range(0, recording.rows - samples + 1, samples):
            columns = [column[start : start + samples] for column in recording.columns]
            _add(count, recording, columns, FIRST_SEQ + start // samples, start)
            step(samples)
        step(recording.rows % samples)
        if count.readings:
            count.floor_bits = floor * count.readings
            found[samples] = count
    return found


def entropy_bits(columns: Sequence[Column]) -> float:
    """Order-0 entropy of the steps in bits a reading: each channel's own distribution over the whole file, headers free."""
    bits = readings = 0.0
    for column in columns:
        present = [value for value in column if value is not None]
        steps = Counter(b - a for a, b in pairwise(present))
        total = sum(steps.values())
        if total:
            bits -= len(present) * sum(n / total * math.log2(n / total) for n in steps.values())
        readings += len(present)
    return bits / readings if readings else 0.0


def _add(count: Count, recording: Recording, columns: list[Column], seq: int, row: int) -> None:
    readings = batch.count_readings(columns)
    if not readings:
        return
    count.readings += readings
    for raw, sent in _encoded(columns, seq, UPTIME_MS + row * recording.period_ms, recording.period_ms):
        count.ours += len(raw)
        got = decode(raw)
        back = [[value if ok else None for value, ok in zip(row_values, mask, strict=True)]
                for row_values, mask in zip(got.values.tolist(), got.valid.tolist(), strict=True)]
        if back != sent:
            raise CodecError(f"{recording.path}, row {row}, batches of {len(columns[0])}: decoded otherwise than encoded")
    whole = Batch(recording.channels, columns, EPOCH_MS + row * recording.period_ms, recording.period_ms)
    for name, encode in PEERS.items():
        count.peers[name] += encode(whole)


def _encoded(columns: list[Column], seq: int, uptime_ms: int, period_ms: int) -> Iterator[tuple[bytes, list[Column]]]:
    """Our records for these rows: halved while one would be too large, as the device's batcher does."""
    try:
        raw = batch.encode(BOOT, seq, _HASH, uptime_ms, EPOCH_MS, batch.QUALITY_NTP, period_ms, columns, [])
    except CallerError as error:
        half = len(columns[0]) // 2
        if error.code != "batch.large" or not half:
            raise
        yield from _encoded([column[:half] for column in columns], seq, uptime_ms, period_ms)
        yield from _encoded([column[half:] for column in columns], seq, uptime_ms + half * period_ms, period_ms)
        return
    yield raw, columns
