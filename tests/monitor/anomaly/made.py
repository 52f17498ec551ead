"""Made-up channels for tests of the detectors; the bench's own, with hours in place of days where a season does not matter."""

from dataclasses import replace

import numpy as np

from host.clock import HOUR_MS, MINUTE_MS
from host.monitor.anomaly.tuning import Tuning
from host.monitor.anomaly.watch import DeviceWatch

START_MS = 1_600_000_000_000 // HOUR_MS * HOUR_MS
SLOT_MS = MINUTE_MS
# An hour's blocks without a season: what takes weeks in a plant takes a day here.
QUICK = replace(Tuning(), slot_ms=SLOT_MS, block_ms=HOUR_MS, settle_blocks=4, warm_blocks=8, season=False, memory_ms=12 * HOUR_MS,
                relearn_ms=6 * HOUR_MS, quiet_ms=30 * MINUTE_MS)


def noisy(hours, seed=0, *, level=50.0, spread=0.5, rho=0.5):
    """A calm channel, one reading a slot."""
    chance = np.random.default_rng(seed)
    times = START_MS + np.arange(hours * HOUR_MS // SLOT_MS, dtype=np.int64) * SLOT_MS
    noise = chance.normal(0, spread, len(times))
    for place in range(1, len(noise)):
        noise[place] = rho * noise[place - 1] + np.sqrt(1 - rho * rho) * noise[place]
    return times, np.round(level + noise, 2)


def run(readings, tuning=QUICK, *, watch=None, until_ms=None, step_ms=HOUR_MS):
    """All findings of a device by (channel, kind), hour after hour, each as it was last told."""
    watch = watch or DeviceWatch("hall-1", tuning)
    seen = {}
    first = min(int(times[0]) for times, _ in readings.values())
    last = until_ms or max(int(times[-1]) for times, _ in readings.values())
    for at in range(first, last + 1, step_ms):
        part = {name: (times[use], values[use]) for name, (times, values) in readings.items()
                if (use := (times >= at) & (times < at + step_ms)).any()}
        for one in [*watch.take(part, at + step_ms, dict.fromkeys(part, ("Cel", 0.01))), *watch.tick(at + step_ms)]:
            seen[one.channel, one.kind, one.since_ms] = one
    return sorted(seen.values(), key=lambda one: one.found_ms), watch
