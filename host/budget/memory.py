"""Python's heap on a chip: what a configuration's channels and batches take of it.

A formula fitted to measurements of the device's own app on 64-bit MicroPython, in words, so that it halves with the chip's word;
tests/budget/test_memory.py measures it again. On a chip itself only one configuration was measured, which is the profile's: what
another takes is the difference of the two by this formula.
"""

WORD_BYTES = 4           # of a chip; 8 on the port that was measured
CHANNEL_WORDS = 92 + 19  # its configuration, filters, alarm and column; what the coder keeps of a column
ALARM_WORDS = 88         # of a channel that has one: its schema in the journal, and what it has to tell; measured 45 to 112
SAMPLE_WORDS = 7      # lists that the coder makes of one column at a time; measured 5 to 7
RECORD_FACTOR = 4.5      # the record while it is built: bytes and their copies
JITTER = 9 / 8           # of the uplink's period, at most (device.py)


def batch_samples(batch_samples: int, uplink_s: int, period_ms: int) -> int:
    """Samples that a batch has at most: as many as are told, or as come between two uplinks."""
    return min(batch_samples, int(uplink_s * 1000 * JITTER / period_ms) + 1)


def app_bytes(channels: int, alarms: int, samples: int, record_bytes: float, word_bytes: int = WORD_BYTES) -> float:
    """Heap of the app at its worst moment, while it encodes a batch; without what does not depend on the configuration.

    Args:
        alarms: channels that have one. record_bytes: of the batch, encoded.
    """
    place = 1
    while place < samples:   # a list doubles
        place *= 2
    words = channels * (CHANNEL_WORDS + place) + alarms * ALARM_WORDS + SAMPLE_WORDS * samples
    return words * word_bytes + RECORD_FACTOR * record_bytes
