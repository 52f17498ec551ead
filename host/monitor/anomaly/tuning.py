"""What the detectors are told: lengths of time and the budget of false alarms.

Decides defaults and nothing else. They were set from what they mean, before any labelled recording was looked at.
"""

from dataclasses import dataclass

from host.clock import DAY_MS, HOUR_MS, MINUTE_MS


@dataclass(frozen=True, slots=True)
class Tuning:
    """One plant's detectors.

    Attributes:
        slot_ms: readings are judged in slots of this length. Shorter: faults are seen sooner, at more work; a slot should hold a
            whole cycle of the machine. Default 5 minutes.
        block_ms: thresholds are calibrated on the highest score of each block, which should hold a whole season. Default a day.
        settle_blocks: blocks in which the baseline alone learns. Default 7: each hour of a week once.
        warm_blocks: blocks of scores, after those, before anything is judged. Default 7.
        kept_blocks: blocks that a threshold remembers. Default 28.
        memory_ms: how long the baseline remembers: a slower change is the new usual, a faster one is a finding. Default 14 days.
        relearn_ms: a level that has stayed wrong for so long becomes the usual one. Default 7 days.
        quiet_ms: what happens again within this time is the same finding, and findings of a device that near are one incident.
            Default 6 hours.
        season: whether a time of day and of week is expected. Without, one level stands for all hours.
        zone: IANA time zone by whose clock days begin.
        budget_per_week: false alarms of a device that are put up with. Default 1.
    """

    slot_ms: int = 5 * MINUTE_MS
    block_ms: int = DAY_MS
    settle_blocks: int = 7
    warm_blocks: int = 7
    kept_blocks: int = 28
    memory_ms: int = 14 * DAY_MS
    relearn_ms: int = 7 * DAY_MS
    quiet_ms: int = 6 * HOUR_MS
    season: bool = True
    zone: str = "UTC"
    budget_per_week: float = 1.0

    @property
    def memory_slots(self) -> int:
        return max(24, self.memory_ms // self.slot_ms)
