"""Labelled recordings: read, with their faults, the split in time and what the detectors are told.

Decides where a recording is split and what counts as a fault, from its labels and what is known of it without its values: nothing
here was chosen by looking at what the detectors find. Knows two kinds of folders: NAB's (a CSV with `timestamp,value` and
windows.json) and the UCI hydraulic rig's (a CSV with `cycle`, `second`, channels and the rig's condition labels).
"""

import csv
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.clock import HOUR_MS, MINUTE_MS
from host.monitor.anomaly.tuning import Tuning
from node.errors import CallerError

SHARED = Path(__file__).parents[2].parent / "shared/data"
NAB_SHARE, NAB_MOST = 0.15, 750     # NAB's probationary part: share of the rows, and rows at most
RIG_CHANNELS = {"TS1": "Cel", "TS2": "Cel", "TS3": "Cel", "TS4": "Cel", "VS1": "mm/s", "CE": "%", "CP": "kW", "SE": "%"}
RIG_LABELS = {"cooler_pct": "cooler", "pump_leak": "pump", "accumulator_bar": "accumulator", "valve_pct": "valve"}
RIG_TRAIN_CYCLES = 50               # every grade of the valve once, at one grade of all else
RIG_FAULT_CYCLES = 5                # after a change of condition in which it should be seen
RIG_STEP = 0.001                    # of the file's digits


@dataclass(frozen=True, slots=True)
class Recorded:
    """One channel, in the order of time."""

    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    unit: str = ""
    resolution: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """When an alarm is right, and for what."""

    from_ms: int
    to_ms: int
    what: str


@dataclass(frozen=True, slots=True)
class Case:
    """A recording with its labels.

    Attributes:
        split: in words, for the report. faults: of the part after `split_ms` only.
        window_ms: of the forest. nab: whether NAB's score fits.
        limiter_off: findings that the budget holds back count as well: of a recording in which many faults lie close together.
    """

    name: str
    channels: dict[str, Recorded]
    faults: list[Fault]
    split_ms: int
    split: str
    tuning: Tuning
    window_ms: int
    nab: bool = False
    limiter_off: bool = False
    start_ms: int = field(init=False)
    end_ms: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "start_ms", min(int(one.times[0]) for one in self.channels.values()))
        object.__setattr__(self, "end_ms", max(int(one.times[-1]) for one in self.channels.values()))


def load(name: str, budget_per_week: float = 1.0) -> list[Case]:
    """Read a recording by its folder's path, or its name under ../shared/data.

    Args:
        budget_per_week: false alarms that the limits are to allow.

    Raises:
        CallerError: no such folder, or no labels that are known.
    """
    folder = Path(name) if Path(name).is_dir() else SHARED / name
    if not folder.is_dir():
        raise CallerError("bench.recording", f"{name}: no such folder, nor under {SHARED}; name a folder with a labelled recording")
    files = sorted(folder.glob("*.csv"))
    try:
        if (folder / "windows.json").is_file():
            windows = json.loads((folder / "windows.json").read_text(encoding="utf-8"))
            return [_nab(path, windows[path.name], budget_per_week) for path in files if path.name in windows]
        cases = [_rig(path, rows, budget_per_week) for path in files if (rows := _rows(path)) and set(RIG_LABELS) <= set(rows[0])]
    except (KeyError, ValueError, IndexError) as error:
        raise CallerError("bench.recording", f"{folder}: {error!r}; expected what its SOURCE.txt describes") from None
    if not cases:
        raise CallerError("bench.recording", f"{folder}: no labels; expected a folder as nab-office or uci-hydraulic")
    return cases


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _nab(path: Path, windows: list[list[str]], budget_per_week: float) -> Case:
    rows = _rows(path)
    times = np.array([_ms(row["timestamp"]) for row in rows], np.int64)
    values = np.array([float(row["value"]) for row in rows])
    train = min(int(NAB_SHARE * len(rows)), NAB_MOST)
    split_ms = int(times[train])
    faults = [Fault(_ms(start), _ms(end), "failure") for start, end in windows]
    return Case(path.stem, {"value": Recorded(times, values)}, [one for one in faults if one.from_ms >= split_ms], split_ms,
                f"first {train} of {len(rows)} rows train (NAB's probationary part), {rows[train]['timestamp']} on is judged",
                Tuning(slot_ms=HOUR_MS, budget_per_week=budget_per_week), 6 * HOUR_MS, nab=True)


def _rig(path: Path, rows: list[dict[str, str]], budget_per_week: float) -> Case:
    times = np.array([(int(row["cycle"]) * 60 + int(row["second"])) * 1000 for row in rows], np.int64)
    channels = {name: Recorded(times, np.array([float(row[name]) for row in rows]), unit, RIG_STEP)
                for name, unit in RIG_CHANNELS.items()}
    first = int(rows[0]["cycle"])
    split = first + RIG_TRAIN_CYCLES
    tuning = Tuning(slot_ms=MINUTE_MS, block_ms=5 * MINUTE_MS, settle_blocks=2, warm_blocks=8, season=False, memory_ms=HOUR_MS,
                    relearn_ms=10 * MINUTE_MS, quiet_ms=RIG_FAULT_CYCLES * MINUTE_MS, budget_per_week=budget_per_week)
    return Case("rig", channels, _changes(rows, split), split * MINUTE_MS,
                f"cycles {first}–{split - 1} train, {split}–{rows[-1]['cycle']} are judged; a change of a condition label is to be "
                f"seen within {RIG_FAULT_CYCLES} cycles (the valve's grades have all been in the training part)",
                tuning, MINUTE_MS, limiter_off=True)


def _changes(rows: list[dict[str, str]], from_cycle: int) -> list[Fault]:
    """Each change of a grade from a cycle on; those that are to be seen at the same time are one, named by the first."""
    found: list[Fault] = []
    before = rows[0]
    for row in rows:
        changed = [name for label, name in RIG_LABELS.items() if row[label] != before[label]]
        cycle = int(row["cycle"])
        seen_by_ms = found[-1].to_ms if found else 0
        if changed and cycle >= from_cycle and cycle * MINUTE_MS > seen_by_ms:
            found.append(Fault(cycle * MINUTE_MS, (cycle + RIG_FAULT_CYCLES) * MINUTE_MS, changed[0]))
        before = row
    return found


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
