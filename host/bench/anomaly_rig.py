"""The whole hydraulic rig: which of its conditions the detectors flag, one grade at a time, and what labels would allow.

Reads the folder of UCI's own text files (profile.txt with the labels of each cycle, and a file for each of the 1 Hz channels). Each
grade of the cooler begins a run, and each run begins with cycles at one condition: those train, the rest is judged. The lengths of
time are the product's defaults, scaled so that what two weeks and a day are there is the training part here; nothing else is set.
A cycle is flagged when a finding goes on at its end, held by the budget or not. What labels would allow is a random forest's
area under the ROC curve, taught by the labels of a run's first half and asked in its second: no detector knows labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.bench.recordings import RIG_CHANNELS, RIG_STEP
from host.clock import HOUR_MS, MINUTE_MS
from host.monitor.anomaly.scores import SHAPE
from host.monitor.anomaly.tuning import Tuning
from host.monitor.anomaly.watch import DeviceWatch
from node.errors import CallerError

COOLER, VALVE, PUMP, ACCUMULATOR = range(4)   # columns of profile.txt
SECONDS = 60                                  # of a cycle, each a reading
BLOCKS = 15                                   # blocks of the training part: 7 settle, 7 warm, and a part of one
SOON_CYCLES = 5                               # in which a beginning leak should be flagged
PARTS = 30                                    # of a cycle, of the forest that labels teach

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Run:
    """One grade of the cooler: `values` by cycle, channel and second; the first `train` cycles are at one condition."""

    first: int
    train: int
    values: Floats
    labels: Labels


def is_rig(folder: Path) -> bool:
    return (folder / "profile.txt").is_file() and all((folder / f"{name}.txt").is_file() for name in RIG_CHANNELS)


def runs_of(folder: Path) -> list[Run]:
    """Read the folder.

    Raises:
        CallerError: the files do not fit each other.
    """
    try:
        labels = np.loadtxt(folder / "profile.txt").astype(np.int64)
        values = np.stack([np.loadtxt(folder / f"{name}.txt") for name in RIG_CHANNELS], axis=1)
    except ValueError as error:
        raise CallerError("bench.recording", f"{folder}: {error}; expected UCI's files, tabs between numbers") from None
    if values.shape[1:] != (len(RIG_CHANNELS), SECONDS) or len(values) != len(labels) or labels.shape[1:] != (5,):
        raise CallerError("bench.recording", f"{folder}: {values.shape} values, {labels.shape} labels; expected a line a cycle, "
                          f"{SECONDS} numbers in each channel's file and 5 in profile.txt")
    starts = [0, *(np.flatnonzero(np.diff(labels[:, COOLER])) + 1).tolist(), len(labels)]
    found = []
    for first, end in pairwise(starts):
        part = labels[first:end]
        same = (part[:, :4] == _reference(part)).all(axis=1)
        begins = int(np.argmax(same))
        length = int(np.argmin(same[begins:])) if not same[begins:].all() else len(same) - begins
        found.append(Run(first, begins + length, values[first:end], part))
    return found


def measure(run: Run, budget_per_week: float) -> dict[str, object]:
    """What was flagged of each condition, with and without the shape of the cycle."""
    block_ms = run.train // BLOCKS * MINUTE_MS
    tuning = Tuning(slot_ms=MINUTE_MS, block_ms=block_ms, memory_ms=14 * block_ms, relearn_ms=7 * block_ms, quiet_ms=block_ms // 4,
                    season=False, budget_per_week=budget_per_week)
    flags = _flags(run, tuning)
    judged = np.arange(len(run.values)) >= run.train
    conditions: dict[str, object] = {}
    for name, which in _conditions(run).items():
        use = which & judged
        conditions[name] = {"cycles": int(use.sum()), "flagged": int((flags[use] > 0).sum()),
                            "by_shape": int((flags[use] & 1 > 0).sum()), "by_others": int((flags[use] & 2 > 0).sum())}
    leaks = run.labels[:, PUMP] > 0
    begins = [place for place in np.flatnonzero(judged).tolist() if leaks[place] and not leaks[place - 1]]
    fresh = [place for place in begins if not flags[place - 1]]
    delays = [int(np.argmax(soon)) + 1 for place in fresh if (soon := flags[place:place + SOON_CYCLES] > 0).any()]
    return {
            "cycles": f"{run.first}–{run.first + len(run.values) - 1}", "train": run.train,
            "cooler_pct": int(run.labels[0, COOLER]),
            "hours_judged": float(judged.sum()) * MINUTE_MS / HOUR_MS, "budget_per_week": budget_per_week, "conditions": conditions,
            "leaks": len(begins), "leaks_not_flagged_before": len(fresh), "leaks_found": len(delays),
            "leak_delay_cycles": sorted(delays), "labels_allow": labels_allow(run)}


def curves_of(run: Run) -> tuple[dict[str, Floats], str]:
    """Means of each cycle from the change of the cooler's grade to the next change."""
    means = run.values[:run.train].mean(axis=2)
    what = f"from cycle {run.first}, cooler at {run.labels[0, COOLER]} %"
    return {name: means[:, place] for place, name in enumerate(RIG_CHANNELS)}, what


