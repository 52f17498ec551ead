"""Where messages wait between the broker's thread and the thread that commits.

Decides how long a group is gathered and when the inbox is full: of messages or of bytes. Full means refused: the broker's thread
must not block (its keep-alive would lapse) and memory must not grow; a refused message is not acknowledged, so the broker keeps it.
The group that was given out last counts until the next one is asked for: until then it may be tried again and again.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import Any

from host.clock import unix_ms

MESSAGE_BYTES = 64 << 10   # of one, by the configurations that we render for brokers; a ring record has 2,048 at most


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a device.

    Attributes:
        topic: as in MQTT, whatever the broker speaks.
        copy: retained or delivered before, by the broker's word.
        token: what the source needs to acknowledge it; known to it alone.
        at_ms: when the broker took it, Unix milliseconds; 0 when it does not say.
    """

    topic: str
    payload: bytes
    copy: bool
    token: Any
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What an inbox holds; `refused`: messages that found no room, ever.

    Attributes:
        messages: that were not given out yet.
        n_bytes: of payload, of the group that was given out last, too.
        oldest_ms: when the broker took the oldest of both, where it says so, else when it came; 0: there is none.
    """

    messages: int
    n_bytes: int
    limit_messages: int
    limit_bytes: int
    refused: int
    oldest_ms: int


class Inbox:
    """A bounded queue that is emptied in groups.

    Args:
        limit_bytes: of payloads. One message that is larger has room when there is no other.
        clock_ms: Unix milliseconds.
    """

    def __init__(self, limit: int, limit_bytes: int = 0, clock_ms: Callable[[], int] = unix_ms) -> None:
        self._limit, self._limit_bytes, self._clock_ms = limit, limit_bytes, clock_ms
        self._messages, self._changed = deque[tuple[Message, int]](), Condition()
        self._wanted, self._closed = 1, False
        self._bytes, self._given_bytes, self._given_ms, self._refused = 0, 0, 0, 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> bool:
        """Add a message; False when there is no room."""
        with self._changed:
            size = len(message.payload)
            if len(self._messages) >= self._limit or (self._bytes and self._bytes + size > self._limit_bytes):
                self._refused += 1
                return False
            self._messages.append((message, message.at_ms or self._clock_ms()))
            self._bytes += size
            if len(self._messages) >= self._wanted:   # not for each one: waking the other thread costs more than the message
                self._changed.notify()
            return True

    def room(self) -> int:
        """How many messages more it takes now, even if all are as large as they may be."""
        with self._changed:
            return max(0, min(self._limit - len(self._messages), (self._limit_bytes - self._bytes) // MESSAGE_BYTES))

    def state(self) -> Waiting:
        """What it holds; from any thread."""
        with self._changed:
            oldest_ms = self._given_ms or (self._messages[0][1] if self._messages else 0)
            return Waiting(len(self._messages), self._bytes, self._limit, self._limit_bytes, self._refused, oldest_ms)

    def take(self, at_most: int, gather_s: float, wait_s: float) -> list[Message]:
        """Wait up to `wait_s` for a message, then up to `gather_s` for more, and give the group out.

        Returns:
            At most `at_most` messages in order; empty when none came or the inbox was closed. The group before is done with.
        """
        with self._changed:
            self._bytes, self._given_bytes, self._given_ms = self._bytes - self._given_bytes, 0, 0
            if self._wait(1, wait_s):
                self._wait(at_most, gather_s)
            if self._closed:
                return []
            group = [self._messages.popleft() for _ in range(min(at_most, len(self._messages)))]
            if group:
                self._given_bytes, self._given_ms = sum(len(message.payload) for message, _ in group), group[0][1]
            return [message for message, _ in group]

    def close(self) -> None:
        """End waiting; what is left inside stays with the broker."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, wanted: int, wait_s: float) -> bool:
        self._wanted = wanted
        return self._changed.wait_for(lambda: len(self._messages) >= wanted or self._closed, wait_s)
