"""A device's work in virtual time: its own app, batcher and ring at a configuration's pace, on a flash that counts.

Runs what device.py composes, with the clock jumping from sample to sample, in a ring that has gone round before: boot and
sequence numbers are those of a device in its third year. The server acknowledges each record at once. Knows no network; what
carries a record is the budget's business.
"""

import asyncio
import copy
import itertools
import random
import selectors
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from host.sim import replay
from host.sim.flash import SECTOR_BYTES, NorFlash
from host.sim.replay import ReplayError
from host.sim.signals import MISSING, quantise
from node.agent.scatter import next_due_ms, phase_ms, uniform
from node.app.application import Application
from node.app.assembly import assemble
from node.app.batcher import Journal
from node.ring import Ring
from node.rows import schemas
from node.settings import Config
from node.wire import identity, schema, sector
from node.wire.batch import QUALITY_NTP

MAC = bytes.fromhex("0242ac110001")   # its length counts, not its value
BOOT, FIRST_SEQ, ROUNDS = 3_600_000, 1_000_000, 1000   # boots count minutes since 2020 (provisioning.line.image.boots_at)
EPOCH_MS = 1_795_306_472_000
SECTORS = 8          # of the flash that it runs on: erases a record do not depend on how many there are
TURNS = 6            # sectors opened, then enough has been seen
MAX_READINGS = 400_000   # some ten seconds of a PC
LEAST_STEP_S = 1e-6   # each look at the clock takes this long: asyncio waits for a time to be over, and floats of years are coarse
MAX_COLUMNS = 64      # of a file, of which a configuration may name 16
MOST_STEPS = (1 << 31) - 1

Row = list[int | None]


@dataclass(frozen=True)
class Workday:
    """What was counted between two openings of a sector, or from the first record on if the flash was that slow to fill.

    Attributes:
        days: virtual time that passed. samples: rows taken. readings: values in the records.
        records: bytes of each record. sectors: sectors of the ring that they took; a fraction where none was full.
    """

    days: float
    samples: int
    readings: int
    records: tuple[int, ...]
    sectors: float

    @property
    def records_a_day(self) -> float:
        return len(self.records) / self.days

    @property
    def readings_a_day(self) -> float:
        return self.readings / self.days

    @property
    def sectors_a_day(self) -> float:
        return self.sectors / self.days


def work(config: Config, rows: Iterator[Row]) -> Workday:
    """Let a device work until TURNS sectors were opened or MAX_READINGS taken.

    Args:
        rows: what its sensors show, one row a sample, without end; values in steps of the channels' resolutions.
    """
    day = _Day(config, rows)
    with asyncio.Runner(loop_factory=lambda: _VirtualLoop(day.time)) as runner:
        runner.run(day.run())
    return day.counted()


def noise(config: Config, seed: int = 10) -> Iterator[Row]:
    """Sensors at a quiet machine: white noise of 1.5 steps on a level that wanders by 0.7 a sample and is drawn back.

    The steps have an entropy of about 0.4 bytes, as those of field data (host.bench.workload). Between a channel's alarm limits.
    """
    chance = random.Random(seed)   # noqa: S311  repeatable
    rest = [_between(channel.low, channel.high) for channel in config.channels]
    level = [0.0] * len(rest)
    while True:
        level = [0.99 * one + chance.gauss(0, 0.7) for one in level]
        yield [round(middle + one + chance.gauss(0, 1.5)) for middle, one in zip(rest, level, strict=True)]


def incompressible(config: Config, seed: int = 10) -> Iterator[Row]:
    """Readings of which each is any of 32 bits: the most that a batch can take."""
    chance = random.Random(seed)   # noqa: S311  repeatable
    while True:
        yield [chance.randint(-MOST_STEPS, MOST_STEPS) for _ in config.channels]


def recorded(config: Config, path: Path) -> Iterator[Row]:
    """A CSV's rows, one a sample, over and over; columns by the channels' names, else by their places.

    Raises:
        ReplayError: as replay.record, or csv.channels: it has too few numeric columns.
    """
    steps = {channel.name: channel.resolution for channel in config.channels}
    found = replay.record(path, max_channels=MAX_COLUMNS, constant=True, resolutions=steps)
    places = {channel.name: at for at, channel in enumerate(found.channels)}
    if len(found.channels) < len(steps):
        raise ReplayError("csv.channels", path, "", f"has {len(places)} numeric columns, expected {len(steps)}",
                          "one for each channel of the configuration")
    chosen = [places[name] for name in steps] if steps.keys() <= places.keys() else range(len(steps))
    columns = [quantise(found.values[at], step).tolist() for at, step in zip(chosen, steps.values(), strict=True)]
    rows = [[None if value == MISSING else value for value in row] for row in zip(*columns, strict=True)]
    return itertools.cycle(rows)