def labels_allow(run: Run) -> dict[str, float]:
    """Area under the ROC curve of a forest that knows the labels of the first half; nothing without scikit-learn."""
    try:
        from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415  an extra
        from sklearn.metrics import roc_auc_score  # noqa: PLC0415
    except ImportError:
        return {}
    rows = run.values.reshape(len(run.values), len(RIG_CHANNELS), PARTS, -1).mean(axis=3).reshape(len(run.values), -1)
    half = (run.train + len(rows)) // 2
    valve, leak = run.labels[:, VALVE], run.labels[:, PUMP] > 0
    found = {}
    for name, wrong, use in (
        ("pump leaks", leak, np.ones(len(rows), np.bool_)), ("valve 73 %, no leak", valve == 73, ~leak & np.isin(valve, [73, 100])),
        ("valve 80 %, no leak", valve == 80, ~leak & np.isin(valve, [80, 100])),
        ("valve 90 %, no leak", valve == 90, ~leak & np.isin(valve, [90, 100])),
    ):
        early, late = np.flatnonzero(use[:half]), half + np.flatnonzero(use[half:])
        model = RandomForestClassifier(200, random_state=0, min_samples_leaf=2, n_jobs=1).fit(rows[early], wrong[early])
        found[name] = float(roc_auc_score(wrong[late], model.predict_proba(rows[late])[:, 1]))
    return found


def _reference(labels: Labels) -> Labels:
    """The condition of most of a run's first 200 cycles, the rig's stretch without a change."""
    seen, counts = np.unique(labels[:200, :4], axis=0, return_counts=True)
    return np.asarray(seen[int(np.argmax(counts))], np.int64)


def _flags(run: Run, tuning: Tuning) -> npt.NDArray[np.int64]:
    """For each cycle: 1 for a finding of the cycle's shape, 2 for another, 3 for both, 0 for none."""
    watch = DeviceWatch("rig", tuning)
    units = {name: (unit, RIG_STEP) for name, unit in RIG_CHANNELS.items()}
    second_ms = MINUTE_MS // SECONDS
    flags = []
    for cycle, values in enumerate(run.values):
        times = cycle * MINUTE_MS + np.arange(SECONDS, dtype=np.int64) * second_ms
        watch.take({name: (times, values[place]) for place, name in enumerate(RIG_CHANNELS)}, (cycle + 1) * MINUTE_MS, units)
        kinds: Sequence[str] = [one.kind for one in watch.open()]
        flags.append((SHAPE in kinds) + 2 * any(kind != SHAPE for kind in kinds))
    return np.array(flags, np.int64)


def _conditions(run: Run) -> dict[str, npt.NDArray[np.bool_]]:
    """Which cycles are at which condition; what is not told of one is as in training."""
    usual = run.labels[run.train - 1]
    pump, valve, bar = (run.labels[:, place] for place in (PUMP, VALVE, ACCUMULATOR))
    sound, same, shut = pump == 0, bar == usual[ACCUMULATOR], valve == usual[VALVE]
    return {
        "as trained": sound & same & shut,
        "pump leaks severely": pump == 2, "pump leaks weakly": pump == 1,
        **{f"valve {grade} %, no leak": sound & (valve == grade) for grade in (73, 80, 90)},
        "accumulator alone": sound & shut & ~same,
    }
