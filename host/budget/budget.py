"""Whether a configuration fits a board for years: each line with its margin, its verdict, and what to change.

Decides from values only: the board's profile, the configuration, what its app wrote in virtual time, and sizes of what is flashed.
Reads nothing, runs nothing, prints nothing. What nobody measured has the verdict UNMEASURED, which is not OK.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from host.boards.profile import Board
from host.budget import memory
from host.budget.wire import Flow
from node.settings import Config

OK, MISSED, UNMEASURED, TOLD = "ok", "missed", "not measured", "told"
DAYS_A_YEAR = 365.25
# The file system: a file replaced at its place (temp file, rename) costs so many erases of one of the folder's two blocks, and
# a boot replaces three files. littlefs moves a folder's blocks from time to time; not counted. tests/budget measures it.
ERASES_A_FILE = 0.1
FILES_A_BOOT, FILES_A_DAY, FILES_AN_UPDATE = 3, 1, 8
FOLDER_BLOCKS = 2
RESIDENT = ("device.mpy", "board.mpy", "uplink.mpy")   # of a release: what is in memory at work


@dataclass(frozen=True)
class Work:
    """What the configuration's app does in a day.

    Attributes:
        records_a_day, readings_a_day, sectors_a_day: sectors are those of the ring that are filled, and so erased.
        record_bytes, largest_bytes: of a record, mean and most.
    """

    records_a_day: float
    readings_a_day: float
    sectors_a_day: float
    record_bytes: float
    largest_bytes: int


@dataclass(frozen=True)
class Sizes:
    """Bytes of what is flashed.

    Attributes:
        ring_sectors, vfs, slot: partitions; the ring in erase units. vfs_used: with three releases in it. image: the application;
            None: not known. bundle: this firmware's release, as one file. resident: of its parts in RESIDENT.
    """

    ring_sectors: int
    vfs: int
    vfs_used: int
    slot: int
    image: int | None
    bundle: int
    resident: int


@dataclass(frozen=True)
class Line:
    """One figure.

    Attributes:
        value: in `unit`; None when it was not measured. at_least: the board's margin; None: told only.
        detail: what it was computed from. advice: what to change when the margin is missed.
    """

    key: str
    title: str
    unit: str
    value: float | None
    at_least: float | None
    detail: str = ""
    advice: str = ""

    @property
    def verdict(self) -> str:
        if self.at_least is None:
            return TOLD
        if self.value is None:
            return UNMEASURED
        return OK if self.value >= self.at_least else MISSED


@dataclass(frozen=True)
class Budget:
    """All lines of one configuration on one board."""

    lines: Sequence[Line]
    flows: Sequence[Flow]
    assumed: Sequence[str] = field(default_factory=tuple)

    def with_verdict(self, verdict: str) -> list[Line]:
        return [line for line in self.lines if line.verdict == verdict]


def budget(board: Board, config: Config, typical: Work, worst: Work, sizes: Sizes, flows: Sequence[Flow], *, boots: float,
           updates_a_year: float) -> Budget:
    """Judge a configuration.

    Args:
        typical: with the readings at hand; the verdicts are about these. worst: with readings that cannot be compressed; told.
        boots: a day.
    """
    lines = [*_flash(board, config, typical, worst, sizes, boots, updates_a_year), _traffic(flows, typical.readings_a_day),
             *_memory(board, config, typical, sizes), *_room(board, sizes)]
    return Budget(lines, flows, _assumptions(board, sizes, boots, updates_a_year))


def _flash(board: Board, config: Config, typical: Work, worst: Work, sizes: Sizes, boots: float,
           updates_a_year: float) -> list[Line]:
    margins = board.margins
    replaced = boots * FILES_A_BOOT + FILES_A_DAY + updates_a_year / DAYS_A_YEAR * FILES_AN_UPDATE
    return [
        Line("flash_life_years", "flash life, ring", "years", _years(board, sizes.ring_sectors, typical.sectors_a_day),
             margins.flash_years,
             f"{typical.sectors_a_day:.3g} of {sizes.ring_sectors} sectors erased a day, each good for {board.endurance_cycles:,}; "
             f"{_years(board, sizes.ring_sectors, worst.sectors_a_day):,.3g} years with readings that cannot be compressed",
             _fewer_bytes(config, "erased sectors a day")),
        Line("files_life_years", "flash life, file system", "years", _years(board, FOLDER_BLOCKS, replaced * ERASES_A_FILE),
             margins.flash_years, f"{replaced:.3g} small files replaced a day", "find out why the board boots so often"),
        Line("ring_days", "ring depth", "days", _depth(sizes, typical), margins.ring_days,
             f"{typical.records_a_day:,.0f} records of {typical.record_bytes:.0f} B a day; {_depth(sizes, worst):.2g} days with "
             "readings that cannot be compressed", _fewer_bytes(config, "bytes a day")),
    ]


def _years(board: Board, sectors: int, erases_a_day: float) -> float:
    """Erases are spread evenly over the sectors: the ring takes them in turn."""
    return board.endurance_cycles * sectors / erases_a_day / DAYS_A_YEAR


def _depth(sizes: Sizes, work: Work) -> float:
    """A full ring keeps all sectors but the one that is erased next (node.ring, capacity_bytes)."""
    return (sizes.ring_sectors - 1) / work.sectors_a_day


def _fewer_bytes(config: Config, what: str) -> str:
    by_uplink = memory.batch_samples(config.batch_samples, config.uplink_s, config.period_ms) < config.batch_samples
    larger = "uplink_s" if by_uplink else "batch_samples and uplink_s"
    return (f"fewer {what}: larger {larger} (fewer, larger records), larger period_ms, a deadband, a coarser resolution; or a "
            "larger ring")


def _traffic(flows: Sequence[Flow], readings_a_day: float) -> Line:
    total = sum(flow.both for flow in flows)
    return Line("wire_kb_a_day", "on the wire", "KB a day", total / 1000, None, f"{total / max(readings_a_day, 1):.2g} B a reading")


def _memory(board: Board, config: Config, typical: Work, sizes: Sizes) -> list[Line]:
    margins, ram = board.margins, board.ram
    titles = (("ram_pct", "RAM free, at work", margins.ram_pct),
              ("ram_update_pct", "RAM free, in an update", margins.ram_update_pct))
    if ram is None:
        return [Line(key, title, "%", None, at_least, "nobody has measured this board: make test-esp32, check_memory.py")
                for key, title, at_least in titles]
    samples = memory.batch_samples(config.batch_samples, config.uplink_s, config.period_ms)
    channels = len(config.channels)
    share = typical.largest_bytes / (channels * samples)   # bytes a reading, in a batch of the measured size too
    alarms = sum(channel.high is not None or channel.low is not None for channel in config.channels)
    more = (memory.app_bytes(channels, alarms, samples, typical.largest_bytes)
            - memory.app_bytes(ram.channels, 0, ram.samples, ram.channels * ram.samples * share))
    grown = sizes.resident - ram.resident_bytes
    detail = (f"{{free:,}} B of {ram.heap_bytes:,} were free with {ram.channels} channels of {ram.samples} samples; {channels} of "
              f"{samples} take {more:+,.0f} B")
    if grown > 0:
        detail += f"; what stays in memory grew by {grown:,} B since then, which are taken off"
    return [Line(key, title, "%", 100 * (free - more - max(grown, 0)) / ram.heap_bytes, at_least, detail.format(free=free),
                 "smaller batch_samples, fewer channels, or a board with more RAM")
            for (key, title, at_least), free in zip(titles, (ram.free_bytes, ram.free_update_bytes), strict=True)]


def _room(board: Board, sizes: Sizes) -> list[Line]:
    margins = board.margins
    image = None if sizes.image is None else 100 * (sizes.slot - sizes.image) / sizes.slot
    return [
        Line("flash_pct", "flash free, file system", "%", 100 * (sizes.vfs - sizes.vfs_used) / sizes.vfs, margins.flash_pct,
             f"{sizes.vfs_used:,} of {sizes.vfs:,} B with three releases of {sizes.bundle:,} B",
             "a smaller release, or a board with more flash"),
        Line("image_pct", "flash free, application", "%", image, margins.image_pct,
             "give the stock image: --stock FILE" if sizes.image is None else f"{sizes.image:,} of {sizes.slot:,} B",
             "another build of MicroPython, or a board with more flash"),
    ]


def _assumptions(board: Board, sizes: Sizes, boots: float, updates_a_year: float) -> list[str]:
    told = [
        f"endurance: {board.endurance_source}",
        "the server acknowledges each record at once; an outage costs the same bytes later",
        "check-ins as often as checkin_s says; the server may say otherwise",
        f"boots a day: {boots:g}; releases a year: {updates_a_year:g}",
        "one acknowledgement of TCP for each segment, TLS 1.2 with AES-GCM, no lost packets: an upper bound but for those",
    ]
    if board.image_bytes is not None and sizes.image == board.image_bytes:
        told.append(f"application: {board.image_source}")
    if board.ram is not None:
        told.append(f"RAM: {board.ram.source}")
    if board.reasons:
        told.append(f"margins: {board.reasons}")
    return told
