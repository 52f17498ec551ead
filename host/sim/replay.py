"""Turns a CSV of readings into the signal table that simulated devices play: `make demo DATA=file.csv`.

Decides which columns become channels, under which name, unit and resolution, and says in notes what it left out and why. One
row of the file is one row of the table, whatever time lies between them in the file; gaps are not filled. A sidecar
`FILE.channels.json` says better what headers and digits only hint at:

    {"delimiter": ";", "channels": {"Temp": {"name": "oil", "unit": "degC", "resolution": "0.01"}}}
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from host.sim import csv_columns, timestamps
from host.sim.csv_columns import DELIMITERS, Column, CsvTable, ReplayError
from host.sim.signals import MAX_CHANNELS, MAX_STEPS, MAX_UNIT, NAME, Channel, Floats, SignalTable, quantise
from node.wire.schema import is_resolution

__all__ = ["Recording", "Replay", "ReplayError", "load", "record"]

ROW_MS = 250            # the demo's sampling period: each sample meets a new row
TRUSTED_DECIMALS = 3    # so many digits are an instrument's resolution; more may be a float's tail
SPAN_STEPS = 1 << 16    # a column with more digits is cut so that its span has at most so many steps: a 16-bit converter
MIN_NUMBERS = 0.5       # share of a column's filled cells that must be numbers
GAP_FACTOR = 1.5        # a step of more than this times the median is a gap in the file
NOTHING_TOLD: Mapping[str, str] = {}
MAX_STEP_DECIMALS = 6   # of values that may be a converter's
MAX_STEP_POWER = 10     # 2^-10 is 0.0009765625, the longest resolution that a schema takes
MIN_LEVELS = 8          # different values in a column that shows a converter's step
_HEADER_UNIT = re.compile(r"(.*?)\s*[\[(]\s*([^\[\]()]*?)\s*[\])]\s*")
_PLAIN = str.maketrans({"°": "deg", "º": "deg", "µ": "u", "μ": "u", "Ω": "ohm", "²": "2", "³": "3", '"': "", "\\": ""})


@dataclass(frozen=True)
class Replay:
    """A file ready to be played.

    Attributes:
        notes: what was decided and left out, for people, one sentence each.
        rows: rows of the file that are played.
        interval_s: median time between two rows in the file; None when it has no times.
    """

    table: SignalTable
    notes: tuple[str, ...]
    rows: int
    interval_s: float | None


@dataclass(frozen=True)
class _Wish:
    """What the sidecar says about one column; None where it says nothing."""

    name: str | None = None
    unit: str | None = None
    resolution: str | None = None


@dataclass(frozen=True)
class Recording:
    """The numeric columns of a file as channels, not yet cut into steps.

    Attributes:
        values: one array a channel, in its unit; NaN where there is no reading.
        times: what the file's leading columns say.
        notes: what was decided and left out.
        told: names of `resolutions` that this file has.
    """

    channels: tuple[Channel, ...]
    values: tuple[Floats, ...]
    times: timestamps.Times
    notes: tuple[str, ...]
    rows: int
    told: frozenset[str]


def load(path: Path, *, row_ms: int = ROW_MS, max_channels: int = MAX_CHANNELS) -> Replay:
    """Read a CSV to be played.

    Args:
        row_ms: how long a row is shown.
        max_channels: the first so many numeric columns are played, the others noted; columns that the sidecar names come first.

    Raises:
        ReplayError: the codes of `record`, or csv.constant: no column ever changes.
    """
    recording = record(path, max_channels=max_channels)
    notes: list[str] = []
    interval_s = _describe_times(recording.times, row_ms, notes)
    steps = [quantise(values, one.resolution) for one, values in zip(recording.channels, recording.values, strict=True)]
    table = SignalTable(row_ms, recording.channels, np.column_stack(steps))
    return Replay(table, (*recording.notes, *notes), recording.rows, interval_s)


def record(path: Path, *, max_channels: int, constant: bool = False, resolutions: Mapping[str, str] = NOTHING_TOLD,
           converter: bool = False) -> Recording:
    """Read a CSV's channels.

    Args:
        constant: keep columns that never change.
        resolutions: by header or channel name, of whatever file; they go before the sidecar's and what the digits show.
        converter: where all values of a column are steps of a binary or other coarser converter, rounded to the digits that
            are written, take that step as the resolution: 0.00390625 for 57.09, 57.035, 56.934.

    Raises:
        ReplayError: the codes of `csv_columns.read`, or csv.numbers (no numeric column), csv.constant (none that changes),
            sidecar.json, sidecar.column, sidecar.value.
    """
    delimiter, wishes = _sidecar(path)
    read = csv_columns.read(path, delimiter)
    notes = list(read.notes)
    times = _times(read)
    if times.columns:
        names = " and ".join(repr(column.header) for column in read.columns[: times.columns])
        notes.append(f"{names}: {times.kind}")
    candidates = read.columns[times.columns:]
    known = {column.header for column in candidates}
    for header in wishes:
        if header not in known:
            raise ReplayError("sidecar.column", _sidecar_path(path), f"channels.{header}", "names no column of readings",
                              "the columns are " + ", ".join(repr(one) for one in sorted(known)))
    chosen = _choose(path, sorted(candidates, key=lambda column: column.header not in wishes), max_channels, constant, notes)
    chosen.sort(key=read.columns.index)
    channels: list[Channel] = []
    values = []
    used: set[str] = set()
    for column in chosen:
        wish = wishes.get(column.header, _Wish())
        name = _channel_name(path, column, wish, [one.name for one in channels])
        told = [one for one in (column.header, name) if one in resolutions]
        used.update(told)
        resolution = resolutions[told[0]] if told else wish.resolution
        channel, numbers = _channel(path, column, replace(wish, name=name, resolution=resolution), converter, notes)
        channels.append(channel)
        values.append(numbers)
    return Recording(tuple(channels), tuple(values), times, tuple(notes), read.rows, frozenset(used))


def _times(read: CsvTable) -> timestamps.Times:
    first = read.columns[: csv_columns.TIME_COLUMNS]
    return timestamps.find([column.header for column in read.columns], [column.texts for column in first],
                           [np.array(column.values) for column in first])


def _describe_times(times: timestamps.Times, row_ms: int, notes: list[str]) -> float | None:
    """Note how fast the rows are played; return the median interval in seconds."""
    known = None if times.seconds is None else times.seconds[np.isfinite(times.seconds)]
    if known is None or len(known) < 2:
        notes.append(f"no times in the file: one row each {row_ms} ms")
        return None
    gaps = np.diff(known)
    interval_s = times.interval_s
    if interval_s is None:
        notes.append(f"the times do not rise: one row each {row_ms} ms")
        return None
    speed = interval_s * 1000 / row_ms
    notes.append(f"rows are {interval_s:g} s apart, played one each {row_ms} ms: {speed:.4g} times real speed")
    if wide := int((gaps > GAP_FACTOR * interval_s).sum()):
        notes.append(f"gaps in time, closed up: {wide}")
    if back := int((gaps < 0).sum()):
        notes.append(f"steps back in time, played in the file's order: {back}")
    return interval_s


def _choose(path: Path, candidates: Sequence[Column], max_channels: int, keep: bool, notes: list[str]) -> list[Column]:
    """The columns to play: numeric, changing unless all are kept, the first so many; notes tell which are left out."""
    wordy = [one for one in candidates if not one.numbers or one.numbers < MIN_NUMBERS * (one.numbers + one.words)]
    numeric = [one for one in candidates if one not in wordy]
    if not numeric:
        raise ReplayError("csv.numbers", path, "", "has no numeric column besides times",
                          "a column needs numbers such as 21.5 in at least half of its filled cells")
    constant = [] if keep else [one for one in numeric if _is_constant(one)]
    playable = [one for one in numeric if one not in constant]
    if not playable:
        raise ReplayError("csv.constant", path, "", "has no column that ever changes", "check the delimiter and the columns")
    over = playable[max_channels:]
    for left_out, why in ((wordy, "not numeric"), (constant, "constant"), (over, f"more than {max_channels} channels")):
        if left_out:
            notes.append(f"left out, {why}: " + ", ".join(repr(one.header) for one in left_out))
    return playable[:max_channels]


def _is_constant(column: Column) -> bool:
    values = np.array(column.values)
    known = values[np.isfinite(values)]
    return bool((known == known[0]).all())


def _channel_name(path: Path, column: Column, wish: _Wish, taken: Sequence[str]) -> str:
    name = wish.name or _unique(_sanitise(_split_header(column.header)[0]), taken)
    if name in taken:
        raise ReplayError("sidecar.value", _sidecar_path(path), f"channels.{column.header}.name", f"{name!r} is taken already",
                          "give each channel its own name")
    return name


def _channel(path: Path, column: Column, wish: _Wish, converter: bool, notes: list[str]) -> tuple[Channel, Floats]:
    values = np.array(column.values)
    unit = _split_header(column.header)[1] if wish.unit is None else wish.unit
    resolution = wish.resolution or (converter and _converter_step(column, values)) or _resolution(column, values, notes)
    limit = MAX_STEPS * float(Decimal(resolution))
    too_large = np.abs(values) > limit
    if too_large.any():
        if wish.resolution:
            raise ReplayError("sidecar.value", _sidecar_path(path), f"channels.{column.header}.resolution",
                              f"{resolution} leaves no room for {np.nanmax(np.abs(values)):g} in 32 bits", "make it coarser")
        notes.append(f"{column.header!r}: {int(too_large.sum())} values over {limit:g} are left out")
        values[too_large] = np.nan
    if column.words:
        notes.append(f"{column.header!r}: {column.words} cells are no numbers: no reading there")
    return Channel(wish.name or "", unit, resolution), values


def _resolution(column: Column, values: Floats, notes: list[str]) -> str:
    """The step that the column's digits show: a power of ten, coarse enough for 32 bits and for sensible differences."""
    known = values[np.isfinite(values)]
    span, largest = float(known.max() - known.min()), float(np.abs(known).max())
    digits = column.decimals
    if digits > TRUSTED_DECIMALS and span > 0:
        digits = max(TRUSTED_DECIMALS, min(digits, math.floor(math.log10(SPAN_STEPS / span))))
    if largest > 0:
        digits = min(digits, math.floor(math.log10(MAX_STEPS / largest)))
    digits = max(-9, min(9, digits))   # node.wire.schema: at most 12 characters
    resolution = str(10 ** -digits) if digits <= 0 else "0." + "0" * (digits - 1) + "1"
    if digits < column.decimals:
        notes.append(f"{column.header!r}: up to {column.decimals} decimals, played at a resolution of {resolution}")
    return resolution


