"""When a device acts, so that no two devices act because a clock struck.

Pure: the device's name, the time and random bytes are arguments. Three tools: a fixed phase within a period, a small jitter
on each cycle, and exponential back-off with jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015).
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
    """How long to wait after `attempt` failures in a row (1 = the first): at most cap_ms.

    After the first uniform in 0..base: a fleet that failed together is spread over the whole interval. Then in base..2 base, in
    2 base..4 base and so on up to cap/2..cap: nobody comes a second time while others come for the first, so that a fleet of n
    devices makes at most n / base attempts a second at every moment, however long the outage. With full jitter again and again
    (0..2 base, 0..4 base) attempts overlap and add up. Where base is above cap/2, cap/2 stands for it.
    """
    doublings = min(max(attempt - 2, 0), MAX_DOUBLINGS)
    low_ms = min(cap_ms // 2, base_ms << doublings)
    return uniform(random4, low_ms) + (low_ms if attempt > 1 else 0)
