"""The signal table: what a simulated device's sensors show, row after row.

Decides the format of the two files that the simulated board reads: `channels.json` (row period, number of rows, channels) and
`<device id>.bin` (the rows: little-endian int32, one column a channel, each a count of the channel's resolution, MISSING where
the sensor gave nothing). All tables in one folder share `channels.json`, so all have the same shape. The board plays the rows
in a circle. Does not decide what the values are: hall.py makes them up from physics, replay.py takes them from a CSV.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.sim.errors import DemoError

Steps = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

MISSING = -(1 << 31)          # int32's smallest value stands for "no reading"; a reading is never that small
MAX_STEPS = (1 << 31) - 1     # largest reading in steps of the resolution, either sign
NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")   # node.config, Channel: 24 characters
MAX_UNIT = 12                 # characters; node.config, Channel
MAX_CHANNELS = 16             # node.config, MAX_CHANNELS
FOLDER, CHANNELS_FILE = "signals", "channels.json"   # on a board's bench


class SignalError(DemoError):
    """A signal table or its file is unusable; the message tells which, what is wrong and what was expected."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One column. A value in `unit` is the integer in the table times `resolution`, a decimal such as "0.01"."""

    name: str
    unit: str
    resolution: str


@dataclass(frozen=True, slots=True)
class SignalTable:
    """Rows of readings, one each `row_ms`. `steps` has one row a time and one column a channel, MISSING where there is none."""

    row_ms: int
    channels: tuple[Channel, ...]
    steps: Steps

    def __post_init__(self) -> None:
        """Refuse a table that the board could not play.

        Raises:
            SignalError: no rows, a shape that does not fit the channels, or a channel that the firmware would refuse.
        """
        if self.row_ms < 1 or self.steps.ndim != 2 or not len(self.steps) or self.steps.shape[1] != len(self.channels):
            raise SignalError(f"signal table: got {self.steps.shape} rows x channels each {self.row_ms} ms, "
                              f"expected at least one row of {len(self.channels)} channels and a period of 1 ms or more")
        if not 1 <= len(self.channels) <= MAX_CHANNELS or len({one.name for one in self.channels}) != len(self.channels):
            raise SignalError(f"signal table: got channels {[one.name for one in self.channels]}, "
                              f"expected 1 to {MAX_CHANNELS} of different names")
        for one in self.channels:
            if not NAME.fullmatch(one.name) or len(one.unit) > MAX_UNIT:
                raise SignalError(f"signal table: got channel {one.name!r} in {one.unit!r}, expected a name [a-z][a-z0-9_]* "
                                  f"of at most 24 characters and a unit of at most {MAX_UNIT}")

    @property
    def seconds(self) -> float:
        """How long one round takes."""
        return len(self.steps) * self.row_ms / 1000

    def values(self) -> Floats:
        """The readings in the channels' units, NaN where there is none; same shape as `steps`."""
        scale = np.array([float(Decimal(one.resolution)) for one in self.channels])
        return np.where(self.steps == MISSING, np.nan, self.steps * scale)


def quantise(values: npt.ArrayLike, resolution: str) -> Steps:
    """Round readings to whole steps of a resolution, half to even; NaN becomes MISSING.

    Raises:
        SignalError: a reading does not fit 32 bits at this resolution.
    """
    raw = np.asarray(values, np.float64)
    per_step = 1 / Decimal(resolution)
    exact = per_step == per_step.to_integral_value()   # 0.1, 0.01 …: multiply, so that 21.4 is 214 steps and not 213.99
    counts = np.rint(raw * float(per_step) if exact else raw / float(Decimal(resolution)))
    present = np.isfinite(counts)
    if present.any() and float(np.abs(counts[present]).max()) > MAX_STEPS:
        raise SignalError(f"signal table: got readings up to {np.nanmax(np.abs(raw)):g} at a resolution of {resolution}, "
                          f"expected at most {MAX_STEPS} steps")
    return np.where(present, counts, MISSING).astype(np.int32)


def write(folder: Path, tables: dict[str, SignalTable]) -> None:
    """Write the tables of some devices (device id -> table) and the channels that they share.

    Raises:
        SignalError: the tables differ in shape, period or channels, or the folder cannot be written.
    """
    shapes = {(table.row_ms, table.channels, table.steps.shape) for table in tables.values()}
    if len(shapes) != 1:
        raise SignalError(f"signal tables: got {len(shapes)} different shapes in one folder, expected one")
    row_ms, channels, shape = next(iter(shapes))
    head = {"row_ms": row_ms, "rows": shape[0], "channels": [asdict(one) for one in channels]}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for device, table in tables.items():
            (folder / f"{device}.bin").write_bytes(np.ascontiguousarray(table.steps, "<i4").tobytes())
        (folder / CHANNELS_FILE).write_text(json.dumps(head) + "\n", encoding="utf-8")   # last: it says that all is there
    except OSError as error:
        raise SignalError(f"signal tables: {folder} cannot be written: {error.strerror}") from None


def read(folder: Path, device: str) -> SignalTable:
    """Read one device's table.

    Raises:
        SignalError: a file is missing, is not what `write` makes, or the two do not fit together.
    """
    row_ms, rows, channels = _head(folder / CHANNELS_FILE)
    path = folder / f"{device}.bin"
    try:
        raw = np.fromfile(path, "<i4")
    except OSError as error:
        raise SignalError(f"signal table: {path} cannot be read: {error.strerror}") from None
    if raw.size != rows * len(channels) or path.stat().st_size != raw.size * 4:
        raise SignalError(f"signal table: {path} has {path.stat().st_size} bytes, "
                          f"expected {rows} rows of {len(channels)} channels of 4 bytes")
    return SignalTable(row_ms, tuple(channels), raw.reshape(rows, len(channels)).astype(np.int32))


def lend(folder: Path, bench: Path, device: str, number: int) -> None:
    """Give a board elsewhere one of the tables in `folder`, which it plays from its own row on.

    Args:
        bench: the world at that board's edge. device: its id. number: of the table, in a circle.

    Raises:
        SignalError: there are none, or they cannot be copied.
    """
    lent = bench / FOLDER
    tables = sorted(folder.glob("*.bin"))
    if not tables:
        raise SignalError(f"signal tables: got none in {folder}, expected one of any device; start the demo anew")
    try:
        lent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tables[number % len(tables)], lent / f"{device}.bin")
        shutil.copyfile(folder / CHANNELS_FILE, lent / CHANNELS_FILE)
    except OSError as error:
        raise SignalError(f"signal tables: {folder} cannot be copied to {lent}: {error.strerror}") from None


def channels(folder: Path) -> tuple[Channel, ...]:
    """The channels of the tables in a folder.

    Raises:
        SignalError: as `read`.
    """
    return tuple(_head(folder / CHANNELS_FILE)[2])


def _head(path: Path) -> tuple[int, int, Sequence[Channel]]:
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        channels = [Channel(str(one["name"]), str(one["unit"]), str(one["resolution"])) for one in head["channels"]]
        return int(head["row_ms"]), int(head["rows"]), channels
    except OSError as error:
        raise SignalError(f"signal table: {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise SignalError(f"signal table: {path} is not a table of channels: {type(error).__name__} {error}") from None
