"""Which devices a stage is made of.

A device has a fixed bucket in each rollout, by hash, so stages contain each other and any server process finds the same
members without a list. The stage is given by one number, the limit: devices with a lower bucket belong to it.
"""

import hashlib
import math
from collections.abc import Iterable
from heapq import nsmallest

BUCKETS = 10_000         # a bucket is a hundredth of a percent of a large fleet
EXACT_BELOW = 10_000     # up to so many devices the limit is found by rank; above, hashes are even enough (1 % is 100 +- 10)
UNBOUNDED = 2**31 - 1    # capacity of a 100 % stage: devices that join later belong to it too


def bucket(rollout: str, device: str) -> int:
    """Tell a device's place 0..9999 in a rollout: the first four bytes of SHA-256(rollout id + device id), mod 10000."""
    return int.from_bytes(hashlib.sha256((rollout + device).encode()).digest()[:4], "big") % BUCKETS


def capacity(pct: float, population: int) -> int:
    """Tell how many devices a stage may touch: its share of the fleet rounded down, at least one (the canary)."""
    if pct >= 100:
        return UNBOUNDED
    return max(1, math.floor(population * pct / 100 + 1e-9))


def limit(pct: float, population: int, buckets: Iterable[int]) -> int:
    """Tell the stage's limit: devices whose bucket is below it belong to the stage.

    In a small fleet hashes are uneven (10 % of 24 devices may hold none or six), so the limit is put just above the bucket of
    the last device that the capacity admits.

    Args:
        buckets: those of the population; not read at all when the fleet has EXACT_BELOW devices or more.
    """
    if pct >= 100:
        return BUCKETS
    if population >= EXACT_BELOW:
        return max(1, round(pct * BUCKETS / 100))
    lowest = nsmallest(capacity(pct, population), buckets)
    return lowest[-1] + 1 if lowest else 0
