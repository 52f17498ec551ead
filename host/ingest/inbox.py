"""Where messages wait between the broker's thread and the thread that commits.

Decides how long a group is gathered and when the inbox is full. Full means refused: the broker's thread must not block (its
keep-alive would lapse) and memory must not grow; a refused message is not acknowledged, so the broker keeps it.
"""

from collections import deque
from dataclasses import dataclass
from threading import Condition
from typing import Any


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


class Inbox:
    """A bounded queue that is emptied in groups; `refused` counts what found no room."""

    def __init__(self, limit: int) -> None:
        self._limit, self._messages, self._changed = limit, deque[Message](), Condition()
        self._wanted, self._closed = 1, False
        self.refused = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> bool:
        """Add a message; False when there is no room."""
        with self._changed:
            if len(self._messages) >= self._limit:
                self.refused += 1
                return False
            self._messages.append(message)
            if len(self._messages) >= self._wanted:   # not for each one: waking the other thread costs more than the message
                self._changed.notify()
            return True

    def room(self) -> int:
        """How many messages more it takes now."""
        with self._changed:
            return max(0, self._limit - len(self._messages))

    def take(self, at_most: int, gather_s: float, wait_s: float) -> list[Message]:
        """Wait up to `wait_s` for a message, then up to `gather_s` for more, and give the group out.

        Returns:
            At most `at_most` messages in order; empty when none came or the inbox was closed.
        """
        with self._changed:
            if self._wait(1, wait_s):
                self._wait(at_most, gather_s)
            if self._closed:
                return []
            return [self._messages.popleft() for _ in range(min(at_most, len(self._messages)))]

    def close(self) -> None:
        """End waiting; what is left inside stays with the broker."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, wanted: int, wait_s: float) -> bool:
        self._wanted = wanted
        return self._changed.wait_for(lambda: len(self._messages) >= wanted or self._closed, wait_s)