def _converter_step(column: Column, values: Floats) -> str:
    """The coarsest step, a multiple of the last digit or a power of two, of which all values are multiples; '' when none is.

    Lossless: each multiple, rounded to the digits that are written, is the value in the file.
    """
    if column.decimals > MAX_STEP_DECIMALS:   # more digits than a converter's: the tail of a float
        return ""
    known = values[np.isfinite(values)]
    if len(np.unique(known)) < MIN_LEVELS:   # a switch has no converter
        return ""
    digits = np.rint(known * 10.0 ** column.decimals).astype(np.int64)
    common = int(np.gcd.reduce(digits))
    if common > 1:
        return format((common * Decimal(10) ** -column.decimals).normalize(), "f")
    for power in range(MAX_STEP_POWER + 1):
        step = 2.0 ** -power
        if 10.0 ** column.decimals * step <= 1:   # finer than the digits
            break
        if np.all(np.abs(np.rint(known / step) * step - known) <= 0.5 * 10.0 ** -column.decimals * (1 + 1e-6)):
            return format(Decimal(step), "f")
    return ""


def _split_header(header: str) -> tuple[str, str]:
    """`Temp [degC]` and `temp (degC)` to title and unit."""
    match = _HEADER_UNIT.fullmatch(header)
    if match is None or not match[1]:
        return header, ""
    unit = match[2].translate(_PLAIN).encode("ascii", "ignore").decode()
    return match[1], "".join(char for char in unit if char >= " ")[:MAX_UNIT]


