"""Flash programmed and erased per payload byte: our ring, and littlefs with a flush after each record, in the same run.

Every record is durable by itself in both, which is what a device that may lose its power needs. The server acknowledges each
record, so acks are counted too. The ring wraps: erases are those of a log at work, not of a fresh partition.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from littlefs import LittleFS
from littlefs.context import UserContext
from littlefs.lfs import LFSConfig

from host.sim.flash import SECTOR_BYTES, NorFlash
from node.ring import Ring

COMMITS = (32, 200, 1000)   # bytes a record: one reading, a batch of the notes' workload, a large batch
SECTORS = 32   # 128 KiB
TIMES = 3   # payload written: so many times the partition
PROGRAM_BYTES = 4   # smallest unit that our ring is told
# MicroPython's VfsLfs2 on an ESP32: readsize, progsize, lookahead and block_cycles as it sets them
LITTLEFS_READ_BYTES, LITTLEFS_PROGRAM_BYTES, LITTLEFS_LOOKAHEAD, LITTLEFS_BLOCK_CYCLES = 32, 32, 32, 100


class Figures(TypedDict):
    """What a payload costs."""

    records: int
    programmed_per_byte: float
    erases_per_kib: float


@dataclass
class Counter:
    """Bytes and erases of one run."""

    records: int
    payload: int
    programmed: int
    erases: int

    def figures(self) -> Figures:
        """Per payload byte and KiB."""
        return Figures(records=self.records, programmed_per_byte=self.programmed / self.payload,
                       erases_per_kib=self.erases * 1024 / self.payload)


def measure(size: int, step: Callable[[int], None]) -> tuple[Figures, Figures]:
    """Write records of `size` bytes; return the figures of our ring and of littlefs.

    Args:
        step: told how many records are done since the last call; in all twice records(size).
    """
    return _ring(size, step).figures(), _littlefs(size, step).figures()


def records(size: int) -> int:
    """How many records of this size are written to each."""
    return TIMES * SECTORS * SECTOR_BYTES // size


def _ring(size: int, step: Callable[[int], None]) -> Counter:
    flash = NorFlash(SECTORS)
    ring = Ring(flash, PROGRAM_BYTES)
    ring.mount()
    for seq in range(records(size)):
        ring.append(1, seq, _payload(seq, size), size)
        ring.ack(1, seq)
        step(1)
    kept = [(seq, data) for _, seq, data in ring.records(0)]
    if any(data != _payload(seq, size) for seq, data in kept) or ring.next_seq != records(size):
        raise AssertionError("the ring returned other records than were written")
    return Counter(records(size), records(size) * size, flash.programmed_bytes, flash.erases)


class _CountingContext(UserContext):
    """A memory that counts."""

    programmed = erases = 0

    def prog(self, cfg: LFSConfig, block: int, off: int, data: bytes) -> int:
        self.programmed += len(data)
        done: int = super().prog(cfg, block, off, data)
        return done

    def erase(self, cfg: LFSConfig, block: int) -> int:
        self.erases += 1
        done: int = super().erase(cfg, block)
        return done


def _littlefs(size: int, step: Callable[[int], None]) -> Counter:
    """Segment files of a quarter of the partition, appended and flushed, the oldest removed: a log as people write it."""
    context = _CountingContext(SECTORS * SECTOR_BYTES)
    fs = LittleFS(context=context, block_size=SECTOR_BYTES, block_count=SECTORS, read_size=LITTLEFS_READ_BYTES,
                  prog_size=LITTLEFS_PROGRAM_BYTES, cache_size=4 * LITTLEFS_PROGRAM_BYTES, lookahead_size=LITTLEFS_LOOKAHEAD,
                  block_cycles=LITTLEFS_BLOCK_CYCLES)
    start = context.programmed, context.erases
    a_segment = SECTORS * SECTOR_BYTES // 4 // size
    for segment in range(-(-records(size) // a_segment)):
        if segment >= 3:
            fs.remove(f"/{segment - 3}")
        with fs.open(f"/{segment}", "wb", buffering=0) as file:   # raw: its flush is lfs_file_sync
            for seq in range(segment * a_segment, min(records(size), (segment + 1) * a_segment)):
                file.write(_payload(seq, size))
                file.flush()
                step(1)
    return Counter(records(size), records(size) * size, context.programmed - start[0], context.erases - start[1])


def _payload(seq: int, size: int) -> bytes:
    return seq.to_bytes(4, "little") + bytes((seq * 31 + i) & 0xFF for i in range(size - 4))
