"""How well anomalies are found on labelled recordings, with peers on the same readings and the same split in time.

Decides the split, what counts as found, late and false, and how peers are run; nothing is tuned on the part that is judged. All
methods get the same training part and the same budget, and their alarms are counted alike: alarms that follow each other within
the case's `quiet` are one. A recording is a folder that recordings.py can read.

NAB's score, standard profile (Lavin and Ahmad, 2015): the first alarm in a window earns up to 1, less the later it is; each false
alarm costs up to 0.11, a missed window 1; scaled so that no alarm at all is 0 and every window at its very start is 100. Here
each alarm is counted once, at its beginning, and with the limit that the training part gave; NAB's own table picks the best limit
afterwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.bench.recordings import Case
from host.clock import WEEK_MS
from host.monitor.anomaly.features import Windows, names_of, windows_of
from host.monitor.anomaly.forest import ModelError, train
from host.monitor.anomaly.peaks import LEAST_BLOCKS, threshold
from host.monitor.anomaly.together import findings_of
from host.monitor.anomaly.watch import DeviceWatch

EWMA_WEIGHT = 0.05        # of the peer's mean and variance: about the last 40 rows
FALSE_COST = 0.11         # NAB, standard profile
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alarms:
    """One method's alarms: when each began, Unix ms; `held` of them were kept back by the budget, `notes` tell of some."""

    at_ms: list[int]
    held: int = 0
    notes: tuple[str, ...] = ()


def measure(case: Case) -> dict[str, object]:
    """Run all methods on one case and count."""
    methods = {"tenfold": detectors(case), "tenfold_forest": forest(case), "ewma_z": ewma(case),
               "isolation_forest_alone": alone(case)}
    judged_ms = case.end_ms - case.split_ms
    return {
        "case": case.name, "split": case.split, "train_days": (case.split_ms - case.start_ms) / 86_400_000,
        "test_days": judged_ms / 86_400_000, "faults": len(case.faults), "budget_per_week": case.tuning.budget_per_week,
        "methods": {name: counted(case, alarms) for name, alarms in methods.items()},
    }


