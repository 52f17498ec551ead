"""The fleet of a simulated rollout: what its devices are like, and what they count while they are on.

Knows no rollout: who is offered something, and what becomes of it, is `rollout`'s. Deterministic: a seed gives the same fleet
and luck everywhere with the same numpy.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ota.rules import bucket
from ota.rules.values import Exposure, Policy

DAY_S = 86_400
MODEL = "hall"

# The fleet: assumptions, not measurements.
BAD_LINK_SHARE = 0.10      # lose check-ins, load slowly, drop connections twenty times as often
SLEEPER_SHARE = 0.10       # wake every 1 to 5 hours
STORED_SHARE = 0.005       # switched off at first; come back within two months, at a random time
STORED_DAYS = 60
DEATHS_A_YEAR = 0.03       # of the devices fall silent for good
MISSED = 0.3               # of a bad link's check-ins
TRANSIENT = 0.0005         # of first tries fall back although nothing is wrong with the release: a power cut in the trial
LOAD_S = (20.0, 300.0)     # a download, from and to
BAD_LOAD_S = (600.0, 10_800.0)
RATES = {"app_crashes": 0.01, "resets": 0.02}   # events a device and day
DROPS = (1.0, 20.0)        # connections dropped a device and day: others, bad links
BYTES = 40_000             # sent and received a device and day


class Kinds(IntEnum):
    """What a device is like."""

    ALWAYS_ON = 0
    BAD_LINK = 1
    SLEEPER = 2
    STORED = 3


@dataclass(frozen=True)
class Scenario:
    """What is simulated: `defect_pct` of the devices crash on the release, each time."""

    devices: int
    days: float
    seed: int
    defect_pct: float = 0.0
    policy: Policy = field(default_factory=Policy)


class Fleet:
    """The devices, as columns.

    Args:
        ident: of the rollout; fixes the buckets. period_s: between the check-ins of all but sleepers.
    """

    def __init__(self, scenario: Scenario, ident: str, period_s: int) -> None:
        self.chance = chance = np.random.default_rng(scenario.seed)
        count = scenario.devices
        self.names = [f"{MODEL}-{number:012x}" for number in range(count)]
        self.buckets = np.fromiter((bucket.bucket(ident, name) for name in self.names), np.int32, count)
        kinds = chance.random(count)
        edges = np.cumsum([1 - BAD_LINK_SHARE - SLEEPER_SHARE - STORED_SHARE, BAD_LINK_SHARE, SLEEPER_SHARE])
        self.kinds = np.searchsorted(edges, kinds).astype(np.int8)
        self.gap_s = np.full(count, float(period_s))
        self.gap_s[self.kinds == Kinds.SLEEPER] = chance.uniform(3_600, 5 * 3_600, int((self.kinds == Kinds.SLEEPER).sum()))
        self.phase = chance.random(count)
        self.wakes_s = np.where(self.kinds == Kinds.STORED, chance.random(count) * STORED_DAYS * DAY_S, 0.0)
        self.dies_s = chance.exponential(365 * DAY_S / DEATHS_A_YEAR, count)
        self.defective = set(np.flatnonzero(chance.random(count) < scenario.defect_pct / 100).tolist())
        self.unlucky = set(np.flatnonzero(chance.random(count) < TRANSIENT).tolist())
        low, high = (np.where(self.kinds == Kinds.BAD_LINK, bad, good) for good, bad in zip(LOAD_S, BAD_LOAD_S, strict=True))
        self.load_s = (low + chance.random(count) * (high - low)).tolist()
        # What single events read stands in lists and sets: an element of an array takes several times as long.
        self.phases, self.death_s = self.phase.tolist(), self.dies_s.tolist()
        self.bad_links = set(np.flatnonzero(self.kinds == Kinds.BAD_LINK).tolist())
        self.dying = np.flatnonzero(self.dies_s < scenario.days * DAY_S)

    def next_checkin_s(self, who: NDArray[np.int64], now_s: float) -> NDArray[np.float64]:
        """When devices check in next and are heard."""
        gap_s = self.gap_s[who]
        from_s = np.maximum(now_s, self.wakes_s[who])
        missed = np.where(self.kinds[who] == Kinds.BAD_LINK, self.chance.geometric(1 - MISSED, len(who)) - 1, 0)
        found: NDArray[np.float64] = from_s + (self.phase[who] * gap_s - from_s) % gap_s + missed * gap_s
        return found

    def counted(self, before: Exposure, devices: int, bad_links: int, seconds: float) -> Exposure:
        """What so many devices, bad links among them, count in a while, added to what was; nobody's report is late here."""
        devices, bad_links, days = max(0, devices), max(0, bad_links), seconds / DAY_S
        means = {name: rate * devices * days for name, rate in RATES.items()}
        means["drops"] = (DROPS[0] * max(0, devices - bad_links) + DROPS[1] * bad_links) * days
        events = {name: before.events.get(name, 0) + int(self.chance.poisson(mean)) for name, mean in means.items()}
        events["tx_bytes"] = before.events.get("tx_bytes", 0) + round(BYTES * devices * days)
        return Exposure(before.seconds + devices * seconds, events)
