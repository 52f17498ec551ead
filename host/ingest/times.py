"""Which clocks cannot be true.

Decides from values only. A batch whose clock is not believed is stored all the same and waits, unplaced, for its boot's clock: the
code tells operators why. The wire cannot say a time before 2020, so a clock that never was set is unknown, not impossible.
"""

from host.clock import DAY_MS
from node.wire.batch import QUALITY_SERVER

APART_MS = 366 * DAY_MS            # a clock is set while a boot lasts; it does not move by years
OUR_FLOOR_MS = 1_735_689_600_000   # 2025-01-01: a server whose own clock is before this judges nobody

FUTURE, APART = "time.future", "time.apart"


def doubt(quality: int, epoch_ms: int, uptime_ms: int, now_ms: int) -> str:
    """Why a batch's clock cannot be true, or "".

    Args:
        quality: of epoch_ms, node.wire.batch.QUALITY_*; one that is no real clock is not asked.
        epoch_ms: Unix milliseconds of uptime 0.
        uptime_ms: of the batch's first sample.
        now_ms: the server's clock.
    """
    if quality < QUALITY_SERVER or not epoch_ms or now_ms < OUR_FLOOR_MS:
        return ""
    return FUTURE if epoch_ms + uptime_ms > now_ms + DAY_MS else ""


def apart(quality: int, epoch_ms: int, best_quality: int, best_epoch_ms: int) -> str:
    """Why a batch's clock cannot be true beside its boot's best one, or "". Of two that are trusted alike each keeps its own."""
    if quality < QUALITY_SERVER or not epoch_ms or quality >= best_quality:
        return ""
    return APART if abs(epoch_ms - best_epoch_ms) > APART_MS else ""
