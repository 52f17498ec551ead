"""When a device acts, so that no two devices act because a clock struck.

Pure: the device's name, the time and random bytes are arguments. Three tools: a fixed phase within a period, a small jitter
on each cycle, and exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015).
"""

from node.compat import sha256

MAX_DOUBLINGS = 16   # 2^16 x any base passes every cap we use; bounds the shift


def phase_ms(device: str, period_ms: int) -> int:
    """The device's own place within a period: the same after every boot, spread evenly over a fleet."""
    return (int.from_bytes(sha256(device.encode())[:4], "big") * period_ms) >> 32


def uniform(random4: bytes, limit: int) -> int:
    """0..limit, from four random bytes."""
    return (int.from_bytes(random4, "big") * (limit + 1)) >> 32


def next_due_ms(now_ms: int, period_ms: int, phase: int, jitter_ms: int = 0) -> int:
    """The first moment after `now_ms` that lies on the device's phase, moved by `jitter_ms`.

    Args:
        phase: 0 <= phase < period_ms.
        jitter_ms: 0 <= jitter_ms < period_ms; drawn anew each cycle.
    """
    cycles = (now_ms - phase) // period_ms + 1
    return phase + cycles * period_ms + jitter_ms


def place_in_ms(device: str, now_ms: int, period_ms: int, random4: bytes) -> int:
    """How long until the device's own place in the period, a little moved each time."""
    return next_due_ms(now_ms, period_ms, phase_ms(device, period_ms), uniform(random4, period_ms // 10)) - now_ms


def backoff_ms(attempt: int, base_ms: int, cap_ms: int, random4: bytes) -> int:
    """How long to wait after `attempt` failures in a row (1 = the first): uniform in 0..min(cap, base * 2^(attempt-1)).

    Full jitter: the wait of a fleet that failed together is spread over the whole interval, also at the first attempt.
    """
    doublings = min(max(attempt - 1, 0), MAX_DOUBLINGS)
    return uniform(random4, min(cap_ms, base_ms << doublings))
