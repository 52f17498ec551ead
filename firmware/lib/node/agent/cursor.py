"""Where sending stands between the ring's first record without an ack and its end.

Pure: sequence numbers of the ring and ticks in ms come in. Decides how far ahead of the acks to send, and when to start over
from the first record without one. Reads no ring and sends nothing.
"""

MAX_STALLS = 5   # the wait for an ack doubles up to 2^5 times while none comes


class Cursor:
    """Sequence numbers of one session.

    Args:
        first: the first record without an ack. limit: records sent beyond it at most.
        timeout_ms: without a moving ack for so long, sending starts over.

    Attributes:
        base: the first record without an ack. next: the next to send.
    """

    def __init__(self, first: int, limit: int, timeout_ms: int, now_ms: int) -> None:
        self.base = self.next = first
        self._limit = limit
        self._timeout_ms = timeout_ms
        self._moved_ms = now_ms
        self._stalls = 0

    def may_send(self, end: int) -> bool:
        """Whether the record `next` exists (`end` is the ring's next_seq) and is not too far ahead of the acks."""
        return self.next < end and self.next - self.base < self._limit

    def sent(self, seq: int, now_ms: int) -> None:
        if self.next == self.base:
            self._moved_ms = now_ms   # nothing was outstanding: the wait for its ack starts now
        self.next = seq + 1

    def acked(self, first: int, now_ms: int) -> None:
        """The ring's first record without an ack is now `first`."""
        if first > self.base:
            self.base = first
            self.next = max(self.next, first)
            self._moved_ms = now_ms
            self._stalls = 0

    def stall_in_ms(self, now_ms: int) -> int | None:
        """Time until sending starts again from the first unacked record; None when nothing is outstanding."""
        if self.next == self.base:
            return None
        return max(0, self._moved_ms + (self._timeout_ms << self._stalls) - now_ms)

    def rewind(self, first: int, now_ms: int) -> None:
        self.base = self.next = first
        self._moved_ms = now_ms
        self._stalls = min(self._stalls + 1, MAX_STALLS)
