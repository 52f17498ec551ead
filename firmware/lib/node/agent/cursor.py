"""Where sending stands between the ring's first record without an ack and its end.

Pure: sequence numbers of the ring and ticks in ms come in. Decides which record is next, how far ahead of the acks to send, and
when to start over from the first record without one. Reads no ring and sends nothing. newest.py has the other order.
"""

MAX_STALLS = 5   # the wait for an ack doubles up to 2^5 times while none comes


class Cursor:
    """Sequence numbers of one session, the oldest record first.

    Args:
        first: the first record without an ack. end: the ring's next_seq. limit: records sent beyond the acks at most.
        timeout_ms: without a moving ack for so long, sending starts over.

    Attributes:
        base: the first record without an ack. next: the next to send, of those up to which all were sent.
    """

    def __init__(self, first: int, end: int, limit: int, timeout_ms: int, now_ms: int) -> None:
        self._limit = limit
        self._timeout_ms = timeout_ms
        self._moved_ms = now_ms
        self._stalls = 0
        self._start(first, end)

    def _start(self, first: int, end: int) -> None:
        self.base = self.next = first

    def outstanding(self) -> bool:
        """Whether anything sent waits for its ack."""
        return self.next != self.base

    def pick(self, end: int) -> int | None:
        """The record to send now; None when there is none (`end` is the ring's next_seq) or too much is ahead of the acks."""
        return self.next if self.next < end and self.next - self.base < self._limit else None

    def sent(self, picked: int, seq: int, now_ms: int) -> None:
        """Record `seq` was sent: the first readable one from `picked` on."""
        if not self.outstanding():
            self._moved_ms = now_ms   # nothing was outstanding: the wait for its ack starts now
        self._passed(picked, seq + 1)

    def _passed(self, picked: int, after: int) -> None:
        self.next = after

    def acked(self, first: int, now_ms: int) -> None:
        """The ring's first record without an ack is now `first`."""
        if first > self.base:
            self.base = first
            self.next = max(self.next, first)
            self._moved_ms = now_ms
            self._stalls = 0

    def stall_in_ms(self, now_ms: int) -> int | None:
        """Time until sending starts again from the first unacked record; None when nothing is outstanding."""
        if not self.outstanding():
            return None
        return max(0, self._moved_ms + (self._timeout_ms << self._stalls) - now_ms)

    def rewind(self, first: int, end: int, now_ms: int) -> None:
        """Start over: no ack came for too long."""
        self._start(first, end)
        self._moved_ms = now_ms
        self._stalls = min(self._stalls + 1, MAX_STALLS)