def _sanitise(title: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", title.lower().translate(_PLAIN)).strip("_")
    if not name or not "a" <= name[0] <= "z":
        name = "c_" + name if name else "channel"
    return name[:24].rstrip("_")


def _unique(name: str, taken: Sequence[str]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name[: 23 - len(str(number))]}_{number}"
    return unique


def _sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + ".channels.json")


def _sidecar(path: Path) -> tuple[str | None, dict[str, _Wish]]:
    beside = _sidecar_path(path)
    if not beside.is_file():
        return None, {}
    try:
        raw = json.loads(beside.read_text(encoding="utf-8"))
        delimiter, columns = raw.get("delimiter"), raw.get("channels", {})
        listed = [(header, dict(said)) for header, said in columns.items()]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ReplayError("sidecar.json", beside, "", f"is not what it should be ({error})",
                          'write {"channels": {"COLUMN": {"unit": "degC", "resolution": "0.01"}}}') from None
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter not in DELIMITERS):
        raise ReplayError("sidecar.value", beside, "delimiter", f"got {delimiter!r}", "use a comma, a semicolon or a tab (\\t)")
    return delimiter, {header: _wish(beside, header, said) for header, said in listed}


def _wish(beside: Path, header: str, said: dict[str, object]) -> _Wish:
    def text(key: str) -> str | None:
        value = said.get(key)
        if value is None:
            return None
        value = repr(value) if isinstance(value, float) else str(value)   # 0.01 without quotes is meant as "0.01"
        good = {
            "name": lambda: NAME.fullmatch(value) is not None,
            "unit": lambda: len(value) <= MAX_UNIT and all(" " <= char <= "~" and char not in '"\\' for char in value),
            "resolution": lambda: is_resolution(value),
        }
        if not good[key]():
            raise ReplayError("sidecar.value", beside, f"channels.{header}.{key}", f"got {value!r}", _EXPECTED[key])
        return value

    if unknown := set(said) - set(_EXPECTED):
        raise ReplayError("sidecar.value", beside, f"channels.{header}", f"got {sorted(unknown)}",
                          "known are name, unit and resolution")
    return _Wish(text("name"), text("unit"), text("resolution"))


_EXPECTED = {
    "name": "use [a-z][a-z0-9_]*, at most 24 characters",
    "unit": f"use at most {MAX_UNIT} plain characters",
    "resolution": 'use a positive decimal such as "0.01", without zeros at the end',
}
