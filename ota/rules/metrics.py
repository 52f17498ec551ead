"""What a device's counters say about the time since its last check-in.

Devices report sums since boot. The server adds up differences by firmware version, so a total is never counted twice and a
server that forgot a second counts it at the next check-in. What a device counted between its last check-in and a reset is lost.
"""

from collections.abc import Mapping

SINCE_BOOT = (   # start over at every boot
    "uptime_s", "connects", "drops", "tx_bytes", "rx_bytes", "msgs", "acked", "app_crashes", "task_restarts",
    "sync_failure",
)
SINCE_BIRTH = ("ring_dropped", "resets")   # kept over boots
MAX_DELTA = 2**40   # more between two check-ins is a broken or lying device: taken as nothing


def delta(before: Mapping[str, int] | None, before_boot: int, now: Mapping[str, int], now_boot: int) -> dict[str, int]:
    """Tell what to add to the totals of the version that now runs; names with nothing to add are left out.

    Args:
        before: counters of the last check-in; None at first sight, which adds nothing: they may span other versions.
    """
    if before is None:
        return {}
    booted = now_boot != before_boot
    added = {name: now.get(name, 0) - (0 if booted else before.get(name, 0)) for name in SINCE_BOOT}
    added |= {name: now[name] - before[name] for name in SINCE_BIRTH if name in now and name in before}
    return {name: value for name, value in added.items() if 0 < value < MAX_DELTA}
