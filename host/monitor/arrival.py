"""Whether a batch came late.

Decides from times alone. A batch is as old as its last sample: a device that sends every ten minutes has none that is late. Late
ones were kept in a ring while the link, the broker or ingest was away. Where a batch has no wall time yet, nobody knows.
"""

LATE_MS = 1_800_000   # three times the default period of the uplink (600 s)


def is_late(start_ms: int | None, span_ms: int, received_ms: int) -> bool:
    """Tell whether a batch's last sample was taken LATE_MS before it came; False where its time is not known.

    Args:
        start_ms: Unix milliseconds of its first sample; None while its boot's clock is not known.
        span_ms: from there to its last one.
    """
    return start_ms is not None and received_ms - start_ms - span_ms > LATE_MS