def unfiltered(config: Config) -> Config:
    """The same configuration, each channel as it comes: no filter makes readings fewer, no alarm makes batches shorter."""
    plain = copy.copy(config)
    plain.channels = [copy.copy(channel) for channel in config.channels]
    for channel in plain.channels:
        channel.median, channel.ema_pct, channel.deadband = 1, 100, 0
        channel.high = channel.low = None
        if channel.edge:
            channel.lowest = channel.highest = None
            channel.rate = 0
    return plain


def _between(low: int | None, high: int | None) -> int:
    if low is not None and high is not None:
        return (low + high) // 2
    far = 10_000   # steps from an alarm's limit
    if high is not None:
        return high - far
    return far if low is None else low + far


class _VirtualTime(selectors.DefaultSelector):
    """A selector for which waiting takes no time, and moves the clock."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += (timeout or 0) + LEAST_STEP_S
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, time: _VirtualTime) -> None:
        super().__init__(time)
        self._time = time

    def time(self) -> float:
        return self._time.now_s


class _Day:
    """The composition: sensors, clock and what happens after a commit."""

    epoch_ms, quality = EPOCH_MS, QUALITY_NTP   # of the clock
    lead_ms = 0   # of the one source of all channels

    def __init__(self, config: Config, rows: Iterator[Row]) -> None:
        self.time = _VirtualTime()
        self._config, self._rows = config, rows
        self.channels = tuple(range(len(config.channels)))
        self._flash = NorFlash(SECTORS)
        used = sector.SectorHeader(ROUNDS * SECTORS, FIRST_SEQ, BOOT, 0, None, 0, 0)
        self._flash.writeblocks(0, sector.pack_header(used), 0)
        self._ring = Ring(self._flash)
        self._ring.mount()
        self._samples = 0
        self._sizes: list[int] = []
        self._openings: list[tuple[float, int, int, int]] = []   # (s, records, samples, tally) at the first record of a sector
        self._erases = 0
        self._enough = asyncio.Event()

    # The Clock and Source ports

    def ticks_ms(self) -> int:
        return round(self.time.now_s * 1000)

    def unix_ms(self) -> int:
        return self.epoch_ms + self.ticks_ms()

    def start(self) -> None:
        """The rows are there."""

    def read(self) -> Row:
        self._samples += 1
        return next(self._rows)

    def recover(self) -> None:
        """No bus, nothing stuck."""

    async def run(self) -> None:
        config, chance = self._config, random.Random(1)   # noqa: S311  repeatable
        device = identity.device_id(config.product, MAC)
        uplink_ms = config.uplink_s * 1000
        phase = phase_ms(device, uplink_ms)

        def next_flush_ms(now_ms: int) -> int:
            return next_due_ms(now_ms, uplink_ms, phase, uniform(chance.randbytes(4), uplink_ms // 8))

        journal = Journal(self._ring, BOOT, [(schema.schema_hash(raw), raw) for raw in schemas(config)], self, self._committed)
        groups, sampler = assemble(config, [self], journal, 0, lambda period_ms: 0)
        app = Application(groups, sampler, self, batch_samples=config.batch_samples, next_flush_ms=next_flush_ms,
                          on_late=lambda late_ms: None)
        working = asyncio.create_task(app.run())
        enough = asyncio.create_task(self._enough.wait())
        await asyncio.wait((working, enough), return_when=asyncio.FIRST_COMPLETED)
        for task in (working, enough):
            task.cancel()
        ended, _ = await asyncio.gather(working, enough, return_exceptions=True)
        if not isinstance(ended, asyncio.CancelledError):
            raise ended if isinstance(ended, BaseException) else RuntimeError("the app ended")

    def _committed(self) -> None:
        seq = self._ring.next_seq - 1
        self._sizes += [len(data) for _, _, data in self._ring.records(seq)]
        if self._flash.erases > self._erases or len(self._sizes) == 1:
            self._erases = self._flash.erases
            self._openings.append((self.time.now_s, len(self._sizes), self._samples, self._ring.tally))
        self._ring.ack(BOOT, seq)
        if self._erases >= TURNS or self._samples * len(self._config.channels) >= MAX_READINGS:
            self._enough.set()

    def counted(self) -> Workday:
        """From one opening of a sector to the last one; in part of a sector by its bytes."""
        if len(self._openings) > 2:
            first, last, sectors = self._openings[1], self._openings[-1], float(len(self._openings) - 2)
        else:
            first, last = self._openings[0], (self.time.now_s, len(self._sizes), self._samples, self._ring.tally)
            sectors = self._flash.programmed_bytes / SECTOR_BYTES
        return Workday((last[0] - first[0]) / 86_400, last[2] - first[2], last[3] - first[3],
                       tuple(self._sizes[first[1]:last[1]]), sectors)