def detectors(case: Case) -> Alarms:
    """Our streaming detectors, slot after slot as in the product, they go on learning; findings that are held count in `held`."""
    watch = DeviceWatch(case.name, case.tuning)
    seen = {}
    step = case.tuning.slot_ms
    units = {name: (one.unit, one.resolution) for name, one in case.channels.items()}
    for from_ms in range(case.start_ms // step * step, case.end_ms, step):
        part = {name: (one.times[use], one.values[use]) for name, one in case.channels.items()
                if (use := (one.times >= from_ms) & (one.times < from_ms + step)).any()}
        for found in [*watch.take(part, from_ms + step, units), *watch.tick(from_ms + step)]:
            seen[found.channel, found.kind, found.since_ms] = found
    judged = sorted((one for one in seen.values() if one.found_ms > case.split_ms), key=lambda one: one.found_ms)
    notes = tuple(f"{one.channel} {one.kind}: {one.says()}" for one in judged)
    at_ms = merged([one.found_ms for one in judged], case.tuning.quiet_ms)
    told = merged([one.found_ms for one in judged if not one.held], case.tuning.quiet_ms)
    return Alarms(at_ms if case.limiter_off else told, len(at_ms) - len(told), notes)


def forest(case: Case) -> Alarms:
    """Our forest over windows, trained once on the training part."""
    names = sorted(case.channels)
    windows = windows_of({name: (one.times, one.values) for name, one in case.channels.items()}, names, case.window_ms, case.tuning)
    before = windows.at_ms + case.window_ms <= case.split_ms
    past = Windows(windows.at_ms[before], windows.rows[before])
    try:
        model = train(past, names_of(names, case.tuning), case.window_ms, case.tuning)
    except ModelError as error:
        return Alarms([], notes=(str(error),))
    after = Windows(windows.at_ms[~before], windows.rows[~before])
    found = findings_of(case.name, model, after, {}, case.tuning)
    return Alarms(merged([one.found_ms for one in found], case.tuning.quiet_ms), notes=tuple(one.says() for one in found))


def ewma(case: Case) -> Alarms:
    """Peer: distance from an exponentially weighted mean in its standard deviations, the highest of all channels."""
    times, rows = grid(case)
    mean, variance = rows[0].copy(), np.zeros(rows.shape[1])
    scores = np.zeros(len(rows))
    for place, row in enumerate(rows[1:], 1):
        off = row - mean
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.abs(off) / np.sqrt(variance)
        scores[place] = np.nanmax(np.where(np.isfinite(far), far, 0.0)) if place > 1 / EWMA_WEIGHT else 0.0
        mean += EWMA_WEIGHT * off
        variance = (1 - EWMA_WEIGHT) * (variance + EWMA_WEIGHT * off * off)
    return _beyond(case, times, scores)


def alone(case: Case) -> Alarms:
    """Peer: scikit-learn's IsolationForest with its defaults on rows of readings; its limit by the same calibration as ours."""
    try:
        from sklearn.ensemble import IsolationForest  # noqa: PLC0415  an extra
    except ImportError:
        return Alarms([], notes=("scikit-learn is not installed",))
    times, rows = grid(case)
    before = times < case.split_ms
    model = IsolationForest(random_state=0, n_jobs=1).fit(rows[before])
    return _beyond(case, times, -model.score_samples(rows))


def grid(case: Case) -> tuple[npt.NDArray[np.int64], Floats]:
    """Rows of all channels, for peers that want them; what is missing is as before."""
    times = np.unique(np.concatenate([one.times for one in case.channels.values()]))
    columns = []
    for one in case.channels.values():
        place = np.maximum(np.searchsorted(one.times, times, side="right") - 1, 0)
        columns.append(one.values[place])
    return times, np.stack(columns, axis=1)


def merged(at_ms: Sequence[int], quiet_ms: int) -> list[int]:
    """Beginnings of alarms; those that follow another within `quiet_ms` belong to it."""
    begun: list[int] = []
    last = -math.inf
    for one in sorted(at_ms):
        if one - last > quiet_ms:
            begun.append(one)
        last = one
    return begun


def counted(case: Case, alarms: Alarms) -> dict[str, object]:
    """What was found, how late, and what was false."""
    delays = {}
    for place, fault in enumerate(case.faults):
        inside = [one for one in alarms.at_ms if fault.from_ms <= one <= fault.to_ms]
        if inside:
            delays[place] = (inside[0] - fault.from_ms) / 1000
    false = [one for one in alarms.at_ms if not any(fault.from_ms <= one <= fault.to_ms for fault in case.faults)]
    clean_ms = case.end_ms - case.split_ms - sum(fault.to_ms - fault.from_ms for fault in case.faults)
    what = sorted({fault.what for fault in case.faults})
    report: dict[str, object] = {
        "found": len(delays), "of": len(case.faults),
        "found_by_fault": {name: [sum(case.faults[place].what == name for place in delays),
                                  sum(one.what == name for one in case.faults)] for name in what},
        "delay_s": sorted(delays.values())[len(delays) // 2] if delays else None,
        "delays_s": {f"{case.faults[place].what} {place + 1}": delay for place, delay in delays.items()},
        "false_alarms": len(false), "false_alarms_per_week": len(false) / (clean_ms / WEEK_MS), "held": alarms.held,
        "notes": list(alarms.notes),
    }
    if case.nab:
        report["nab_score"] = nab_score(case, alarms.at_ms)
    return report


def nab_score(case: Case, at_ms: Sequence[int]) -> float:
    """NAB's score of one recording; 100 is perfect, 0 is no alarm at all."""
    total, found = 0.0, set()
    for one in at_ms:
        inside = next((place for place, fault in enumerate(case.faults) if fault.from_ms <= one <= fault.to_ms), None)
        if inside is not None:
            if inside not in found:
                found.add(inside)
                fault = case.faults[inside]
                total += _sigmoid((one - fault.to_ms) / (fault.to_ms - fault.from_ms)) / _sigmoid(-1.0)
            continue
        before = [fault for fault in case.faults if fault.to_ms < one]
        late = (one - before[-1].to_ms) / (before[-1].to_ms - before[-1].from_ms) if before else math.inf
        total += FALSE_COST * _sigmoid(late)
    total -= len(case.faults) - len(found)
    return 100.0 * (total + len(case.faults)) / (2.0 * len(case.faults))


def _sigmoid(place: float) -> float:
    return -1.0 if place > 3 else 2.0 / (1.0 + math.exp(5.0 * place)) - 1.0


def _beyond(case: Case, times: npt.NDArray[np.int64], scores: Floats) -> Alarms:
    """Rows of the test part whose score is above the limit of the training part: the same calibration as ours."""
    before = times < case.split_ms
    blocks = times[before] // case.tuning.block_ms
    highs = [float(scores[before][blocks == one].max()) for one in np.unique(blocks)][case.tuning.settle_blocks:]
    assert len(highs) >= LEAST_BLOCKS   # noqa: S101  the cases are ours
    limit = threshold(highs, case.tuning.budget_per_week * case.tuning.block_ms / WEEK_MS)
    at_ms = times[(times >= case.split_ms) & (scores > limit)].tolist()
    return Alarms(merged(at_ms, case.tuning.quiet_ms), notes=(f"limit {limit:.3f}",))
