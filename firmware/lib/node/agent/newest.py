"""The other order of sending: after a reconnect what is fresh leaves before the backlog. Loaded where `drain` is "newest".

Two places move forward: one through the backlog from the first record without an ack, one through the fresh records from the last
few of the ring on; where the first meets the start of the second they become one. Four numbers, however long the backlog is. The
ack stays cumulative, so it stands still at the backlog, and what was sent fresh and then cut off by a disconnection is sent again
with the backlog: once a session at most.
"""

from node.agent.cursor import Cursor
from node.compat import const

FRESH = const(8)   # records that count as fresh at a reconnect; and so many fresh ones leave in a row while the backlog waits


class Newest(Cursor):
    """As Cursor."""

    def _start(self, first: int, end: int) -> None:
        self.base = self.next = first
        self._split = self._fresh = max(first, end - FRESH)   # the fresh records from here on; up to where they were sent
        self._ahead = 0     # fresh ones sent since the ack moved
        self._in_a_row = 0

    def outstanding(self) -> bool:
        return self.next != self.base or self._fresh != self._split

    def pick(self, end: int) -> int | None:
        if self.next >= self._split:   # one place again
            return super().pick(end)
        backlog = self.next - self.base < self._limit
        if self._fresh < end and self._ahead < self._limit and not (backlog and self._in_a_row >= FRESH):
            return self._fresh
        return self.next if backlog else None

    def _passed(self, picked: int, after: int) -> None:
        if self.next >= self._split:
            self.next = after
        elif picked >= self._split:
            self._fresh = after
            self._ahead += 1
            self._in_a_row += 1
        else:
            self.next = after
            self._in_a_row = 0
            self._meet()

    def acked(self, first: int, now_ms: int) -> None:
        if first > self.base:
            self._ahead = 0
        super().acked(first, now_ms)
        self._meet()

    def _meet(self) -> None:
        """All of the backlog was sent: go on behind the fresh records."""
        if self.next >= self._split:
            self.next = max(self.next, self._fresh)
            self._split = self._fresh = self.next
